"""Simulated integers against arithmetic by hand, TensorFlow's own operators, and the files LiteRT runs."""

import functools
from typing import Any

import numpy as np
import pytest

from stages.core.nn import network
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import ModelError
from stages.quantize.convert import to_float32
from stages.quantize.fake_quantization import round_activation, round_dynamically, round_weights
from stages.quantize.params import QuantizeParams
from stages.quantize.simulation import simulate
from stages.runtime.litert import Model
from tests.marks import thorough_but

QUANTUM = 1 / 256  # of a score in full integers
CASES = {
    "edac_cnn": ((40, 15), 2),
    "ds_cnn": ((51, 40), 5),
    "edac_cnn_lstm": ((11, 11, 3), 2),
}
TOLERANCE = {
    "static_wi8_ai8": 2 * QUANTUM,
    "static_wi4_ai8": 2 * QUANTUM,
    "static_wi8_ai16": 1e-3,
    "dynamic_wi8_afp32": 1e-2,
    "dynamic_wi4_afp32": 1e-2,
    "dynamic_wi2_afp32": 1e-2,
    "weight_only_wi8_afp32": 1e-5,
    "float32": 1e-5,
}


def constant(*values: float) -> Any:
    return tf.constant(values, tf.float32)


def test_activations_round_as_by_hand() -> None:
    """The range [-1, 1.55] has steps of 0.01, of which 0 is the hundredth."""
    x = constant(-2.0, -1.0, -0.004, 0.004, 0.006, 1.55, 9.0)
    rounded = round_activation(x, constant(-1.0)[0], constant(1.55)[0], 8)
    np.testing.assert_allclose(rounded, [-1, -1, 0, 0, 0.01, 1.55, 1.55], atol=1e-6)


def test_weights_round_as_by_hand() -> None:
    """Four bits, a scale for each row: its greatest magnitude is 7 steps."""
    w = tf.constant([[0.7, -0.26, 0.04, 0.0], [-14.0, 3.1, 0.9, 1.1]])
    expected = np.array([[0.7, -0.3, 0.0, 0.0], [-14.0, 4.0, 0.0, 2.0]])
    np.testing.assert_allclose(round_weights(w, 0, 4), expected, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.0, 6.0), (-80.0, 0.0), (-3e-3, 5e-4)])
def test_activations_round_as_tensorflow_does(low: float, high: float, rng: np.random.Generator) -> None:
    x = tf.constant(rng.uniform(1.5 * low - high, 1.5 * high - low, 10_000), tf.float32)
    expected = tf.quantization.fake_quant_with_min_max_vars(x, low, high, 8)
    got = round_activation(x, constant(low)[0], constant(high)[0], 8)
    different = np.abs(got - expected) > 1e-3 * (high - low) / 255
    assert different.mean() < 1e-3, "but for halves"


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_round_as_tensorflow_does(bits: int, rng: np.random.Generator) -> None:
    w = tf.constant(rng.normal(size=(500, 6)) * [1e-3, 0.1, 1, 2, 3, 50], tf.float32)
    most = tf.reduce_max(tf.abs(w), 0)
    quantised = tf.quantization.fake_quant_with_min_max_vars_per_channel(w, -most, most, bits, narrow_range=True)
    difference = np.abs(round_weights(w, 1, bits) - quantised) / most.numpy()
    assert (difference > 1e-3 / 2**bits).mean() < 2e-3, "but for halves"


def test_gradients_pass_inside_of_the_range_and_not_outside() -> None:
    x = tf.Variable([-1.2, -0.9, 0.0, 0.3, 1.5, 1.7])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(round_activation(x, constant(-1.0)[0], constant(1.55)[0], 8) * constant(1, 2, 3, 4, 5, 6))
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 2, 3, 4, 5, 0])

    w = tf.Variable([[0.7, -0.26], [-14.0, 3.1]])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(round_weights(w, 0, 4) * tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(tape.gradient(y, w), [[1, 2], [3, 4]])


def test_dynamic_rounding_takes_the_extremes_of_each_row() -> None:
    x = tf.constant([[0.0, 255.0, 7.4], [0.0, 2.55, 0.074]])
    np.testing.assert_allclose(round_dynamically(x, rows=True), np.array([[0, 255, 7], [0, 2.55, 0.07]]), atol=1e-5)


@functools.cache
def float32(architecture: str) -> bytes:
    return to_float32(settled(architecture))


def settled(architecture: str) -> Any:
    """Build a network whose normalisations have the statistics of what flows through them, and half pruned."""
    shape, n_classes = CASES[architecture]
    keras.utils.set_random_seed(5)
    model, _ = network.build(architecture, {"edac_cnn_lstm": {"units": 32}}, shape, n_classes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(np.random.default_rng(6).normal(size=(16, *shape)).astype(np.float32), training=True)
    for weight in model.weights:
        if weight.shape.rank > 1 and "depthwise" not in weight.name:
            values = weight.numpy()
            weight.assign(np.where(np.abs(values) < np.median(np.abs(values)), 0.0, values))
    return model


@pytest.mark.parametrize("scheme", thorough_but(TOLERANCE, "static_wi8_ai8"))
@pytest.mark.parametrize("architecture", thorough_but(CASES, "ds_cnn"))
def test_the_simulation_is_the_file(architecture: str, scheme: str) -> None:
    module, config = QuantizeParams().scheme(scheme)
    clips = np.random.default_rng(7).normal(size=(24, *CASES[architecture][0])).astype(np.float32)
    quantised = module.quantize(config, float32(architecture), clips if module.NEEDS_CALIBRATION else None)
    got = simulate(float32(architecture), quantised)(clips, training=False).numpy()
    expected = Model(quantised).run(clips)
    assert expected.std() > 10 * QUANTUM
    # one tie that rounds the other way in a convolution grows through the recurrence
    tolerance = TOLERANCE[scheme] * (3 if architecture == "edac_cnn_lstm" else 1)
    np.testing.assert_allclose(got, expected, atol=tolerance + 1e-6)
    assert np.abs(got - expected).mean() < tolerance / 4


def test_an_operator_without_counterpart_is_named() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Lambda(tf.cos)(inputs)))
    float32 = to_float32(model)
    with pytest.raises(ModelError, match=r"every operator .*got COS"):
        simulate(float32, float32)
