"""Uncertainty: the bootstrap over groups, as weights, so that a metric sees all draws at once; comparisons, fronts."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

_BLOCK = 4_000_000  # weights held at a time: 32 MB


def group_bootstrap(groups: np.ndarray, *, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw whole groups with replacement, as often as there are groups.

    Clips of one speaker or recording resemble each other; drawing clips one by one would make intervals too narrow.
    See Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8.

    Parameters
    ----------
    groups : np.ndarray, shape (n,)
        Of each clip.
    resamples : int
    rng : np.random.Generator

    Yields
    ------
    np.ndarray, shape (block, n), float64
        How often each clip is part of each resample; the blocks together hold `resamples` rows.
    """
    names, membership = np.unique(groups, return_inverse=True)
    rows = max(1, _BLOCK // max(len(groups), 1))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
        yield draws[:, membership].astype(np.float64)


def percentile_interval(values: np.ndarray, *, confidence: float) -> tuple[float, float]:
    """Return the central interval that holds a fraction of the resampled values.

    Parameters
    ----------
    values : np.ndarray, shape (resamples,)
        NaN where a resample leaves the metric undefined; such resamples are left out.
    confidence : float
        In (0, 1), e.g. 0.95.

    Returns
    -------
    (low, high) : tuple[float, float]
        NaN if no resample defines the metric. Source: Efron and Tibshirani, *An Introduction to the
        Bootstrap* (1993), section 13.3.
    """
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def simultaneous_upper_bounds(values: np.ndarray, resampled: np.ndarray, *, confidence: float) -> np.ndarray:
    """Return bounds that all the true values lie below at once, with the given confidence.

    The bootstrap distribution of the largest studentised deviation allows for however many values are looked at, and
    for how alike they are: a hundred variants of one network cost far less than a hundred independent looks.

    Parameters
    ----------
    values : np.ndarray, shape (k,)
    resampled : np.ndarray, shape (resamples, k)
        The same resamples for every value. A resample with a NaN is left out.
    confidence : float
        In (0, 1), of all k statements together.

    Returns
    -------
    np.ndarray, shape (k,)
        A value that no resample moves is its own bound; NaN if no resample is defined.

    References
    ----------
    Westfall and Young, *Resampling-Based Multiple Testing* (1993), section 2.6 (single-step max-T).
    """
    defined = resampled[~np.isnan(resampled).any(axis=1)]
    if not len(defined):
        return np.full(len(values), np.nan)
    error = defined.std(axis=0)
    moves = error > 1e-12
    if not moves.any():
        return values.copy()
    largest = ((values - defined)[:, moves] / error[moves]).max(axis=1)
    return values + max(float(np.quantile(largest, confidence)), 0.0) * np.where(moves, error, 0.0)


@dataclass(frozen=True)
class DeLong:
    """Two areas under the ROC curve of the same clips, compared.

    Attributes
    ----------
    auc_a, auc_b : float
    variance : float
        Of ``auc_a - auc_b``.
    p_value : float
        Two-sided, that the two areas are the same; 1 if the scores rank alike.
    """

    auc_a: float
    auc_b: float
    variance: float
    p_value: float


def delong(positive: np.ndarray, a: np.ndarray, b: np.ndarray) -> DeLong:
    """Compare two classifiers' ROC-AUC on the same clips, taken as independent of each other.

    Parameters
    ----------
    positive : np.ndarray, shape (n,), bool
        At least two clips of either class.
    a, b : np.ndarray, shape (n,)
        Scores.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (1988); the mid-rank form is of Sun and Xu, IEEE SPL 21 (2014).
    """
    positive = np.asarray(positive, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    of_positives, of_negatives = [], []  # how far each clip is ranked right, per classifier
    for scores in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)):
        x, y = scores[positive], scores[~positive]
        among_all = _mid_ranks(np.concatenate([x, y]))
        of_positives.append((among_all[:n_positive] - _mid_ranks(x)) / n_negative)
        of_negatives.append(1 - (among_all[n_positive:] - _mid_ranks(y)) / n_positive)
    (auc_a, auc_b) = (float(values.mean()) for values in of_positives)
    gained_positives, gained_negatives = of_positives[0] - of_positives[1], of_negatives[0] - of_negatives[1]
    variance = float(gained_positives.var(ddof=1) / n_positive + gained_negatives.var(ddof=1) / n_negative)
    z = abs(auc_a - auc_b) / math.sqrt(variance) if variance > 0 else 0.0
    return DeLong(auc_a, auc_b, variance, math.erfc(z / math.sqrt(2)))


def _mid_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 1, those of equal values averaged."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1) / 2


def front(items: Iterable[Item], *, size: Callable[[Item], float], metric: Callable[[Item], float]) -> list[Item]:
    """Return the items than which no other is both as small and as good, smallest first; of equals, the first."""
    best, kept = float("-inf"), []
    for item in sorted(items, key=lambda item: (size(item), -metric(item))):
        if metric(item) > best:
            best = metric(item)
            kept.append(item)
    return kept
