"""What 8 bits gain on EDAC's two networks, and what writing the LSTM without a loop does; one thread, prints JSON.

    python -m tests.bench.latency [--rounds 12]

*plain* is the network of Keras' own layers, converted as it is, and by the converter's own `Optimize.DEFAULT` to 8 bits
(the paper's way); *ours* the same weights through `stages.core.nn.layers` and the schemes of `stages.quantize`.
All files take turns in every round, so that whatever else the machine does falls on all alike. A file's turn is some
runs to warm up and then some in a row that count: what a device sees, which runs one model and finds as much of it in
its caches as they hold. A ratio is the median over the rounds of the two files' median times in one round. Weights are
random and of the published shapes: 302 × 15 × 1 in and 6,145,313 parameters; 39 × 88 × 3 in and 10,820,440 parameters.
"""

import argparse
import json
import os
import time
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras, tf
from stages.core.nn.layers import PoolAndNormalise, UnrolledLSTM
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.runtime.litert import Model

CALIBRATION_CLIPS = 16
WARM_UP, IN_A_ROW = 10, 20
SHAPES = {"edac_cnn": (302, 15, 1), "edac_cnn_lstm": (39, 88, 3)}
BARS = {
    "edac_cnn": {"ours_dynamic_wi8_afp32": 4.0, "ours_static_wi8_ai8": 4.0},
    "edac_cnn_lstm": {"ours_float32": 3.5, "ours_dynamic_wi8_afp32": 12.0, "ours_static_wi8_ai8": 12.0},
}


def plain(model: Any, shape: tuple[int, ...]) -> Any:
    """Return the same network of Keras' own layers, with the same weights."""
    layers = keras.layers

    def keras_own(layer: Any) -> Any:
        if isinstance(layer, UnrolledLSTM):
            return layers.LSTM(layer.cell.units, return_sequences=True)
        if isinstance(layer, PoolAndNormalise):
            return keras.Sequential([layers.AveragePooling2D(2, 1), layers.BatchNormalization()])
        return type(layer).from_config(layer.get_config())

    twin = keras.Sequential([layers.Input(shape), *map(keras_own, model.layers)])
    twin.set_weights(model.get_weights())
    return twin


def optimised(model: Any, shape: tuple[int, ...]) -> bytes:
    """Return the converter's own dynamic-range quantisation."""
    function = tf.function(lambda features: model(features, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def candidates(architecture: str, rng: np.random.Generator) -> tuple[dict[str, bytes], np.ndarray]:
    """Return every model file by name, and clips."""
    keras.utils.set_random_seed(1)
    shape = SHAPES[architecture]
    model, _ = network.build(architecture, {}, shape, 2)
    clips = rng.uniform(size=(CALIBRATION_CLIPS, *shape)).astype(np.float32)
    twin = plain(model, shape)
    found = {"plain_float32": to_float32(twin), "plain_optimize_default": optimised(twin, shape)}
    float32 = to_float32(model)
    for name in ("float32", "float16", "dynamic_wi8_afp32", "static_wi8_ai8"):
        scheme, config = QuantizeParams().scheme(name)
        found[f"ours_{name}"] = scheme.quantize(config, float32, clips)
    return found, clips


def timed(model: Model, clip: np.ndarray) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    model.run(clip)
    return time.perf_counter() - start


def measure(architecture: str, rounds: int) -> dict[str, Any]:
    """Return times, ratios and whether they reach the bars."""
    contents, clips = candidates(architecture, np.random.default_rng(1))
    models = {name: Model(content) for name, content in contents.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            times = [timed(model, clips[:1]) for _ in range(WARM_UP + IN_A_ROW)]
            seconds[name].append(float(np.median(times[WARM_UP:])))
    expected = models["plain_float32"].run(clips)
    result: dict[str, Any] = {
        "rounds": rounds,
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "models": {
            name: {
                "median_ms": round(1e3 * float(np.median(seconds[name])), 3),
                "fastest_ms": round(1e3 * min(seconds[name]), 3),
                "bytes": len(contents[name]),
                "largest_difference": float(np.abs(models[name].run(clips) - expected).max()),
                "lstm_operators": flatbuffer.read(contents[name]).operators.get("UNIDIRECTIONAL_SEQUENCE_LSTM", 0),
            }
            for name in models
        },
    }
    for name, bar in BARS[architecture].items():
        ratio = float(np.median(np.divide(seconds["plain_float32"], seconds[name])))
        result[f"plain_float32_over_{name}"] = {"ratio": round(ratio, 2), "bar": bar, "reached": ratio >= bar}
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    print(json.dumps({name: measure(name, rounds) for name in SHAPES}, indent=2))
