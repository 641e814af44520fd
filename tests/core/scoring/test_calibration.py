import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from stages.core.artifacts.dataset import SplitLabels
from stages.core.scoring import calibration
from stages.core.scoring.metrics import MetricParams
from stages.core.scoring.summary import summarise


def test_the_observed_error_is_the_weighted_gap_of_scikit_learns_calibration_curve(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, 300)
    scores = np.round(np.clip(0.3 * y + 0.7 * rng.uniform(size=300), 0, 1), 2)
    fraction, mean = calibration_curve(y, scores, n_bins=10)
    edges = np.linspace(0, 1, 11)
    counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=10)
    expected = np.sum(np.abs(fraction - mean) * counts[counts > 0]) / len(y)
    assert float(calibration.observed_error(y, scores)) == pytest.approx(expected, abs=1e-12)


def test_the_observed_error_of_a_multi_class_task_by_hand() -> None:
    y = np.array([0, 1, 2, 2])
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.65, 0.05], [0.62, 0.2, 0.18], [0.0, 0.0, 1.0]])
    # the first three share the bin (0.6, 0.7]: confidence 0.7 + 0.65 + 0.62 against two right; the last is perfect
    assert float(calibration.observed_error(y, scores)) == pytest.approx(abs(1.97 - 2) / 4)


@pytest.mark.parametrize(("n", "known"), [(52, 0.140), (163, 0.080), (400, 0.052)])
def test_the_null_value_is_what_a_perfect_forecaster_shows(rng: np.random.Generator, n: int, known: float) -> None:
    observed, null = [], []
    for _ in range(300):
        scores = rng.uniform(size=n)
        y = (rng.uniform(size=n) < scores).astype(int)
        observed.append(float(calibration.observed_error(y, scores)))
        null.append(calibration.null_error(y, scores))
    assert np.mean(null) == pytest.approx(np.mean(observed), rel=0.06)
    assert np.mean(null) == pytest.approx(known, abs=0.02)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.2])
def test_what_chance_puts_there_is_taken_out(rng: np.random.Generator, gap: float) -> None:
    found = []
    for _ in range(200):
        scores = rng.uniform(0.3, 0.95, size=163)
        y = (rng.uniform(size=163) < scores - gap).astype(int)
        found.append(calibration.debiased(float(calibration.observed_error(y, scores)), y, scores))
    assert np.median(found) == pytest.approx(gap, abs=0.025)


def test_the_interval_of_a_perfect_forecaster_reaches_0(rng: np.random.Generator) -> None:
    scores = rng.uniform(size=163)
    y, names = (rng.uniform(size=163) < scores).astype(int), np.arange(163).astype(str)
    params = MetricParams(resamples=200)
    got = summarise(SplitLabels(y, names, np.full(163, "")), scores, labels=("no", "yes"), params=params)
    figure = got["pooled"]["calibration_error"]
    assert figure["low"] == 0
    assert figure["value"] < figure["observed"]
    assert figure["null"] == pytest.approx(0.08, abs=0.02)


def test_several_labels_are_the_mean_over_classes(rng: np.random.Generator) -> None:
    scores = rng.uniform(size=(90, 3))
    y = (rng.uniform(size=(90, 3)) < scores).astype(int)
    alone = [calibration.null_error(y[:, c], scores[:, c]) for c in range(3)]
    assert calibration.null_error(y, scores) == pytest.approx(np.mean(alone))
