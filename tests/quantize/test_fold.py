"""Folding normalisation keeps the function; the exported file has no product and no sum more than it must."""

from typing import Any

import numpy as np
import pytest

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.nn.layers import Attention, UnrolledLSTM
from stages.quantize.convert import to_float32
from stages.quantize.fold import fold_normalisation
from stages.runtime.litert import Model
from tests.marks import thorough_but

layers = keras.layers
NORM = layers.BatchNormalization


def fill(model: Any, rng: np.random.Generator, *, negative: bool = True) -> None:
    for variable in model.weights:
        values = rng.normal(0, 0.4, variable.shape)
        if "gamma" in variable.name or "variance" in variable.name:
            values = rng.uniform(0.5, 1.5, variable.shape)
            if negative and "gamma" in variable.name:
                values *= rng.choice([-1, 1], values.shape)
        variable.assign(values.astype(np.float32))


def normalisations(model: Any) -> int:
    return sum(type(layer) is NORM for layer in model.layers)


def assert_folds(middle: list[Any], left: int, *, shape: tuple[int, ...] = (8, 9, 2), negative: bool = True) -> bytes:
    """Check the function of a chain of layers, in Keras and in the file, and how many normalisations stay."""
    model, rng = keras.Sequential([layers.Input(shape), *middle]), np.random.default_rng(1)
    fill(model, rng, negative=negative)
    before = model.get_weights()
    folded = fold_normalisation(model)
    assert normalisations(folded) == left
    x = rng.normal(size=(6, *shape)).astype(np.float32)
    expected = model(x, training=False).numpy()
    np.testing.assert_allclose(folded(x, training=False), expected, rtol=1e-4, atol=2e-5)
    content = to_float32(model)
    np.testing.assert_allclose(Model(content).run(x), expected, rtol=1e-4, atol=2e-5)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return content


def operators(content: bytes) -> dict[str, int]:
    return flatbuffer.read(content).operators


@pytest.mark.parametrize("pool", [layers.AveragePooling2D(2, 1), layers.AveragePooling2D(2, padding="same")])
def test_back_through_a_mean_into_what_makes_the_values(pool: Any) -> None:
    content = assert_folds([layers.Conv2D(4, 3), pool, NORM(), layers.ReLU(), layers.Flatten(), layers.Dense(3)], 0)
    assert not {"MUL", "ADD", "SUB"} & operators(content).keys()


def test_a_layer_without_a_bias_gets_one() -> None:
    middle = [layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), layers.GlobalAveragePooling2D(), NORM()]
    assert_folds([*middle, layers.ReLU(), layers.Dense(2)], 0)


@pytest.mark.parametrize(("negative", "left"), [(True, 1), (False, 0)])
def test_back_through_a_maximum_only_if_it_keeps_the_order(negative: bool, left: int) -> None:
    assert_folds([layers.Conv2D(4, 3), layers.MaxPooling2D(2), NORM(), layers.ReLU(), layers.Flatten(),
                  layers.Dense(3)], left, negative=negative)  # fmt: skip


@pytest.mark.parametrize(
    "reader",
    [
        [layers.Conv2D(3, 2, use_bias=False)],
        [layers.Conv2D(3, 1, padding="same")],
        [layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=False)],
        [layers.Flatten(), layers.Dropout(0.5), layers.Dense(3)],
        [layers.AveragePooling2D(2), layers.Reshape((3, -1)), UnrolledLSTM(3)],
        [layers.Permute((2, 1, 3)), layers.Reshape((7, -1)), Attention(), layers.Dense(3)],
    ],
    ids=lambda reader: "-".join(type(layer).__name__ for layer in reader),
)
def test_forward_into_what_reads_the_values(reader: list[Any]) -> None:
    content = assert_folds([layers.Conv2D(4, 3, activation="tanh"), NORM(scale=False), *reader], 0)
    if "LSTM" not in type(reader[-1]).__name__ and not any(isinstance(layer, Attention) for layer in reader):
        assert not {"MUL", "ADD", "SUB"} & operators(content).keys()


@pytest.mark.parametrize(
    "reader",
    [
        [layers.Conv2D(3, 3, padding="same")],
        [layers.ZeroPadding2D(1), layers.Conv2D(3, 3)],
        [layers.ReLU(), layers.Conv2D(3, 3)],
        [layers.LayerNormalization()],
        [layers.Flatten()],
    ],
    ids=lambda reader: type(reader[0]).__name__,
)
def test_what_cannot_be_folded_exactly_stays(reader: list[Any]) -> None:
    assert_folds([layers.Conv2D(4, 3, activation="relu"), NORM(), *reader], 1)


def test_zeros_may_be_padded_where_the_mean_is_not_shifted() -> None:
    middle = [layers.Conv2D(4, 3, activation="relu"), NORM(center=False, name="norm"), layers.ZeroPadding2D(1)]
    model = keras.Sequential([layers.Input((8, 9, 2)), *middle, layers.Conv2D(3, 3, padding="same")])
    fill(model, np.random.default_rng(1))
    model.get_layer("norm").moving_mean.assign(np.zeros(4))
    folded = fold_normalisation(model)
    assert normalisations(folded) == 0
    x = np.random.default_rng(2).normal(size=(4, 8, 9, 2)).astype(np.float32)
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-4, atol=1e-5)


def test_all_readers_must_take_it_or_none_does() -> None:
    inputs = layers.Input((6, 6, 2))
    x = NORM(name="norm")(layers.Conv2D(4, 3, activation="relu")(inputs))
    valid, same = layers.Conv2D(2, 3)(x), layers.Conv2D(2, 3, padding="same")(x)
    for outputs, left in (([valid], 0), ([valid, same], 1), ([valid, x], 1)):
        model = keras.Model(inputs, outputs)
        fill(model, np.random.default_rng(1))
        folded = fold_normalisation(model)
        assert normalisations(folded) == left
        clip = np.random.default_rng(2).normal(size=(2, 6, 6, 2)).astype(np.float32)
        expected = model(clip) if len(outputs) > 1 else [model(clip)]
        found = folded(clip) if len(outputs) > 1 else [folded(clip)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "left"), thorough_but([("edac_cnn", 0), ("edac_cnn_lstm", 0), ("ds_cnn", 12)], ("ds_cnn", 12))
)
def test_our_architectures_keep_what_stands_before_an_activation_and_the_standardisation(name: str, left: int) -> None:
    shape = (24, 22)
    model = network.build(name, {}, shape, 2)[0]
    rng = np.random.default_rng(3)
    fill(model, rng)
    folded = fold_normalisation(model)
    assert normalisations(folded) == left  # of ds_cnn's 12 the converter folds 11
    x = rng.normal(size=(4, *shape)).astype(np.float32)
    expected = model(x, training=False).numpy()
    np.testing.assert_allclose(Model(to_float32(model)).run(x).reshape(expected.shape), expected, atol=1e-4)
