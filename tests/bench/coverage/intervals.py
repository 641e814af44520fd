"""Coverage of the intervals of metrics and of paired differences."""

from collections.abc import Callable, Iterable

import numpy as np
from scipy.stats import norm

from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.resampling import Draws
from stages.core.scoring.weights import Weights
from tests.bench.coverage.samples import Result, Setting, percentile_interval, truth

METRICS = ("roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "f1", "sensitivity_at_specificity")
RESAMPLES = 300


def settings(n_groups: int) -> list[Setting]:
    """Return what test sets look like: easy and hard tasks, clips alone and in groups, few positives."""
    found = [Setting(n_groups, auc=auc) for auc in (0.7, 0.9, 0.97)]
    found += [Setting(n_groups, size, alike=0.5) for size in (5, -4)]
    found.append(Setting(n_groups, 5, alike=0.5, mixed=True))
    return [*found, Setting(n_groups, prevalence=0.2)] if n_groups >= 20 else found


def of_metrics(runs: int, names: Iterable[str] = METRICS, sizes: Iterable[int] = (10, 20, 30, 60, 163)) -> list[Result]:
    """Return the coverage of each metric's interval, the mean over the settings and the worst of them."""
    found = []
    for metric in names:
        for n_groups in sizes:
            covered = np.array([coverage(metric, setting, runs) for setting in settings(n_groups)])
            before, now = (f"{column.mean():.3f}, worst {column.min():.3f}" for column in covered.T)
            found.append(Result(f"interval of {metric}", f"{n_groups} groups", "0.95", before, now))
    return found


def coverage(metric: str, setting: Setting, runs: int) -> tuple[float, float]:
    """Return the coverage of a metric's interval by the percentile bootstrap and by the method in use."""
    rng, hits = np.random.default_rng([*metric.encode(), setting.n_groups]), np.zeros(2)
    right = truth(metric, setting)
    for seed in range(runs):
        y, groups = setting.labels(rng)
        scores = setting.probabilities(y, setting.noise(groups, rng))
        draws = Draws.of(y, groups, 2, resamples=RESAMPLES, seed=seed)
        measured = draws.measure(_of(metric, y, scores))
        ends = (
            percentile_interval(measured.resampled),
            uncertainty.fraction_interval(measured, draws, confidence=0.95, by_class=metric in metrics.BY_CLASS),
        )
        hits += [low <= right <= high for low, high in ends]
    return tuple(hits / runs)  # type: ignore[return-value]


def of_drops(runs: int, sizes: Iterable[int] = (10, 30, 52, 163)) -> list[Result]:
    """Return the coverage of the interval of a variant's drop, the mean over how alike it is to the baseline."""
    found = []
    for metric in ("roc_auc", "accuracy"):
        for n_groups in sizes:
            cases = [
                (Setting(n_groups, size, auc=auc, alike=0.5 * (size > 1)), drop, correlation)
                for size, auc in ((1, 0.85), (1, 0.95), (5, 0.85))
                for drop in (0.0, 0.03)
                for correlation in (0.9, 0.99)
            ]
            covered = np.array([drop_coverage(metric, *case, runs) for case in cases])
            before, now = (f"{column.mean():.3f}, worst {column.min():.3f}" for column in covered.T)
            found.append(Result(f"interval of a drop in {metric}", f"{n_groups} groups", "0.95", before, now))
    return found


def drop_coverage(metric: str, setting: Setting, drop: float, correlation: float, runs: int) -> tuple[float, float]:
    """Return the coverage of the interval of a drop by the percentile bootstrap and by the method in use."""
    rng, hits = np.random.default_rng([setting.n_groups, int(100 * drop)]), np.zeros(2)
    for seed in range(runs):
        y, groups = setting.labels(rng)
        (baseline,), (variant,) = scores_of(metric, setting, y, groups, rng, drops=(drop,), correlation=correlation)
        draws = Draws.of(y, groups, 2, resamples=RESAMPLES, seed=seed)
        measured = draws.measure(_of(metric, y, baseline)) - draws.measure(_of(metric, y, variant))
        ends = (
            percentile_interval(measured.resampled),
            uncertainty.difference_interval(measured, draws, confidence=0.95, decisions=metric in metrics.OF_DECISIONS),
        )
        hits += [low - 1e-12 <= drop <= high + 1e-12 for low, high in ends]
    return tuple(hits / runs)  # type: ignore[return-value]


def scores_of(
    metric: str,
    setting: Setting,
    y: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
    *,
    drops: Iterable[float],
    correlation: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw scores of a baseline, and of variants whose true metric lies so far below; the threshold is 0.5.

    For accuracy, `setting.auc` is the baseline's true accuracy.
    """
    scale = 2.0 if metric == "accuracy" else np.sqrt(2)

    def scored(value: float, noise: np.ndarray) -> np.ndarray:
        return np.asarray(norm.cdf(scale * norm.ppf(value) * (y - 0.5) + noise))

    shared = setting.noise(groups, rng)
    variants = [
        scored(
            setting.auc - drop,
            correlation * shared + np.sqrt(1 - correlation**2) * setting.noise(groups, rng),
        )
        for drop in drops
    ]
    return [scored(setting.auc, shared)], variants


def _of(metric: str, y: np.ndarray, scores: np.ndarray) -> Callable[[Weights], np.ndarray]:
    return lambda weights: metrics.measure(metric, y, scores, weights)
