"""Cross-layer equalisation: the function stays the same to the bit, and the ranges on both sides of a channel meet."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import plugins
from stages.quantize import equalisation
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.runtime.litert import Model
from tests import checkpoints
from tests.marks import thorough_but

layers = keras.layers
IMAGE = (12, 10, 3)


def spread(float32: bytes, seed: int = 0, width: float = 3.4) -> bytes:
    """Multiply the weights that read each channel by a number of their own, between 1/30 and 30 unless told."""
    rng, found = np.random.default_rng(seed), {}
    for name, values in flatbuffer.float_constants(float32).items():
        if values.ndim > 1:
            factors = np.exp(rng.uniform(-width, width, values.shape[-1]))
            found[name] = (values * factors).astype(np.float32)
    return flatbuffer.with_float_constants(float32, found)


def clips_for(model: bytes, n: int = 6) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, *Model(model).input_shape)).astype(np.float32)


def assert_same_function(float32: bytes) -> None:
    """Check that all scores stay the same to the bit although the weights do not."""
    clips = clips_for(float32)
    before, expected = flatbuffer.float_constants(float32), Model(float32).run(clips)
    assert expected.std(axis=0).max() > 1e-3  # a constant would say nothing
    for measured in (None, clips[:3]):
        equalised = equalisation.equalise(float32, measured)
        after = flatbuffer.float_constants(equalised)
        assert any((before[name] != after[name]).any() for name in before)
        np.testing.assert_array_equal(Model(equalised).run(clips), expected)
        for name in before:
            np.testing.assert_array_equal(after[name] == 0, before[name] == 0)  # pruned weights, and no others


# What stands between two layers, and how many pairs the network of four layers has.
BETWEEN: dict[str, tuple[list[Any], int]] = {
    "nothing": ([], 3),
    "a ReLU": ([layers.ReLU()], 3),
    "a leaky ReLU": ([layers.LeakyReLU(0.1)], 3),
    "a maximum": ([layers.ReLU(), layers.MaxPooling2D(2, padding="same")], 3),
    "a mean": ([layers.AveragePooling2D(2)], 3),
    "a padding": ([layers.ZeroPadding2D(1)], 3),
    "a depthwise convolution": ([layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")], 4),
    "a capped ReLU": ([layers.ReLU(6.0)], 2),
    "a sigmoid": ([layers.Activation("sigmoid")], 2),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_the_function_is_the_same_whatever_stands_between(between: str, converted: Callable[..., bytes]) -> None:
    stack, pairs = BETWEEN[between]
    float32 = converted(
        layers.Conv2D(6, 3),
        *[type(layer).from_config(layer.get_config()) for layer in stack],
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(9, activation="relu"),
        layers.Dense(4),
        shape=IMAGE,
        zeros=0.3,
    )
    float32 = spread(float32)
    assert len(equalisation.find(float32)) == pairs
    assert_same_function(float32)


@pytest.mark.parametrize(
    "end",
    [[layers.Permute((2, 1, 3)), layers.Flatten()], [layers.GlobalAveragePooling2D()], [layers.GlobalMaxPooling2D()]],
    ids=["a permutation", "the mean of all", "the maximum of all"],
)
def test_channels_are_followed_to_a_dense_layer(end: list[Any], converted: Callable[..., bytes]) -> None:
    stack = [layers.Conv2D(5, 3, activation="relu"), *end, layers.Dense(4)]
    float32 = spread(converted(*stack, shape=IMAGE))
    (pair,) = equalisation.find(float32)
    (reader,) = pair.readers
    assert set(reader.channels) == set(range(5))
    assert_same_function(float32)


def test_two_readers_of_a_channel_and_two_halves_of_a_dense_layer() -> None:
    x = keras.Input(IMAGE)
    first = layers.Conv2D(6, 3, activation="relu")(x)
    left, right = layers.Conv2D(4, 1, activation="relu")(first), layers.Conv2D(5, 3, activation="relu")(first)
    joined = layers.Concatenate()([layers.GlobalMaxPooling2D()(left), layers.GlobalAveragePooling2D()(right)])
    float32 = spread(to_float32(keras.Model(x, layers.Dense(3)(joined))))
    assert sorted(len(pair.readers) for pair in equalisation.find(float32)) == [1, 1, 2]
    assert_same_function(float32)


@pytest.mark.parametrize("read", ["sum", "output", "shared"])
def test_a_channel_that_something_else_reads_is_left_alone(read: str) -> None:
    x = keras.Input((7,))
    first = layers.Dense(6, activation="relu")(x)
    if read == "sum":
        end = layers.Dense(6)(layers.Add()([layers.Dense(6)(first), first]))
    elif read == "output":
        end = layers.Activation("relu")(first)
    else:
        same = layers.Dense(6, activation="relu")
        end = layers.Dense(2)(same(same(first)))
    float32 = to_float32(keras.Model(x, end))
    assert equalisation.find(float32) == []
    assert equalisation.equalise(float32) is float32


def test_the_largest_weights_on_both_sides_of_a_channel_are_equal_but_for_a_power_of_two(
    converted: Callable[..., bytes],
) -> None:
    stack = [
        layers.Conv2D(6, 3, activation="relu"),
        layers.DepthwiseConv2D(3, activation="relu"),
        layers.Conv2D(8, 3),
        layers.Flatten(),
        layers.Dense(4),
    ]
    float32 = spread(converted(*stack, shape=IMAGE))

    def apart(model: bytes) -> float:
        """Largest ratio of the two sides of a channel, as a binary logarithm."""
        constants, worst = flatbuffer.float_constants(model), 0.0
        for pair in equalisation.find(model):
            kernel = np.moveaxis(constants[pair.kernel], pair.axis, 0)
            made = np.abs(kernel.reshape(len(kernel), -1)).max(axis=1)
            (reader,) = pair.readers
            columns = np.abs(np.moveaxis(constants[reader.kernel], reader.axis, 0))
            for channel, magnitude in enumerate(made):
                read = columns[reader.channels == channel].max()
                worst = max(worst, abs(float(np.log2(magnitude / read))))
        return worst

    equalised = equalisation.equalise(float32)
    assert apart(float32) > 4
    assert apart(equalised) <= 2.0  # half a binary place on each of the channel's sides, and of its neighbours'
    assert equalisation.equalise(equalised) == equalised


def test_four_bits_are_nearer_to_a_network_whose_channels_differ_in_size(converted: Callable[..., bytes]) -> None:
    dense = [layers.Dense(40, activation="relu"), layers.Dense(40, activation="relu"), layers.Dense(4)]
    float32, rng = converted(*dense, shape=(30,)), np.random.default_rng(8)
    constants = flatbuffer.float_constants(float32)
    for pair in equalisation.find(float32):
        (reader,), factors = pair.readers, np.exp(rng.uniform(-1.5, 1.5, 40)).astype(np.float32)
        constants[pair.kernel] *= factors[:, np.newaxis]
        constants[pair.bias or ""] *= factors
        constants[reader.kernel] /= factors
    float32 = flatbuffer.with_float_constants(float32, constants)
    clips = clips_for(float32, 64)
    expected = Model(float32).run(clips)

    def distance(name: str, **params: Any) -> float:
        scheme, config = QuantizeParams(**params).scheme(name)
        model = scheme.quantize(config, float32, clips)
        scheme.verify(config, model)
        return float(np.abs(Model(model).run(clips) - expected).mean())

    for name in ("static_wi4_ai8", "dynamic_wi4_afp32"):
        for rounding in ("nearest", "gptq"):
            plain, *ours = (distance(name, weight_rounding=rounding, equalisation=e) for e in equalisation.METHODS)
            assert max(ours) < 0.5 * plain


def test_weights_of_quantisation_aware_training_are_not_equalised(float32: bytes, clips: np.ndarray) -> None:
    scheme, asked = QuantizeParams(equalisation="weights").scheme("dynamic_wi4_afp32")
    _, plain = QuantizeParams().scheme("dynamic_wi4_afp32")
    assert scheme.quantize(asked, float32, {}) == scheme.quantize(plain, float32, {})
    assert scheme.quantize(asked, float32, None) != scheme.quantize(plain, float32, None)


@pytest.mark.parametrize("architecture", thorough_but(plugins.names(ARCHITECTURES), "ds_cnn", "strided_cnn"))
def test_every_architecture_computes_the_same(architecture: str) -> None:
    shapes = {"edac_cnn": (302, 15), "edac_cnn_lstm": (24, 24, 3), "wav2vec2_student": (3_000, 1)}
    shapes |= dict.fromkeys(("acdnet", "micro_acdnet"), (3_000, 1))
    options = {"wav2vec2_student": {"shape": checkpoints.SMALL}}
    keras.utils.set_random_seed(5)
    shape = shapes.get(architecture, (101, 40))
    model, _ = network.build(architecture, {architecture: options.get(architecture, {})}, shape, 5)
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(rng.normal(size=(8, *shape)).astype(np.float32), training=True)
    # wav2vec2 has a single pair, whose channels are nearly alike
    float32 = spread(to_float32(model), width=1.5 if architecture == "wav2vec2_student" else 0.3)
    if architecture == "bilstm":  # recurrences from end to end
        assert equalisation.find(float32) == []
    else:
        assert_same_function(float32)
