"""Between-class learning against hand arithmetic, and what a step sees of the clips."""

import dataclasses

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.artifacts.dataset import Split
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import ParameterError
from stages.core.training import batches
from stages.core.training.params import BetweenClass, FitParams, SpectrogramAugment

RATE = 20000


class Params(FitParams):
    SECTION = "train"


def clips(x: np.ndarray, n_classes: int = 2, **more: object) -> Split:
    names = np.array([str(i) for i in range(len(x))])
    y = np.arange(len(x)) % n_classes
    return dataclasses.replace(Split(x, y, names, names, names, tuple("abcd"[:n_classes])), **more)  # type: ignore[arg-type]


def tone(hz: float, level: float, n: int = 8192) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(n) / RATE))[:, None].astype(np.float32)


def test_a_weighting_is_librosas() -> None:
    hz = np.array([31.5, 100, 500, 1000, 4000, 10000])
    np.testing.assert_allclose(batches.a_weighting(hz), librosa.A_weighting(hz), atol=5e-3)
    assert batches.a_weighting(np.array([0.0])) == -80


def test_the_mixing_gain_is_that_of_hand_arithmetic() -> None:
    """Two tones of 1 kHz, 20 dB apart: p = 1 / (1 + 10 (1 - r) / r), over the root of p² + (1 - p)²."""
    loud, quiet = tone(1000, 0.5), np.roll(tone(1000, 0.05), 5)
    n_fft = 2048
    difference = batches.loudness(loud[:, 0], RATE, n_fft) - batches.loudness(quiet[:, 0], RATE, n_fft)
    assert difference == pytest.approx(20, abs=1e-3)
    p = 1 / (1 + 10 * (1 - 0.4) / 0.4)  # 0.0625
    assert p == pytest.approx(0.0625)
    expected = (0.0625 * loud + 0.9375 * quiet) / np.sqrt(0.0625**2 + 0.9375**2)
    np.testing.assert_allclose(batches.blend([loud, quiet], 0.4, RATE, 0.1), expected, atol=1e-5)


def test_a_low_tone_must_be_stronger_to_be_heard() -> None:
    low, high = tone(100, 0.5), tone(1000, 0.5)
    difference = batches.loudness(high[:, 0], RATE, 2048) - batches.loudness(low[:, 0], RATE, 2048)
    assert difference == pytest.approx(19.1, abs=0.3)  # the A-weighting of 100 Hz


@pytest.mark.thorough
def test_levels_blend_as_the_waveforms_would() -> None:
    """Of noises that do not correlate the powers add up: the spectrogram of the blend is the blend of spectrograms."""
    rng = np.random.default_rng(3)
    n, n_fft = 200_000, 512
    pair = [(level * rng.normal(size=(n, 1))).astype(np.float32) for level in (0.3, 0.03)]

    def levels(samples: np.ndarray) -> np.ndarray:
        spectrum = np.abs(librosa.stft(samples[:, 0], n_fft=n_fft)) ** 2
        return 10 * np.log10(spectrum.mean(axis=1, keepdims=True).T)

    mixed = levels(batches.blend(pair, 0.3, RATE, 0.1))
    bands = tuple(np.fft.rfftfreq(n_fft, 1 / RATE))
    ours = batches.blend_levels([levels(sound) for sound in pair], 0.3, bands)
    assert np.abs(ours - mixed).mean() < 0.5


@given(st.floats(0.05, 0.95), st.floats(-40, 40))
def test_equal_spectrograms_keep_their_level_and_a_constant_gain_changes_nothing(share: float, gain: float) -> None:
    level = np.random.default_rng(1).uniform(-60, 0, (7, 3, 1)).astype(np.float32)
    bands = (200.0, 1000.0, 4000.0)
    np.testing.assert_allclose(batches.blend_levels([level, level], share, bands), level, atol=1e-4)
    louder = batches.blend_levels([level + gain, level + gain], share, bands)
    np.testing.assert_allclose(louder, level + gain, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.8, 1.25), st.integers(5, 60), st.integers(0, 2**32))
def test_stretching_interpolates_linearly(factor: float, length: int, seed: int) -> None:
    """A ramp stays a ramp, of another slope; what was beyond its ends is silence."""
    clip = np.arange(1, 41, dtype=np.float32)[:, None]
    ours = batches.stretched(clip, factor, length, np.random.default_rng(seed), silence=-1.0)[:, 0]
    assert ours.shape == (length,)
    heard = ours != -1.0
    assert heard.any()
    np.testing.assert_allclose(np.diff(ours[heard]), 1 / factor, atol=1e-4)
    if length < int(40 * factor):
        assert heard.all() or ours[-1] == -1  # the last sample's stretched end has no neighbour to go to


def test_a_clip_is_blended_with_one_of_another_class_and_the_target_says_how_much() -> None:
    """Clips that are constant tell their shares: class 0 is a tone of 1 kHz, class 1 one of 3 kHz."""
    x = np.stack([tone(1000 if i % 2 == 0 else 3000, 0.1, 4000) for i in range(6)])
    split = clips(x, sample_rate=RATE, bands=(), crop_length=2048)
    targets = np.eye(2, dtype=np.float32)[split.y]
    rule = BetweenClass(stretch=1.0, gain_db=0.0)
    params = Params(between_class=rule)
    ours, t = batches.batch(split, targets, np.arange(6), params, np.random.default_rng(0))
    assert ours.shape == (6, 2048, 1)
    np.testing.assert_allclose(t.sum(axis=1), 1, rtol=1e-6)
    spectra = np.abs(np.fft.rfft(ours[..., 0] * np.hanning(2048), axis=1))
    hz = np.fft.rfftfreq(2048, 1 / RATE)
    heard = np.stack([spectra[:, np.abs(hz - tone_hz) < 50].max(axis=1) for tone_hz in (1000, 3000)], axis=1)
    heard *= 10 ** (batches.a_weighting(np.array([1000.0, 3000.0])) / 20)
    np.testing.assert_allclose(heard[:, 0] / heard.sum(axis=1), t[:, 0], atol=0.02)


def test_the_same_generator_gives_the_same_batch_and_clips_stay_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(4, 9000, 1)).astype(np.float32)
    split, before = clips(x, sample_rate=RATE, bands=(), crop_length=3000), x.copy()
    targets = np.eye(2, dtype=np.float32)[split.y]
    params = Params(between_class=BetweenClass())
    first, second = (
        batches.batch(split, targets, np.arange(4), params, np.random.default_rng(seed)) for seed in (5, 5)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(x, before)


def test_a_clip_is_blended_with_the_one_that_a_choice_among_all_others_draws() -> None:
    """The draw is that of `Generator.choice` among the clips of other labels, as the published runs made it."""
    n = 12
    split = clips(np.zeros((n, 4, 3, 1), np.float32), 3, sample_rate=RATE, bands=(200.0, 1000.0, 4000.0))
    targets = np.hstack([np.eye(3)[split.y], np.arange(n)[:, np.newaxis]]).astype(np.float32)
    params = Params(between_class=BetweenClass(stretch=1.0, gain_db=0.0))
    for row in range(n):
        _, t = batches.batch(split, targets, np.array([row]), params, np.random.default_rng(row))
        rng = np.random.default_rng(row)
        other = rng.choice(np.flatnonzero(split.y != split.y[row]))
        share = t[0, split.y[row]]
        assert t[0, 3] == pytest.approx(share * row + (1 - share) * other, abs=1e-5)


def test_levels_are_padded_with_their_own_silence() -> None:
    x = np.full((4, 20, 3, 1), -10, np.float32)
    x[:, :2] = -80
    split = clips(x, sample_rate=RATE, bands=(200.0, 1000.0, 4000.0))
    targets = np.eye(2, dtype=np.float32)[split.y]
    params = Params(between_class=BetweenClass(stretch=2.0, gain_db=0.0))
    ours, _ = batches.batch(split, targets, np.arange(4), params, np.random.default_rng(2))
    assert ours.shape == x.shape
    assert ours.min() >= -80.1
    assert ours.max() <= -9.9


def test_other_features_cannot_be_blended() -> None:
    split = clips(np.zeros((4, 5, 2), np.float32))
    with pytest.raises(ParameterError, match=r"train.between_class .*dB"):
        batches.batch(split, np.eye(4, 2, dtype=np.float32), np.arange(4), Params(between_class=BetweenClass()), None)  # type: ignore[arg-type]


def test_it_stands_alone() -> None:
    with pytest.raises(ParameterError, match=r"train\.between_class .*mixup"):
        Params(between_class=BetweenClass(), mixup=0.2)
    with pytest.raises(ParameterError, match=r"between_class.stretch must be in \[1, 4\]; got 0.8"):
        BetweenClass(stretch=0.8)


def test_the_gradient_is_that_of_the_divergence(rng: np.random.Generator) -> None:
    logits = tf.Variable(rng.normal(size=(5, 4)))
    targets = rng.dirichlet(np.ones(4), 5)
    gradients = []
    for loss in (keras.losses.kl_divergence, keras.losses.categorical_crossentropy):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(targets, tf.nn.softmax(logits)))
        gradients.append(tape.gradient(value, logits).numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)


def test_random_crops_are_of_the_clip_and_differ() -> None:
    x = np.arange(4 * 100, dtype=np.float32).reshape(4, 100, 1)
    split = clips(x, crop_length=30, n_crops=3)
    ours, _ = batches.batch(split, np.zeros((4, 2), np.float32), np.arange(4), Params(), np.random.default_rng(0))
    assert ours.shape == (4, *split.input_shape)
    starts = ours[:, 0, 0] - 100 * np.arange(4)
    assert ((starts >= 0) & (starts <= 70)).all()
    assert len(set(starts)) > 1
    np.testing.assert_array_equal(np.diff(ours[..., 0], axis=1), 1)


def test_a_pitch_a_band_higher_is_the_tone_one_band_up() -> None:
    clip = np.full((3, 8, 1), -60, np.float32)
    clip[:, 4] = 0
    up = batches.shifted(clip, 1.0)
    np.testing.assert_array_equal(up[:, 5], clip[:, 4])
    np.testing.assert_array_equal(up[:, 1:], clip[:, :-1])
    np.testing.assert_allclose(batches.shifted(clip, -0.25)[0, :, 0], [-60, -60, -60, -15 * 3, -15, -60, -60, -60])
    np.testing.assert_array_equal(batches.shifted(clip, 0.0), clip)


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(30, 8), (30, 8, 1)]))
@settings(max_examples=30, deadline=None)
def test_a_variation_keeps_the_shape_and_stays_within_what_it_may_add(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    clip = rng.uniform(-80, 0, shape).astype(np.float32)
    before = clip.copy()
    varied = batches.augmented(clip, SpectrogramAugment(p=1.0, noise_db=(20.0, 60.0)), rng)
    np.testing.assert_array_equal(clip, before)
    assert varied.shape == clip.shape
    assert varied.dtype == np.float32
    assert varied.max() <= clip.max() + 6 + 10 * np.log10(1 + 0.01 * 40)  # an exponential above 40 is not to be met
    np.testing.assert_array_equal(batches.augmented(clip, SpectrogramAugment(p=0.0), rng), clip)


def test_noise_is_as_far_below_the_peak_as_it_is_told() -> None:
    clip = np.full((2000, 8), -200, np.float32)
    clip[0, 0] = 0
    rule = SpectrogramAugment(p=1.0, stretch=1, bands=0, gain_db=0, noise_db=(30.0, 30.0))
    noise = batches.augmented(clip, rule, np.random.default_rng(1))[1:]
    assert 10 * np.log10(np.mean(10.0 ** (noise / 10))) == pytest.approx(-30, abs=0.2)


def test_variations_need_levels_and_stand_without_between_class_learning() -> None:
    split = clips(np.zeros((4, 30, 1), np.float32), bands=())
    with pytest.raises(ParameterError, match=r"train.vary .*dB"):
        batches.batch(
            split,
            np.eye(4, dtype=np.float32),
            np.arange(4),
            Params(vary=SpectrogramAugment()),
            np.random.default_rng(1),
        )
    with pytest.raises(ParameterError, match=r"between_class .*mixup, time_shift or vary"):
        Params(vary=SpectrogramAugment(), between_class=BetweenClass())
    with pytest.raises(ParameterError, match=r"vary.noise_db .*peak"):
        SpectrogramAugment(noise_db=(60.0, 20.0))


def test_only_clips_of_the_background_class_are_heard_in_the_background() -> None:
    """Class 0 sounds in one band alone, class 1 in another; what is mixed in must be of class 1."""
    x = np.full((40, 6, 4, 1), -60.0, np.float32)
    x[::2, :, 0], x[1::2, :, 3] = 0.0, 0.0
    split = clips(x, 2, sample_rate=RATE, bands=(200.0, 400.0, 800.0, 1600.0))
    rule = SpectrogramAugment(
        p=1.0, stretch=1.0, bands=0.0, gain_db=0.0, noise_db=None, background_db=(10.0, 10.0), background="b"
    )
    targets, rows = np.eye(2, dtype=np.float32)[split.y], np.arange(0, 40, 2)
    heard, t = batches.batch(split, targets, rows, Params(vary=rule), np.random.default_rng(3))
    np.testing.assert_allclose(heard[:, :, 3], -10.0, atol=0.01)
    np.testing.assert_array_equal(t, targets[rows])
    with pytest.raises(ParameterError, match=r"train.vary.background must be a label of training clips \(a, b\)"):
        batches.batch(
            split, targets, rows, Params(vary=dataclasses.replace(rule, background="c")), np.random.default_rng(3)
        )
    with pytest.raises(ParameterError, match=r"vary.background must be left out where background_db is"):
        SpectrogramAugment(background="b")
