"""Augmentation by speaker, microphone, room and background: laws of power, and draws that are off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.training import surroundings
from stages.core.training.params import SpectrogramAugment


def levels(seed: int, n: int = 3, steps: int = 12, bands: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-80, 0, (n, steps, bands, 1)).astype(np.float32)


def mean_power(x: np.ndarray) -> np.ndarray:
    return (10.0 ** (x / 10)).mean((1, 2, 3))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), snr=st.floats(-10, 40))
def test_the_background_has_the_ratio_asked_for(seed: int, snr: float) -> None:
    x, others = levels(seed).astype(np.float64), levels(seed + 1).astype(np.float64)
    mixed = surroundings.with_background(x, others, np.array([snr, np.inf, snr]))
    added = mean_power(mixed)[[0, 2]] - mean_power(x)[[0, 2]]
    np.testing.assert_allclose(10 * np.log10(mean_power(x)[[0, 2]] / added), snr, atol=1e-6)
    np.testing.assert_array_equal(mixed[1], x[1])


def test_a_room_decays_by_60_db_in_its_time_and_adds_its_share_to_a_steady_sound() -> None:
    click = np.full((1, 60, 2, 1), -200.0)
    click[0, 0] = 0.0
    heard = surroundings.reverberated(click, np.array([20.0]), np.array([0.5]))[0, :, 0, 0]
    assert heard[1] - heard[21] == pytest.approx(60, abs=1e-6)
    steady = surroundings.reverberated(np.zeros((1, 400, 2, 1)), np.array([20.0]), np.array([0.5]))[0, -1, 0, 0]
    assert steady == pytest.approx(10 * np.log10(1.5), abs=1e-3)


def test_a_warp_moves_a_band_and_one_changes_nothing() -> None:
    x = np.zeros((2, 4, 16, 1), np.float32)
    x[:, :, 8] = 10
    moved = surroundings.warped(x, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(moved[0], x[0])
    assert moved[1, 0, :, 0].argmax() == 4  # band 4 of the result is band 8 of the clip


def test_a_filter_is_the_same_at_every_step() -> None:
    x = levels(0)
    change = surroundings.filtered(x, np.array([[0.0, 3.0, -2.0, 1.0, 4.0]] * len(x))) - x
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-5)
    np.testing.assert_allclose(change[0, 0, [0, 2, 4, 6, 8], 0], [0, 3, -2, 1, 4], atol=1e-5)


def test_what_is_off_draws_nothing() -> None:
    rng, same = np.random.default_rng(1), np.random.default_rng(1)
    x = levels(0)
    np.testing.assert_array_equal(surroundings.surrounded(x, x, SpectrogramAugment(), rng), x)
    assert rng.integers(2**40) == same.integers(2**40)


@pytest.mark.parametrize("shape", [(3, 12, 9), (3, 12, 9, 1)])
def test_everything_on_is_finite_and_keeps_the_shape(shape: tuple[int, ...]) -> None:
    rule = SpectrogramAugment(p=1.0, warp=0.2, room=0.5, filter_db=4.0, background_db=(0.0, 30.0))
    x = levels(5).reshape(shape)
    made = surroundings.surrounded(x, x[::-1], rule, np.random.default_rng(2))
    assert made.shape == shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert (made != x).any()
