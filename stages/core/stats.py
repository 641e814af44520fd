"""Uncertainty: the bootstrap over groups, as weights, so that a metric sees all resamples at once."""

from collections.abc import Iterator

import numpy as np

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
