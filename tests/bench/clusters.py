"""What shared weights save after deflate, beside tfmot's clustering and beside 8 and 4 bits; prints JSON.

    python -m tests.bench.clusters [--clusters 16 32 64] [--sparsity 0.9]

One random EDAC CNN of the published shape, of whose prunable weights all but the largest are zero. *error* is the root
of the mean squared change of a weight over that of the weights.
"""

import argparse
import json
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import compression
from stages.prune.importance import most_important
from stages.prune.prunables import prunable_kernels
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams

SHAPE = (302, 15)


def pruned(sparsity: float) -> Any:
    """Return a network of random weights, the smallest of each kernel zero."""
    keras.utils.set_random_seed(1)
    model, _ = network.build("edac_cnn", {}, SHAPE, 2)
    for _, kernel in prunable_kernels(model):
        values = kernel.numpy()
        (mask,) = most_important([np.abs(values).ravel()], sparsity)
        kernel.assign(np.where(mask.reshape(values.shape), values, 0))
    return model


def toolkit(model: Any, clusters: int) -> bytes:
    """Return the file of tfmot's clustering, before any fine-tuning."""
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    linear = tfmot.clustering.keras.CentroidInitialization.LINEAR
    wrapped = cluster.cluster_weights(model, clusters, linear, preserve_sparsity=True)
    return to_float32(tfmot.clustering.keras.strip_clustering(wrapped))


def figures(model: bytes, float32: bytes) -> dict[str, Any]:
    """Return the sizes of a file, and how far its weights are from those of the float32 file."""
    pairs = list(zip(flatbuffer.read(model).weights, flatbuffer.read(float32).weights, strict=True))
    result = {"raw_bytes": len(model), "deflated_bytes": compression.deflated_bytes(model)}
    if all(mine.dtype == "float32" for mine, _ in pairs):
        changed = sum(float(np.square(mine.values - theirs.values).sum()) for mine, theirs in pairs)
        whole = sum(float(np.square(theirs.values).sum()) for _, theirs in pairs)
        return result | {"error": round((changed / whole) ** 0.5, 4)}
    return result


def measure(sparsity: float, clusters: list[int]) -> dict[str, Any]:
    """Return sizes by file, and ratios."""
    model = pruned(sparsity)
    float32 = to_float32(model)
    found = {"float32": figures(float32, float32)}
    for name in ("dynamic_wi8_afp32", "dynamic_wi4_afp32"):
        scheme, config = QuantizeParams().scheme(name)
        found[name] = figures(scheme.quantize(config, float32, None), float32)
    for n in clusters:
        scheme, config = QuantizeParams(options={"clustered_float32": {"clusters": n}}).scheme("clustered_float32")
        found[f"clustered_float32 {n}"] = figures(scheme.quantize(config, float32, None), float32)
        found[f"tfmot {n}"] = figures(toolkit(pruned(sparsity), n), float32)
    smallest = found["float32"]["deflated_bytes"]
    return {
        name: values | {"deflated_ratio": round(smallest / values["deflated_bytes"], 2)}
        for name, values in found.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--sparsity", type=float, default=0.9)
    given = parser.parse_args()
    print(json.dumps(measure(given.sparsity, given.clusters), indent=2))
