"""One conversion and many schemes against one converter call per scheme; prints JSON.

    python -m tests.bench.schemes [--architecture edac_cnn edac_cnn_lstm] [--rounds 3] [--clips 32]

*ours* converts the network once and makes every scheme from the float32 flatbuffer, calibration included. *converter*
calls `tf.lite.TFLiteConverter` once for each scheme that it has, with the same clips as its representative data set:
those in `CONVERTER`. `same` compares these schemes alone; `all` gives ours the full set to make, the others too that
the converter cannot. Both take turns in every round; a ratio is the median over the rounds of the two times of a round.
Weights are random, 90 % of them zero, of the published shapes.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras, tf
from stages.core.project import compression, plugins
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model

SHAPES = {
    "edac_cnn": (302, 15),
    "edac_cnn_lstm": (39, 88, 3),
    "ds_cnn": (101, 40),
    "micro_acdnet": (30_225, 1),
    "sparse_cnn": (128, 64),
    "strided_cnn": (216, 64),
}
BARS = {"edac_cnn": 3.0, "edac_cnn_lstm": 4.0}
SPARSE, DEFAULT = tf.lite.Optimize.EXPERIMENTAL_SPARSITY, tf.lite.Optimize.DEFAULT
INT8, INT16 = (
    tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
)
CONVERTER: dict[str, tuple[list[Any], list[Any], Any, Any]] = {  # optimisations, types, operators, both ends
    "float32": ([], [], None, None),
    "float16": ([DEFAULT], [tf.float16], None, None),
    "dynamic_wi8_afp32": ([DEFAULT], [], None, None),
    "static_wi8_ai8": ([DEFAULT], [], INT8, tf.int8),
    "static_wi8_ai16": ([DEFAULT], [], INT16, tf.int16),
    "sparse_float32": ([SPARSE], [], None, None),
    "sparse_float16": ([SPARSE, DEFAULT], [tf.float16], None, None),
}


def converted(model: Any, clips: np.ndarray, scheme: str) -> bytes:
    """Return what one call of the converter makes."""
    function = tf.function(lambda features: model(features, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, *clips.shape[1:]), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations, converter.target_spec.supported_types, operators, ends = CONVERTER[scheme]
    if operators:
        converter.representative_dataset = lambda: ([clip[np.newaxis]] for clip in clips)
        converter.target_spec.supported_ops = [operators]
        converter.inference_input_type = converter.inference_output_type = ends
    return bytes(converter.convert())


def ours(model: Any, clips: np.ndarray) -> tuple[dict[str, float], dict[str, bytes]]:
    """Return the seconds of the one conversion and of each scheme, and the files."""
    seconds, made = {}, {}
    seconds["conversion"], float32 = timed(lambda: to_float32(model))
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        seconds[name], made[name] = timed(lambda s=scheme, c=config: s.quantize(c, float32, clips))  # type: ignore[misc]
    return seconds, made


def network_and_clips(architecture: str, n_clips: int, sparsity: float = 0.9) -> tuple[Any, np.ndarray]:
    """Return a random network with so many zeros in its kernels, and clips."""
    keras.utils.set_random_seed(1)
    shape, rng = SHAPES[architecture], np.random.default_rng(1)
    model, _ = network.build(architecture, {}, shape, 2)
    for variable in model.trainable_variables:
        if "kernel" in variable.name and "depthwise" not in variable.name:
            variable.assign(variable * (rng.random(variable.shape) >= sparsity))
    return model, rng.normal(size=(n_clips, *shape)).astype(np.float32)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(architecture: str, rounds: int, n_clips: int) -> dict[str, Any]:
    """Return times, ratios and whether they reach the bar, and what each file takes and how long it runs."""
    model, clips = network_and_clips(architecture, n_clips)
    rounds_of: list[dict[str, float]] = []
    for _ in range(rounds):
        seconds, made = ours(model, clips)
        all_of_ours, same = sum(seconds.values()), seconds["conversion"] + sum(seconds[name] for name in CONVERTER)
        theirs, _ = timed(lambda: [converted(model, clips, name) for name in CONVERTER])
        rounds_of.append(seconds | {"all": all_of_ours, "same": same, "converter": theirs})
    times = {name: np.array([each[name] for each in rounds_of]) for name in rounds_of[0]}
    result: dict[str, Any] = {
        "rounds": rounds,
        "median_s": {name: round(float(np.median(each)), 2) for name, each in times.items()},
        "schemes": {},
    }
    for name in ("all", "same"):
        ratio = float(np.median(times["converter"] / times[name]))
        bar = BARS.get(architecture)
        result[f"converter_over_ours_{name}"] = {"ratio": round(ratio, 2), "bar": bar} | (
            {} if bar is None else {"reached": ratio >= bar}
        )
    expected = Model(made["float32"]).run(clips)
    for name, content in made.items():
        runner = Model(content)
        took = [timed(lambda runner=runner: runner.run(clips[:1]))[0] for _ in range(25)]  # type: ignore[misc]
        result["schemes"][name] = {
            "raw_bytes": len(content),
            "deflated_bytes": compression.deflated_bytes(content),
            "mean_bits": round(flatbuffer.read(content).mean_bits, 2),
            "median_ms": round(1e3 * float(np.median(took[5:])), 2),
            "mean_difference": float(f"{np.abs(runner.run(clips) - expected).mean():.2g}"),
        }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", choices=sorted(SHAPES), default=sorted(BARS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=32)
    given = parser.parse_args()
    found = {name: measure(name, given.rounds, given.clips) for name in given.architecture}
    print(json.dumps({"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)} | found, indent=2))
