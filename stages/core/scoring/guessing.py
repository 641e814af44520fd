"""How likely a device that guesses passes the self-test of a release."""

from collections.abc import Sequence

import numpy as np

MOST = 0.02
"""Largest chance that a self-test may leave to a device that guesses."""

LOOSEST = 0.02
"""Largest difference of a score that a self-test ever allows."""

PART_OF_SPAN = 4
"""A self-test allows at most this part of what the golden scores span."""


def span(scores: Sequence[Sequence[float]] | np.ndarray) -> float:
    """Return the largest difference between two golden scores of one output.

    Parameters
    ----------
    scores : array_like, shape (n, n_outputs)
    """
    return float(np.ptp(np.asarray(scores, np.float64), axis=0).max())


def allowed_difference(scores: Sequence[Sequence[float]] | np.ndarray, most: float = LOOSEST) -> float:
    """Return the largest difference of a score that a self-test allows.

    Parameters
    ----------
    scores : array_like, shape (n, n_outputs)
        Scores of the golden recordings.
    most : float
        Largest difference that other kernels' rounding can need.

    Examples
    --------
    >>> allowed_difference([[0.10], [0.14]]), allowed_difference([[0.1], [0.9]])
    (0.010000000000000002, 0.02)
    """
    return min(most, span(scores) / PART_OF_SPAN)


def alike(scores: Sequence[Sequence[float]] | np.ndarray, allowed: float) -> np.ndarray:
    """Return which golden recordings have scores that stand for each other's.

    Parameters
    ----------
    scores : array_like, shape (n, n_outputs)
    allowed : float
        Largest difference of a score.

    Returns
    -------
    np.ndarray, shape (n, n), bool
    """
    expected = np.asarray(scores, np.float64)
    return np.asarray(np.abs(expected[:, np.newaxis] - expected).max(axis=2) <= allowed)


def chance(scores: Sequence[Sequence[float]] | np.ndarray, allowed: float) -> float:
    """Return the probability that answers drawn at random from the golden scores all pass.

    Parameters
    ----------
    scores : array_like, shape (n, n_outputs)
        Scores of the golden recordings.
    allowed : float
        Largest difference of a score.

    Examples
    --------
    >>> chance([[0.1], [0.9], [0.1], [0.9]], 0.02)
    0.0625
    """
    return float(alike(scores, allowed).mean(axis=1).prod())
