"""What +0.0 where weights are masked saves after deflate, against tfmot's stripped model; prints JSON.

    python -m tests.bench.zeros [--sparsity 0.9 0.95 0.99]

tfmot leaves the sign of a masked weight behind, -0.0, and the converter keeps it: the random bit spoils deflate. Both
files hold the weights of one random EDAC CNN (of the published shape), which tfmot prunes in one step of Adam.
"""

import argparse
import json
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras, tf
from stages.core.project import compression
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams

SHAPE = (302, 15)
DENSE = keras.layers.Dense
BAR = {0.95: 0.6}  # ours over theirs, at most


def stripped(sparsity: float) -> Any:
    """Return the network that tfmot prunes in one training step and strips of its wrappers."""
    import tensorflow_model_optimization as tfmot

    keras.utils.set_random_seed(1)
    built, _ = network.build("edac_cnn", {}, SHAPE, 2)

    def plain(layer: Any) -> Any:  # tfmot cannot wrap a penalty on what a layer puts out
        return type(layer).from_config({**layer.get_config(), "activity_regularizer": None})

    model = keras.models.clone_model(built, clone_function=lambda x: plain(x) if isinstance(x, DENSE) else x)
    prune = tfmot.sparsity.keras
    wrapped = prune.prune_low_magnitude(model, prune.ConstantSparsity(sparsity, begin_step=0, frequency=1))
    wrapped.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
    x, y = np.random.default_rng(1).normal(size=(4, *SHAPE)).astype(np.float32), np.ones((4, 1), np.float32)
    wrapped.fit(x, y, verbose=0, callbacks=[prune.UpdatePruningStep()])
    return prune.strip_pruning(wrapped)


def converted(model: Any) -> bytes:
    """Return what the converter makes of it, negative zeros included."""
    function = tf.function(lambda features: model(features, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, *SHAPE), tf.float32))
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert())


def measure(sparsity: float) -> dict[str, Any]:
    """Return sizes and ratios at one sparsity."""
    model = stripped(sparsity)
    theirs, ours = converted(model), to_float32(model)
    scheme, config = QuantizeParams().scheme("sparse_float32")
    sizes = {
        "tfmot": compression.deflated_bytes(theirs),
        "ours": compression.deflated_bytes(ours),
        "ours_sparse_float32": compression.deflated_bytes(scheme.quantize(config, ours, None)),
    }
    ratio, bar = sizes["ours"] / sizes["tfmot"], BAR.get(sparsity)
    return {
        "sparsity": round(flatbuffer.read(ours).sparsity, 4),
        "negative_zeros": {
            "tfmot": flatbuffer.read(theirs).negative_zeros,
            "ours": flatbuffer.read(ours).negative_zeros,
        },
        "deflated_bytes": sizes,
        "ours_over_tfmot": {"ratio": round(ratio, 3)} | ({} if bar is None else {"bar": bar, "reached": ratio <= bar}),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.9, 0.95, 0.99])
    print(json.dumps({str(s): measure(s) for s in parser.parse_args().sparsity}, indent=2))
