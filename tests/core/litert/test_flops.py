"""Multiply-adds against arithmetic by hand."""

from typing import Any

import pytest

from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project.errors import ModelError
from stages.quantize.convert import to_float32

layers = keras.layers


@pytest.mark.thorough
def test_the_edac_cnn_layer_by_layer() -> None:
    model = network.build("edac_cnn", {}, (302, 15), 2)[0]
    convolutions = 300 * 13 * 64 * 9 + 149 * 5 * 32 * 4 * 64
    assert flops(to_float32(model)) == convolutions + 23_840 * 256 + 256 * 128 + 128


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Conv2D(5, 3, 2, "same"), (9, 8, 3), 5 * 4 * 5 * 9 * 3),
        (layers.Conv1D(5, 3), (9, 2), 7 * 5 * 3 * 2),
        (layers.DepthwiseConv2D(3), (9, 8, 3), 7 * 6 * 3 * 9),
        (layers.Conv2DTranspose(5, 3, 2), (4, 4, 3), 4 * 4 * 3 * 9 * 5),
        (layers.Dense(4), (6, 3), 6 * 4 * 3),
        (layers.LSTM(4, unroll=True), (6, 3), 6 * 3 * 16 + 5 * 4 * 16),  # the first state is zero
        (layers.Dot((2, 2)), ((6, 3), (5, 3)), 6 * 5 * 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_every_operator_that_multiplies_matrices(layer: Any, shape: Any, expected: int) -> None:
    x = layers.Input(shape if isinstance(shape[0], int) else (11, 3))
    outputs = layer(x) if isinstance(shape[0], int) else layer([x[:, :6], x[:, 6:]])
    assert flops(to_float32(keras.Model(x, outputs))) == expected


@pytest.mark.thorough
def test_a_loop_cannot_be_counted() -> None:
    model = keras.Sequential([layers.Input((6, 3)), layers.GRU(4)])
    with pytest.raises(ModelError, match="with a loop cannot be counted"):
        flops(to_float32(model))
