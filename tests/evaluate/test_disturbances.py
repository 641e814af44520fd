"""Disturbances against what they say of themselves: levels, decays, bands and delays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.project.errors import ParameterError
from stages.core.project.params import load
from stages.evaluate import disturbances
from stages.evaluate.params import Robustness

RATE = 16_000
RNG = np.random.default_rng
EVERYTHING = Robustness(
    noise_snr_db=(10,),
    gain_db=(6,),
    sample_rates=(8000,),
    reverberation_s=(0.5,),
    codecs=("alaw", "gsm", "mp3", "opus"),
    clip_db=(6,),
    bands_hz=((300.0, 3400.0), (300.0, 9000.0)),
    shift_s=(0.05, -0.05),
)


def tone(frequency: float, n: int = 16_000) -> np.ndarray:
    wave: np.ndarray = 0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / RATE)
    return wave.astype(np.float32)


@pytest.mark.parametrize("snr_db", [20.0, 0.0, -10.0])
def test_noise_lies_so_many_decibels_below_the_recording(snr_db: float) -> None:
    clean = tone(440, 200_000)
    noise = disturbances.with_noise(snr_db)(clean, RATE, RNG(1)).astype(np.float64) - clean
    assert 10 * np.log10(np.mean(clean.astype(np.float64) ** 2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.05)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.01  # white


def test_silence_stays_silence() -> None:
    for samples in (np.zeros(10, np.float32), np.zeros(0, np.float32)):
        np.testing.assert_array_equal(disturbances.with_noise(10)(samples, RATE, RNG(1)), samples)


def test_gain_changes_the_level_and_full_scale_is_cut_off() -> None:
    np.testing.assert_allclose(disturbances.with_gain(-20)(tone(440), RATE, RNG(1)), tone(440) / 10, rtol=1e-6)
    loud = disturbances.with_gain(20)(tone(440), RATE, RNG(1))
    assert np.abs(loud).max() == 1
    np.testing.assert_array_equal(np.sign(loud), np.sign(tone(440)))


@pytest.mark.parametrize(("frequency", "kept"), [(1000, 1.0), (3000, 1.0), (5000, 0.0), (7000, 0.0)])
def test_a_telephone_keeps_what_lies_below_four_kilohertz(frequency: float, kept: float) -> None:
    clean = tone(frequency)
    narrow = disturbances.through_rate(8000)(clean, RATE, RNG(1))
    assert narrow.shape == clean.shape
    middle = slice(2000, -2000)  # the ends count as silence
    np.testing.assert_allclose(narrow[middle], kept * clean[middle], atol=0.01)


@pytest.mark.thorough
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12_000), st.sampled_from([8000, 16_000, 22_050]), st.integers(0, 9))
def test_every_disturbance_keeps_length_type_and_silence_and_repeats_itself(n: int, rate: int, seed: int) -> None:
    sound = RNG(seed).normal(scale=0.1, size=n).astype(np.float32)
    for name, disturb in disturbances.conditions(EVERYTHING).items():
        found = disturb(sound, rate, RNG(1))
        assert found.shape == sound.shape, name
        assert found.dtype == np.float32, name
        assert np.isfinite(found).all(), name
        np.testing.assert_array_equal(found, disturb(sound, rate, RNG(1)))
        assert np.abs(disturb(np.zeros(n, np.float32), rate, RNG(1))).max(initial=0.0) < 1e-3, name


def test_a_room_decays_by_sixty_decibels_in_its_time_and_keeps_the_power() -> None:
    click = np.zeros(RATE, np.float32)
    click[0] = 0.5
    heard = disturbances.in_room(0.5)(click, RATE, RNG(2)).astype(np.float64)
    assert np.mean(heard**2) == pytest.approx(np.mean(click.astype(np.float64) ** 2), rel=1e-5)
    tail = heard[1 : RATE // 2]
    decay = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1])  # Schroeder's backward integration
    early = slice(0, RATE // 4)
    slope = np.polyfit(np.arange(len(tail))[early] / RATE, decay[early], 1)[0]
    assert -60 / slope == pytest.approx(0.5, rel=0.05)
    assert heard[0] ** 2 == pytest.approx(np.sum(tail**2), rel=0.2)  # as strong as the direct sound


def test_clipping_keeps_what_lies_below_its_limit() -> None:
    found = disturbances.clipped(6)(tone(440), RATE, RNG(1))
    limit = 0.5 * 10 ** (-6 / 20)
    assert np.abs(found).max() == pytest.approx(limit, rel=1e-4)
    below = np.abs(tone(440)) < limit - 1e-6
    np.testing.assert_array_equal(found[below], tone(440)[below])


@pytest.mark.parametrize(("frequency", "decibels"), [(1000, 0.0), (300, -3.01), (3400, -3.01)])
def test_a_band_has_its_edges_at_minus_three_decibels(frequency: float, decibels: float) -> None:
    found = disturbances.in_band(300, 3400)(tone(frequency, 64_000), RATE, RNG(1))[32_000:]
    level = 10 * np.log10(np.mean(found.astype(np.float64) ** 2) / 0.125)
    assert level == pytest.approx(decibels, abs=0.1)
    assert np.abs(disturbances.in_band(300, 3400)(tone(60, 64_000), RATE, RNG(1))[32_000:]).max() < 0.001


def test_a_shift_moves_and_fills_with_silence() -> None:
    sound = np.arange(1, 6, dtype=np.float32)
    assert disturbances.shifted(2 / RATE)(sound, RATE, RNG(1)).tolist() == [0, 0, 1, 2, 3]
    assert disturbances.shifted(-2 / RATE)(sound, RATE, RNG(1)).tolist() == [3, 4, 5, 0, 0]
    assert disturbances.shifted(1)(sound, RATE, RNG(1)).tolist() == [0] * 5


@pytest.mark.parametrize("codec", ["alaw", "gsm", "mp3", "opus"])
def test_a_codec_changes_a_little_and_delays_nothing(codec: str) -> None:
    rng = RNG(4)
    slow = np.interp(np.arange(RATE), np.arange(0, RATE, 400), rng.random(40))
    sound = (0.6 * slow * tone(500)).astype(np.float32)
    found = disturbances.through_codec(codec)(sound, RATE, rng)
    error = found[800:-800].astype(np.float64) - sound[800:-800]
    snr = 10 * np.log10(np.mean(sound[800:-800].astype(np.float64) ** 2) / np.mean(error**2))
    assert 8 < snr < 60
    loud = disturbances.through_codec(codec)(8 * sound, RATE, rng)  # beyond full scale
    assert np.corrcoef(loud, sound)[0, 1] > 0.95


def test_a_codec_that_nobody_has_is_refused() -> None:
    with pytest.raises(ParameterError, match="alaw, gsm, mp3, opus; got 'speex'"):
        load(Robustness, {"codecs": ["speex"]}, "evaluate.robustness")
