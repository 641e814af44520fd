"""Scale and shift of logits against scikit-learn's Platt scaling, by their laws, and by simulation."""

import doctest
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import _sigmoid_calibration

from stages.core.artifacts.network import ScoreCalibration
from stages.core.scoring import logits as scaling
from stages.core.scoring.logits import Logits, fit
from tests.messages import line_with


def binary(rng: np.random.Generator, n: int, scale: float, shift: float, spread: float = 1.0) -> Logits:
    """Clips whose true probability is sigmoid(scale z + shift)."""
    z = rng.normal(scale=spread, size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-scale * z - shift))).astype(int)
    return Logits(z[:, None, None], y, np.arange(n).astype(str))


def several(rng: np.random.Generator, n: int, scale: float) -> Logits:
    z = rng.normal(size=(n, 4))
    p = np.exp(scale * z)
    y = (rng.random((n, 1)) > (p / p.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    return Logits(z[:, None], y, np.arange(n).astype(str))


@pytest.mark.parametrize("seed", range(5))
def test_a_sigmoid_gets_platts_scaling_as_scikit_learn_computes_it(seed: int) -> None:
    logits = binary(np.random.default_rng(seed), 300, 3.0, -1.0)
    slope, intercept = _sigmoid_calibration(logits.values[:, 0, 0], logits.y)
    found = fit(logits, "temperature")
    assert found.scale == pytest.approx((-slope,), rel=1e-4)
    assert found.shift == pytest.approx((-intercept,), rel=1e-3)
    assert (found.n, found.groups, found.reason) == (300, 300, "")


def test_a_softmax_gets_the_temperature_that_a_search_finds() -> None:
    logits = several(np.random.default_rng(1), 400, 2.5)
    z, counts = logits.values[:, 0], np.bincount(logits.y)
    right = ((counts + 1) / (counts + 2))[logits.y]

    def loss(log_scale: float) -> float:
        log_p = np.exp(log_scale) * z
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        own = log_p[np.arange(400), logits.y]
        return -float(np.sum(right * own + (1 - right) / 3 * (log_p.sum(axis=1) - own)))

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    found = fit(logits, "temperature")
    assert found.scale == pytest.approx((expected,) * 4, rel=1e-4)
    assert found.shift == (0, 0, 0, 0)
    assert found.scale[0] == pytest.approx(2.5, rel=0.25)


def test_a_shift_per_class_is_found_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(2)
    z, shift = rng.normal(size=(4000, 3)), np.array([0.0, 1.5, -1.0])
    p = np.exp(1.5 * z + shift)
    y = (rng.random((4000, 1)) > (p / p.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    found = fit(Logits(z[:, None], y, np.arange(4000).astype(str)), "temperature_and_bias")
    assert found.scale == pytest.approx((1.5,) * 3, rel=0.1)
    assert found.shift == pytest.approx(tuple(shift), abs=0.2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 20), st.floats(-5, 5), st.booleans())
def test_ranks_stay_and_the_scores_before_can_be_had_back(seed: int, scale: float, shift: float, sigmoid: bool) -> None:
    z = np.random.default_rng(seed).normal(size=(20, 1, 1 if sigmoid else 4)) / scale
    n_outputs = z.shape[-1]
    given_shift = (shift,) if sigmoid else (0.0,) * 4
    calibration = ScoreCalibration(scale=(scale,) * n_outputs, shift=given_shift)
    untouched = ScoreCalibration(scale=(1.0,) * n_outputs, shift=(0.0,) * n_outputs)
    before = scaling.scores(untouched, z, sigmoid=sigmoid)
    after = scaling.scores(calibration, z, sigmoid=sigmoid)
    axis = 0 if sigmoid else 1
    np.testing.assert_array_equal(np.argsort(before, axis=axis), np.argsort(after, axis=axis))
    again = scaling.before(calibration, after[:, 0] if sigmoid else after, multi_label=False)
    np.testing.assert_allclose(again, before[:, 0] if sigmoid else before, rtol=1e-6)


def test_the_mean_over_crops_is_what_is_fitted() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2000, 5, 1)) + rng.normal(size=(2000, 1, 1))
    p = (1 / (1 + np.exp(-3 * z - 0.5))).mean(axis=1)[:, 0]
    y = (rng.random(2000) < p).astype(int)
    found = fit(Logits(z, y, np.arange(2000).astype(str)), "temperature")
    assert (*found.scale, *found.shift) == pytest.approx((3.0, 0.5), rel=0.2)


@pytest.mark.thorough
def test_each_class_of_a_multi_label_task_is_fitted_or_refused_on_its_own() -> None:
    rng = np.random.default_rng(4)
    first, second = binary(rng, 500, 2.0, 1.0), binary(rng, 500, 0.5, 0.0)
    y = np.stack([first.y, second.y, np.zeros(500, int)], axis=1)
    z = np.concatenate([first.values, second.values, second.values], axis=2)
    found = fit(Logits(z, y, first.groups), "temperature")
    assert found.scale[:2] == fit(first, "temperature").scale + fit(second, "temperature").scale
    assert (found.scale[2], found.shift[2]) == (1, 0)
    assert line_with(found.reason, "output 2", "0 groups", "needs 3")


@pytest.mark.parametrize(
    "n, groups, reason",
    [
        (200, 4, "4 groups; .*needs 5"),
        (6, 6, "2 groups .*needs 3"),
    ],
)
def test_too_small_a_validation_split_is_refused(n: int, groups: int, reason: str) -> None:
    y = np.arange(n) % 2 if n > 10 else np.array([1, 1, 0, 0, 0, 0])
    found = fit(Logits(np.ones((n, 1, 1)), y, (np.arange(n) % groups).astype(str)), "temperature")
    assert re.search(reason, found.reason)
    assert not found.changes_scores


@pytest.mark.thorough
def test_calibrated_scores_are_left_alone_more_often_than_not_and_never_made_much_worse() -> None:
    rng = np.random.default_rng(5)
    found = [fit(binary(rng, 60, 1.0, 0.0, spread=2.0), "temperature") for _ in range(60)]
    assert np.mean([each.changes_scores for each in found]) < 0.5
    scores = binary(rng, 20_000, 1.0, 0.0, spread=2.0)

    def log_loss(calibration: ScoreCalibration) -> float:
        p = scaling.scores(calibration, scores.values, sigmoid=True)[:, 0]
        return -float(np.mean(np.log(np.where(scores.y == 1, p, 1 - p))))

    untouched = log_loss(ScoreCalibration(scale=(1.0,), shift=(0.0,)))
    assert np.mean([log_loss(each) - untouched for each in found]) < 0.02


@pytest.mark.thorough
@pytest.mark.parametrize("n, least", [(40, 0.9), (150, 0.98)])
def test_scores_that_answer_alike_to_everything_become_probabilities(n: int, least: float) -> None:
    """The demo's champion ranked well and answered 0.37 to 0.40: simulated, how often does calibration help?"""
    rng, better = np.random.default_rng(6), []
    test = binary(rng, 20_000, 100.0, 0.0, spread=0.03)
    raw = Logits(test.values - 0.5, test.y, test.groups)
    y = raw.y
    for _ in range(60):
        sample = binary(rng, n, 100.0, 0.0, spread=0.03)
        found = fit(Logits(sample.values - 0.5, sample.y, sample.groups), "temperature")
        if not found.changes_scores:
            better.append(False)
            continue
        p = scaling.scores(found, raw.values, sigmoid=True)[:, 0]
        q = 1 / (1 + np.exp(-raw.values[:, 0, 0]))
        better.append(bool(np.mean((p - y) ** 2) < np.mean((q - y) ** 2)))
    assert np.mean(better) >= least


def test_the_examples_run() -> None:
    assert doctest.testmod(scaling).failed == 0


@pytest.mark.parametrize("sigmoid", [True, False])
def test_scores_of_one_and_just_below_it_come_from_alike_logits(sigmoid: bool) -> None:
    """A network and its file may differ by the last bit of a sure clip."""
    calibration = ScoreCalibration(scale=(2.0,) * (1 if sigmoid else 3), shift=(0.0,) * (1 if sigmoid else 3))
    sure = np.array([1.0, 0.4, 0.7] if sigmoid else [[1.0, 1e-9, 1e-12], [0.5, 0.3, 0.2]], np.float32)
    nearly = sure.copy()
    nearly.flat[0] = np.nextafter(np.float32(1), np.float32(0))
    found = [scaling.before(calibration, each, multi_label=False) for each in (sure, nearly)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
