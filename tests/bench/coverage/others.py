"""Simulations of the gain over folds, calibration error, thresholds, the selection rule and DeLong's test."""

import numpy as np
from scipy.stats import t as student

from stages.core.scoring import calibration, metrics, uncertainty
from stages.core.scoring.delong import delong
from stages.core.scoring.folds import corrected_interval
from stages.core.scoring.resampling import Draws, Measured
from stages.core.scoring.thresholds import crossfit_thresholds, threshold_for
from stages.select.compare import Comparison
from tests.bench.coverage.intervals import scores_of
from tests.bench.coverage.samples import Result, Setting, percentile_interval


def perfect_scores(runs: int) -> list[Result]:
    """Return how often the interval of a perfect score of an AUC of 0.9 to 0.99 holds the truth."""
    found = []
    for n in (6, 15, 30):
        y, groups = np.arange(2 * n) % 2, np.arange(2 * n).astype(str)
        draws = Draws.of(y, groups, 2, resamples=20, seed=1)
        perfect = draws.measure(lambda w, y=y: metrics.measure("roc_auc", y, y * 1.0, w))  # type: ignore[misc]
        low, _ = uncertainty.fraction_interval(perfect, draws, confidence=0.95, by_class=True)
        rng, missed = np.random.default_rng(n), 0
        setting = Setting(2 * n, auc=low - 1e-9)  # the least favourable truth that the interval leaves out
        for _ in range(runs):
            scores = setting.distance * y + rng.standard_normal(2 * n)
            missed += bool(scores[y == 1].min() > scores[y == 0].max())
        found.append(
            Result(
                "interval of a ROC-AUC of 1.0",
                f"{n} + {n} clips",
                "misses at most 0.025",
                "[1.000, 1.000]",
                f"[{low:.3f}, 1.000], misses {missed / runs:.3f}",
            )
        )
    return found


def of_gains(runs: int) -> list[Result]:
    """Return how often the interval of a gain that is none leaves out 0, of 5 folds and 3 seeds."""
    found = []
    for shared, setting in ((0.0, "folds vary as much as seeds"), (0.2, "the same, training sets overlap")):
        before, now = (f"{each:.3f}" for each in gain_errors(shared, runs))
        found.append(Result("gain of --against excludes 0", f"no gain; {setting}", "at most 0.05", before, now))
    return found


def gain_errors(shared: float, runs: int) -> tuple[float, float]:
    """Return the error of the interval over all pairs and of the one in use, with so correlated folds."""
    rng, wrong = np.random.default_rng(3), np.zeros(2)
    for _ in range(runs):
        of_fold = np.sqrt(shared) * rng.standard_normal() + np.sqrt(1 - shared) * rng.standard_normal(5)
        pairs = of_fold[:, np.newaxis] + rng.standard_normal((5, 3))
        reach = student.ppf(0.975, 14) * pairs.std(ddof=1) / np.sqrt(15)
        low, high = corrected_interval(pairs.mean(axis=1), test_to_train=0.25, confidence=0.95)
        wrong += [abs(pairs.mean()) > reach, low > 0 or high < 0]
    return tuple(wrong / runs)  # type: ignore[return-value]


def of_calibration(runs: int) -> list[Result]:
    """Return the calibration error of forecasters that are perfect or overconfident, and its interval's coverage."""
    found = []
    for gap in (0.0, 0.1):
        for n in (52, 163, 400):
            rng, values, covered = np.random.default_rng(n), np.zeros((runs, 2)), np.zeros(2)
            for seed in range(runs):
                scores = rng.uniform(0.15, 1, size=n) if gap else rng.uniform(size=n)
                y = (rng.uniform(size=n) < scores - gap).astype(np.int64)
                draws = Draws.of(y, np.arange(n).astype(str), 2, resamples=100, seed=seed)
                measured = draws.measure(lambda w, y=y, s=scores: calibration.observed_error(y, s, w))  # type: ignore[misc]
                ends = uncertainty.mean_interval(measured, draws, confidence=0.95)
                low, high = (calibration.debiased(end, y, scores) for end in ends)
                values[seed] = measured.value, calibration.debiased(measured.value, y, scores)
                before = percentile_interval(measured.resampled)
                covered += [before[0] <= gap <= before[1], low <= gap <= high]
            shown = [
                f"median {m:.3f}, interval holds it in {c:.3f}"
                for m, c in zip(np.median(values, 0), covered / runs, strict=True)
            ]
            found.append(Result("calibration error", f"truly {gap:g}, n {n}", f"{gap:g}, 0.95", *shown))
    return found


def of_thresholds(runs: int) -> list[Result]:
    """Return the balanced accuracy on the clips that chose the threshold, of scores without any signal."""
    found = []
    for n in (52, 163):
        rng, values = np.random.default_rng(n), np.zeros((runs, 2))
        for run in range(runs):
            y, scores, groups = rng.permutation(np.arange(n) % 2), rng.uniform(size=n), np.arange(n).astype(str)
            held_out = crossfit_thresholds(y, scores, groups)
            values[run] = [
                metrics.measure("balanced_accuracy", y, scores, threshold=threshold)
                for threshold in (threshold_for(y, scores), held_out)
            ]
        before, now = (f"{mean:.3f}" for mean in values.mean(axis=0))
        found.append(Result("balanced accuracy on validation", f"no signal, n {n}", "0.500", before, now))
    return found


def of_choices(runs: int) -> list[Result]:
    """Return how often the smallest within 0.02 of the best truly lies further below, and the chance that is stated."""
    found = []
    for metric in ("accuracy", "roc_auc"):
        for n in (52, 163, 600):
            worse, stated = choice(metric, n, runs)
            found.append(
                Result(
                    "the smallest within 0.02 of the best is worse than that",
                    f"{metric}, n {n}",
                    "stated",
                    f"{worse:.2f}, not stated",
                    f"{worse:.2f}, stated {stated:.2f}",
                )
            )
    return found


def choice(metric: str, n: int, runs: int) -> tuple[float, float]:
    """Return how often the chosen one of thirty variants truly is too far below the best, and the mean chance stated.

    Their true accuracies or areas fall by 0 to 0.06 as they grow smaller.
    """
    names, drops, setting = [f"v{i}" for i in range(30)], np.linspace(0, 0.06, 30), Setting(n, auc=0.85)
    rng, worse, stated = np.random.default_rng(n), [], []
    for seed in range(runs):
        y, groups = setting.labels(rng)
        _, variants = scores_of(metric, setting, y, groups, rng, drops=drops, correlation=0.98)
        draws = Draws.of(y, groups, 2, resamples=200, seed=seed)
        weights = draws.weights
        measured: dict[str, Measured] = {
            name: draws.split(metrics.measure(metric, y, each, weights))
            for name, each in zip(names, variants, strict=True)
        }
        values = np.array([each.value for each in measured.values()])
        winner = np.flatnonzero(values >= values.max() - 0.02 - 1e-9)[-1]
        comparison = Comparison(metric, names[0], measured, draws, 0.95, {})
        worse.append(drops[winner] > 0.02 + 1e-9)
        stated.append(comparison.chance_of_worse(names[winner], names, 0.02) or 0.0)
    return float(np.mean(worse)), float(np.mean(stated))


def of_delong(runs: int) -> list[Result]:
    """Return how often DeLong's p is below 0.05 where two classifiers are equally good."""
    found = []
    for n in (20, 52, 163):
        setting, rng, wrong = Setting(n, auc=0.85), np.random.default_rng(n), 0
        for _ in range(runs):
            y, groups = setting.labels(rng)
            (a,), (b,) = scores_of("roc_auc", setting, y, groups, rng, drops=[0.0], correlation=0.9)
            wrong += delong(y == 1, a, b).p_value < 0.05
        found.append(
            Result(
                "DeLong's p below 0.05", f"equally good, n {n}", "0.05", f"{wrong / runs:.3f}", f"{wrong / runs:.3f}"
            )
        )
    return found
