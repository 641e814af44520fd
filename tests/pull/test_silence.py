import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter1d

from stages.core.project.errors import ParameterError
from stages.pull.silence import DeadSpace, SilenceRemoval, remove_dead_space, remove_silence

RATE = 1000
RULE = SilenceRemoval()  # 500 ms of silence, 300 ms of sound, 125 ms of margin


def pieces(*lengths_ms: int) -> np.ndarray:
    """Quiet and loud in turns, each sample telling its place."""
    loud = np.concatenate([np.full(n, i % 2) for i, n in enumerate(lengths_ms)])
    return np.where(loud, 0.5, 0.0).astype(np.float32) + np.linspace(0, 0.001, len(loud), dtype=np.float32)


@pytest.mark.parametrize(
    ("lengths_ms", "kept"),
    [
        ((0, 400), [(0, 400)]),
        ((700, 400, 800), [(575, 1225)]),  # by hand: 700 - 125, 1100 + 125
        ((499, 400, 499), [(0, 1398)]),  # too short to be silences
        ((500, 400, 500), [(375, 1025)]),
        ((0, 400, 499, 400), [(0, 1299)]),
        ((0, 400, 600, 400), [(0, 525), (875, 1400)]),
        ((0, 400, 600, 300, 600, 400), [(0, 525), (1775, 2300)]),  # the sound of 300 ms is none
        ((0, 400, 600, 301, 600, 400), [(0, 525), (875, 1426), (1776, 2301)]),
        ((700,), []),
        ((300,), [(0, 300)]),
    ],
)
def test_what_stays(lengths_ms: tuple[int, ...], kept: list[tuple[int, int]]) -> None:
    samples = pieces(*lengths_ms)
    before = samples.copy()
    expected = np.concatenate([samples[:0], *(samples[start:end] for start, end in kept)])
    np.testing.assert_array_equal(remove_silence(RULE, samples, RATE), expected)
    np.testing.assert_array_equal(samples, before)


def test_the_level_is_relative_to_full_scale() -> None:
    at_level = np.full(RATE, 10 ** (-35 / 20) * 1.001, np.float32)
    assert len(remove_silence(RULE, at_level, RATE)) == RATE
    assert len(remove_silence(RULE, -0.99 * at_level, RATE)) == 0
    assert len(remove_silence(SilenceRemoval(level_dbfs=-36), -0.99 * at_level, RATE)) == RATE


@given(st.lists(st.integers(1, 1500), min_size=1, max_size=9))
def test_every_loud_stretch_long_enough_stays_and_no_long_silence_does(lengths_ms: list[int]) -> None:
    rule = SilenceRemoval(min_sound_s=0)
    samples = pieces(*lengths_ms)
    kept = remove_silence(rule, samples, RATE)
    assert np.sum(kept >= 0.4) == np.sum(samples >= 0.4)
    quiet_runs = "".join("q" if quiet else "-" for quiet in kept < 0.4).split("-")
    assert len(samples) < 500 or max(map(len, quiet_runs)) < 500
    np.testing.assert_array_equal(remove_silence(rule, kept, RATE), kept)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"level_dbfs": 3.0}, r"silence_removal\.level_dbfs must be in \[-120, 0\) dB; got 3"),
        ({"min_sound_s": -1.0}, r"silence_removal\.min_sound_s must be 0 s or more"),
        ({"margin_s": 0.3}, r"silence_removal\.margin_s .*min_silence_s; got 0\.3"),
    ],
)
def test_wrong_rules_are_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        SilenceRemoval(**options)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.floats(1, 60), st.integers(0, 10))
def test_dead_is_what_scipys_envelope_says(values: list[float], below_peak_db: float, half: int) -> None:
    samples = np.array(values, np.float32)
    rule = DeadSpace(below_peak_db=below_peak_db, window_s=max(2 * half, 0.5) / RATE)
    envelope = maximum_filter1d(np.abs(samples), 2 * half + 1, mode="constant")
    expected = samples[envelope >= np.abs(samples).max() * 10 ** (-below_peak_db / 20)]
    np.testing.assert_array_equal(remove_dead_space(rule, samples, RATE), expected)


def test_dead_space_is_20_db_below_the_peak_by_hand() -> None:
    """Half a second at full scale, one at 1 %, half a second at 11 %: of the middle the window's halves stay."""
    samples = np.concatenate([np.full(500, 1.0), np.full(1000, 0.01), np.full(500, 0.11)]).astype(np.float32)
    left = remove_dead_space(DeadSpace(), samples, RATE)
    assert (left == np.float32(0.01)).sum() == 2 * 25
    assert len(left) == 500 + 500 + 50
    assert len(remove_dead_space(DeadSpace(), samples[:0], RATE)) == 0
    silence = np.zeros(9, np.float32)
    np.testing.assert_array_equal(remove_dead_space(DeadSpace(), silence, RATE), silence)
    with pytest.raises(ParameterError, match=r"dead_space.below_peak_db must be in \(0, 120\] dB; got 0"):
        DeadSpace(below_peak_db=0)
