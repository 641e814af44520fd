"""Rows of layers against LiteRT, for every kind of padding, stride and dilation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.core.litert import flatbuffer
from stages.quantize import rounding_error, weight_layers
from stages.quantize.convert import to_float32
from stages.quantize.weight_layers import Values
from stages.runtime.litert import Model


@pytest.mark.parametrize(
    "options",
    [{"padding": "same"}, {"padding": "same", "strides": (2, 3)}, {"strides": 2}, {"dilation_rate": (2, 1)}],
    ids=str,
)
def test_rows_times_weights_are_the_convolution(options: dict[str, Any], converted: Callable[..., bytes]) -> None:
    from stages.core.nn.keras import keras

    float32 = converted(keras.layers.Conv2D(5, (3, 2), **options), shape=(11, 8, 4))
    (layer,) = weight_layers.find(float32)
    constants = flatbuffer.float_constants(float32)
    clips = np.random.default_rng(2).normal(size=(3, 11, 8, 4)).astype(np.float32)
    rows = layer.rows(Values(float32, layer.sources[0]).of(clips))
    assert layer.bias is not None
    found = rows @ constants[layer.kernel].reshape(5, -1).T + constants[layer.bias]
    expected = Model(float32).run(clips)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-4)


def test_values_within_a_network_are_those_that_its_next_layer_reads(float32: bytes, clips: np.ndarray) -> None:
    found, constants = weight_layers.find(float32), flatbuffer.float_constants(float32)
    assert [layer.operator for layer in found] == ["CONV_2D"] * 2 + ["FULLY_CONNECTED"] * 2
    head = found[-1]
    x = head.rows(Values(float32, head.sources[0]).of(clips))
    assert head.bias is not None
    logits = x @ constants[head.kernel].T + constants[head.bias]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), Model(float32).run(clips), atol=1e-5)


def test_a_recurrence_that_is_written_out_is_one_layer_of_many_sources(converted: Callable[..., bytes]) -> None:
    from stages.core.nn.keras import keras
    from stages.core.nn.layers import UnrolledLSTM

    float32 = converted(UnrolledLSTM(4), keras.layers.Flatten(), keras.layers.Dense(3, "softmax"), shape=(6, 5))
    found = {layer.shape: layer for layer in weight_layers.find(float32)}
    recurrent = found[16, 4]
    assert len(recurrent.sources) == len(set(recurrent.sources)) == 5  # the first state is zero
    clips = np.random.default_rng(2).normal(size=(7, 6, 5)).astype(np.float32)
    measured = rounding_error.measure(recurrent, float32, float32, np.ones((16, 4)), clips, centred=False)
    assert not measured.gap.any()
    rows = np.concatenate([recurrent.rows(Values(float32, source).of(clips)) for source in recurrent.sources])
    assert len(rows) == 7 * 5
    np.testing.assert_allclose(measured.mean_input, rows.mean(axis=0), atol=1e-6)


def test_a_bias_that_two_layers_add_is_left_alone() -> None:
    from stages.core.nn.keras import keras

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(4, "tanh")])
    weights = [np.random.default_rng(i).normal(size=(4, 4)) if i % 2 == 0 else np.ones(4) for i in range(4)]
    model.set_weights(weights)  # equal biases, which the converter stores once
    assert [layer.bias for layer in weight_layers.find(to_float32(model))] == [None, None]
    model.set_weights([*weights[:3], np.full(4, 2.0)])
    assert len({layer.bias for layer in weight_layers.find(to_float32(model))} - {None}) == 2


@pytest.mark.parametrize("n_clips", [4, 64], ids=["fewer rows than weights", "more"])
def test_the_objective_is_the_mean_squared_error_of_the_output_but_for_its_mean(
    n_clips: int, float32: bytes, clips: np.ndarray
) -> None:
    constants, rng = flatbuffer.float_constants(float32), np.random.default_rng(5)
    first, _, layer, _ = weight_layers.find(float32)
    earlier = constants[first.kernel] + rng.normal(0, 0.05, constants[first.kernel].shape).astype(np.float32)
    rounded = flatbuffer.with_float_constants(float32, {first.kernel: earlier})
    weights = constants[layer.kernel].astype(np.float64)
    change = rng.normal(0, 0.1, weights.shape)
    few = clips[:n_clips]
    found = rounding_error.measure(layer, float32, rounded, weights, few, centred=True)
    exact, seen = (layer.rows(Values(each, layer.sources[0]).of(few)) for each in (float32, rounded))
    error = seen @ (weights + change).T - exact @ weights.T
    squares = ((error - error.mean(axis=0)) ** 2).mean(axis=0)
    spread = ((seen - seen.mean(axis=0)) ** 2).mean()
    penalty = rounding_error.DAMPING * spread * (change**2).sum(axis=1)
    other = changes(found, change) + found.error(np.zeros_like(change))
    np.testing.assert_allclose(other - other.mean(), (s := squares + penalty) - s.mean(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.bias_change(change), -error.mean(axis=0), atol=1e-5)


def changes(found: rounding_error.Objective, change: np.ndarray) -> np.ndarray:
    """Return what a change adds to the error, by its gradient at half of it: the error is quadratic."""
    return np.asarray((found.gradient(change / 2) * change).sum(axis=1))
