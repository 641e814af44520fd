"""Error of the non-inferiority bound: how often a variant at the margin is declared better than that."""

import numpy as np

from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.resampling import Draws
from tests.bench.coverage.intervals import scores_of
from tests.bench.coverage.samples import Result, Setting

CASES = (  # metric, groups, clips of a group, baseline, correlation with the baseline, margin
    *(("accuracy", 163, 1, 0.85, 0.99, 0.02), ("accuracy", 163, 1, 0.85, 0.998, 0.02)),
    *(("accuracy", 163, 1, 0.85, 0.99, 0.05), ("accuracy", 163, 1, 0.85, 0.998, 0.05)),
    *(("accuracy", 52, 1, 0.85, 0.99, 0.05), ("accuracy", 52, 1, 0.85, 0.998, 0.02)),
    *(("accuracy", 400, 1, 0.85, 0.99, 0.02), ("accuracy", 400, 1, 0.85, 0.998, 0.05)),
    *(("roc_auc", 52, 1, 0.97, 0.99, 0.02), ("roc_auc", 163, 1, 0.97, 0.99, 0.02)),
    *(("roc_auc", 163, 1, 0.85, 0.99, 0.05), ("roc_auc", 10, 5, 0.9, 0.99, 0.05), ("roc_auc", 20, 5, 0.9, 0.99, 0.1)),
)
VARIANTS = 30
RESAMPLES = 500


Case = tuple[str, int, int, float, float, float]


def of_variants(runs: int, cases: tuple[Case, ...] = CASES) -> list[Result]:
    """Return the error of the bound on 30 variants whose true drop is the margin."""
    found = []
    for case in cases:
        metric, n_groups, size, value, correlation, margin = case
        shown = f"{metric} {value:g}, {n_groups} groups of {size}, correlation {correlation:g}, margin {margin:g}"
        before, now = (f"{error:.3f}" for error in errors(case, runs))
        found.append(Result(f"non-inferiority bound of {VARIANTS} variants", shown, "at most 0.05", before, now))
    return found


def errors(case: Case, runs: int) -> tuple[float, float]:
    """Return how often a variant is declared better than the margin, by studentised bounds and by those in use."""
    metric, n_groups, size, value, correlation, margin = case
    setting = Setting(n_groups, size, auc=value, alike=0.5 * (size > 1))
    rng, wrong = np.random.default_rng([n_groups, size]), np.zeros(2)
    for seed in range(runs):
        y, groups = setting.labels(rng)
        (baseline,), variants = scores_of(
            metric, setting, y, groups, rng, drops=[margin] * VARIANTS, correlation=correlation
        )
        draws = Draws.of(y, groups, 2, resamples=RESAMPLES, seed=seed)
        weights = draws.weights
        reference = metrics.measure(metric, y, baseline, weights)
        below = [draws.split(reference - metrics.measure(metric, y, each, weights)) for each in variants]
        values, resampled = np.array([b.value for b in below]), np.stack([b.resampled for b in below], axis=1)
        bounds = uncertainty.simultaneous_upper_bounds(
            values,
            resampled,
            confidence=0.95,
            n_groups=n_groups,
            effective_groups=draws.effective_groups(by_class=metric in metrics.BY_CLASS),
        )
        wrong += [bool((each < margin - 1e-12).any()) for each in (studentised(values, resampled), bounds)]
    return tuple(wrong / runs)  # type: ignore[return-value]


def studentised(values: np.ndarray, resampled: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Return the bounds of the largest studentised deviation, the method before."""
    defined = resampled[~np.isnan(resampled).any(axis=1)]
    error = defined.std(axis=0)
    moves = error > 1e-12
    if not moves.any():
        return values
    largest = ((values - defined)[:, moves] / error[moves]).max(axis=1)
    return np.asarray(values + max(float(np.quantile(largest, confidence)), 0.0) * np.where(moves, error, 0.0))
