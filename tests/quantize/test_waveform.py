"""A convolution of a waveform, computed at several places at once, gives the same scores to the bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.core.litert import flatbuffer, single
from stages.core.nn.keras import keras
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.quantize.waveform import CHANNELS, with_frames
from stages.runtime.crops import crops
from stages.runtime.litert import Model
from stages.train.architectures import mel_cnn, micro_acdnet


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.utils.set_random_seed(1)  # of some weights no unit of a layer answers, and LiteRT runs no such integers


def integers(network: "keras.Model", scheme: str = "static_wi8_ai8") -> bytes:
    module, config = QuantizeParams().scheme(scheme)
    clips = np.random.default_rng(1).normal(size=(8, *network.input_shape[1:])).astype(np.float32)
    return bytes(module.quantize(config, to_float32(network), clips if module.NEEDS_CALIBRATION else None))


def assert_same_scores(model: bytes, other: bytes) -> None:
    ours, theirs = Model(model), Model(other)
    clips = np.random.default_rng(2).normal(size=(5, *ours.input_shape)).astype(np.float32)
    for scale in (0.1, 1.0, 10.0):
        np.testing.assert_array_equal(ours.run(scale * clips), theirs.run(scale * clips))


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    taps=st.integers(1, 12),
    stride=st.integers(1, 7),
    filters=st.integers(1, CHANNELS + 1),
    spare=st.integers(0, 40),
    relu=st.booleans(),
)
def test_scores_are_the_same_to_the_bit(taps: int, stride: int, filters: int, spare: int, relu: bool) -> None:
    layers, n_samples = keras.layers, taps + spare
    inputs = layers.Input((n_samples, 1))
    x = layers.Reshape((1, n_samples, 1))(inputs)
    x = layers.Conv2D(filters, (1, taps), (1, stride), bias_initializer="ones", name="first")(x)
    x = layers.Flatten()(layers.ReLU()(x) if relu else x)
    model = integers(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)))
    found = with_frames(model)
    assert_same_scores(model, found)
    weights = flatbuffer.read(found).prunable[0].values
    places = CHANNELS // filters
    if places < 2:
        assert found is model
    else:
        assert weights.shape[0] == places * filters
        assert np.count_nonzero(weights) == places * np.count_nonzero(flatbuffer.read(model).prunable[0].values)


def test_micro_acdnet_is_changed_in_its_first_convolution_alone() -> None:
    config = micro_acdnet.Config(channels=(7, 20, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4), pool=8)
    model = integers(micro_acdnet.build(config, (603, 1), 3))
    found = with_frames(model)
    assert_same_scores(model, found)
    before, after = flatbuffer.read(model), flatbuffer.read(found)
    assert [w.values.shape for w in after.prunable][1:] == [w.values.shape for w in before.prunable][1:]
    assert after.prunable[0].values.shape == (28, 1, 2, 8)
    more = {name: n - before.operators.get(name, 0) for name, n in after.operators.items()}
    assert {name: n for name, n in more.items() if n} == {"CONCATENATION": 1, "RESHAPE": 2, "SLICE": 1}
    assert with_frames(found) == found
    assert len(found) < len(model) + 3500


@pytest.mark.parametrize("scheme", ["float32", "dynamic_wi8_afp32", "static_wi8_ai16", "static_wi4_ai8"])
def test_other_numbers_are_left_as_they_are(scheme: str) -> None:
    config = micro_acdnet.Config(channels=(7, 20, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4), pool=8)
    model = integers(micro_acdnet.build(config, (600, 1), 3), scheme)
    assert with_frames(model) is model


def test_networks_on_spectrograms_are_left_as_they_are() -> None:
    model = integers(mel_cnn.build(mel_cnn.Config(widths=(4, 4)), (20, 16, 1), 3))
    assert with_frames(model) is model
    pictures = keras.Sequential(
        [keras.layers.Conv2D(4, (1, 3), name="c"), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    pictures.build((None, 4, 9, 1))
    model = integers(pictures)
    assert with_frames(model) is model, "its rows would run into each other"


def test_one_file_holds_it_with_its_front_end() -> None:
    config = micro_acdnet.Config(channels=(7, 20, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4), pool=8)
    found = with_frames(integers(micro_acdnet.build(config, (600, 1), 3)))
    inputs = keras.layers.Input((800,))
    frontend = to_float32(keras.Model(inputs, keras.layers.Reshape((800, 1))(inputs)))
    merged = Model(single.merge(frontend, found, n_crops=3))
    clips = np.random.default_rng(3).normal(size=(4, 800)).astype(np.float32)
    expected = [Model(found).mean(each) for each in crops(clips[..., np.newaxis], 3, 600)]
    np.testing.assert_allclose(merged.run(clips), expected, atol=1e-6)
