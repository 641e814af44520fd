"""Calibration error of scores, corrected for the part that chance alone puts there.

The observed error of a finite sample is never 0: a bin of few clips has a fraction of positives that differs from the
mean score of even a perfect forecaster. `null_error` says by how much, and `debiased` takes it out.
"""

import functools

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from stages.core.scoring.arrays import macro, ratio
from stages.core.scoring.weights import Weights


def observed_error(y: np.ndarray, scores: np.ndarray, weights: Weights | None = None, *, bins: int = 10) -> np.ndarray:
    """Return the expected calibration error (ECE) over equal bins, as observed.

    Binary: distance between the mean score of a bin and its fraction of positives. Multi-class: distance between the
    mean of the highest score and the fraction of right predictions. Multi-label: mean over classes of the binary error.
    Each bin weighs as much as its clips.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
    weights : np.ndarray, shape (..., n), or GroupWeights, optional
        1 each by default.
    bins : int

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2, eq. 3.

    >>> float(observed_error(np.array([0, 1]), np.array([0.25, 1.0])))
    0.125
    """
    weights = np.ones(len(y)) if weights is None else weights
    if y.ndim == 2:
        return macro(np.stack([observed_error(*pair, weights, bins=bins) for pair in zip(y.T, scores.T, strict=True)]))
    confidence, right = _confidence(y, scores)
    gaps = weights @ (_membership(confidence, bins) * (confidence - right)[:, np.newaxis])
    return ratio(np.abs(gaps).sum(axis=-1), weights.sum(axis=-1), weights.sum(axis=-1) > 0)


def null_error(y: np.ndarray, scores: np.ndarray, *, bins: int = 10) -> float:
    """Return the observed error to be expected if the scores were perfectly calibrated.

    Clips are taken as independent given their scores; where several clips of a group share their errors, the true null
    value is larger.

    >>> y, scores = np.zeros(100, int), np.full(100, 0.5)
    >>> round(null_error(y, scores), 3)
    0.04
    """
    return expected_error(0.0, y, scores, bins=bins)


def expected_error(gap: float, y: np.ndarray, scores: np.ndarray, *, bins: int = 10) -> float:
    """Return the observed error to be expected if every bin's true gap were `gap`.

    The gap of a bin is taken as normal about its true value with the variance of a mean of independent decisions, so
    that its absolute value has a folded normal distribution.
    """
    pairs = list(zip(y.T, scores.T, strict=True)) if y.ndim == 2 else [(y, scores)]
    return float(np.mean([_folded_mean(gap, *_bins(truth, score, bins)) for truth, score in pairs]))


def debiased(observed: float, y: np.ndarray, scores: np.ndarray, *, bins: int = 10) -> float:
    """Return the gap, alike in every bin, of which the observed error is the expectation; 0 below the null value.

    Parameters
    ----------
    observed : float
        From `observed_error`, or an end of its interval.
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
    bins : int

    >>> y, scores = np.zeros(100, int), np.full(100, 0.5)
    >>> debiased(0.03, y, scores), round(debiased(0.2, y, scores), 3)
    (0.0, 0.2)
    """
    expected = functools.partial(expected_error, y=y, scores=scores, bins=bins)
    if observed <= expected(0.0):
        return 0.0
    if observed >= expected(1.0):
        return 1.0
    return float(brentq(lambda gap: expected(gap) - observed, 0.0, 1.0, xtol=1e-7))


def _confidence(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability that is stated of each clip, and whether what it is stated of holds."""
    if scores.ndim == 1:
        return scores, y == 1
    return scores.max(axis=1), y == scores.argmax(axis=1)


def _membership(confidence: np.ndarray, bins: int) -> np.ndarray:
    edges = np.linspace(0, 1, bins + 1)
    return np.searchsorted(edges[1:-1], confidence)[:, np.newaxis] == np.arange(bins)


def _bins(y: np.ndarray, scores: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the clips in each bin that has any, and the standard deviation of its gap."""
    confidence, _ = _confidence(y, np.asarray(scores, np.float64))
    membership = _membership(confidence, bins)
    counts = membership.sum(axis=0)
    variances = (confidence * (1 - confidence)).clip(min=0) @ membership
    used = counts > 0
    return counts[used] / len(y), np.sqrt(variances[used]) / counts[used]


def _folded_mean(gap: float, shares: np.ndarray, deviations: np.ndarray) -> float:
    """Return the mean over bins of E|X|, X normal about `gap`; Leone et al., Technometrics 3 (1961), eq. 7."""
    spread = np.where(deviations > 0, deviations, 1)
    z = gap / spread
    folded = spread * (2 * norm.pdf(z) + z * (2 * norm.cdf(z) - 1))
    return float(shares @ np.where(deviations > 0, folded, gap))
