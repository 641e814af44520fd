"""Agreement of a model file's scores with those of the network that it was made from.

Rounding to few bits moves scores, and how far is a result and no mistake. A file that is broken (a kernel lost, classes
exchanged, a scale wrong) moves them in ways that rounding does not: it ranks clips otherwise, or shifts all scores. The
limits were set between what good files of every scheme and architecture and broken ones show; `python -m
tests.bench.agreement` measures both.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from scipy.stats import rankdata

from stages.core.project.errors import ModelError

MIN_SPREAD = 0.05
"""Standard deviation of a class's scores below which its ranks are those of rounding, and are not compared."""
STEPS = 4
"""Steps per standard deviation that scores are rounded to before they are ranked: of a sure network most scores of a
class are alike but for rounding, and their order says nothing."""
MIN_CLIPS = 8
"""Clips below which ranks are not compared."""
UNRANKED = 0.5
"""Part of the largest difference that is allowed where ranks are not compared and cannot show a fault."""
UNDECIDED = 0.05
"""Distance from 0 and 1 that a score has to be one whose difference counts: near them, a wrong scale does not show."""


@dataclass(frozen=True)
class Limits:
    """What a good file of a scheme reaches.

    Attributes
    ----------
    rank_correlation : float
        Lowest Spearman correlation with the network's scores: mean over the classes.
    median_difference : float
        Largest median absolute difference from the network's scores, over the clips and classes that it is undecided
        about; and largest distance between the mean scores of a class.
    """

    rank_correlation: float
    median_difference: float


LIMITS = {
    32: Limits(0.99, 1e-3),
    16: Limits(0.99, 5e-3),
    8: Limits(0.9, 0.03),
    4: Limits(0.3, 0.15),
    2: Limits(0.1, 0.6),
}
"""By bit-width of the weights. A scheme may have two limits of its own, ``AGREEMENT``."""


@dataclass(frozen=True)
class Agreement:
    """How far the scores of a file agree with those of its network.

    Attributes
    ----------
    rank_correlation : float or None
        Mean over the classes of Spearman's correlation; None where scores are too alike or clips too few to rank.
    median_difference : float
        Median absolute difference over the clips and classes that the network is undecided about (`UNDECIDED`), or over
        all if there are few.
    mean_shift : float
        Largest distance between the mean scores of a class.
    largest_difference : float
        Largest absolute difference.
    exchanged : tuple[int, int] or None
        A class of the network and the class of the file that agrees better with it than its own.
    """

    rank_correlation: float | None
    median_difference: float
    mean_shift: float
    largest_difference: float
    exchanged: tuple[int, int] | None = None


def measure(scores: np.ndarray, expected: np.ndarray) -> Agreement:
    """Compare the scores of a file with those of its network.

    Parameters
    ----------
    scores, expected : np.ndarray, shape (n,) or (n, n_classes)
        The file's and the network's, for the same clips.

    Raises
    ------
    ModelError
        If a score is not finite.

    >>> measure(np.array([0.1, 0.5, 0.8]), np.array([0.1, 0.4, 0.9])).median_difference.__round__(3)
    0.1
    """
    if not np.isfinite(scores).all():
        raise ModelError("Every score must be finite; the file returns NaN or infinity. Use another scheme.")
    ours, theirs = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (scores, expected))
    difference = np.abs(ours - theirs)
    undecided = (theirs > UNDECIDED) & (theirs < 1 - UNDECIDED)
    median = float(np.median(difference[undecided] if undecided.sum() >= MIN_CLIPS else difference))
    spread = theirs.std(axis=0)
    ranked = np.flatnonzero(spread >= MIN_SPREAD) if len(theirs) >= MIN_CLIPS else np.array([], int)
    correlation, exchanged = None, None
    if len(ranked):
        step = spread[ranked] / STEPS
        matrix = np.stack(
            [_spearman(*each) for each in zip(theirs.T[ranked], [ours] * len(ranked), step, strict=True)]
        )  # (ranked classes of the network, all classes of the file)
        correlation = float(matrix[np.arange(len(ranked)), ranked].mean())
        best = matrix.argmax(axis=1)
        worst = int(np.argmax(matrix.max(axis=1) - matrix[np.arange(len(ranked)), ranked]))
        if matrix[worst, best[worst]] - matrix[worst, ranked[worst]] > 0.5:
            exchanged = int(ranked[worst]), int(best[worst])
    shift = float(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)).max())
    return Agreement(correlation, median, shift, float(difference.max()), exchanged)


def require(found: Agreement, scheme: ModuleType, name: str) -> None:
    """Check that a file agrees with its network as good files of the scheme do.

    Parameters
    ----------
    found : Agreement
    scheme : module
        Of ``stages/quantize/schemes/``.
    name : str
        Name of the variant, for the message.

    Raises
    ------
    ModelError
    """
    limits = Limits(*scheme.AGREEMENT) if hasattr(scheme, "AGREEMENT") else LIMITS[scheme.BIT_WIDTH]
    advice = "The file is not the network that it was made from; use another scheme, or build the network otherwise."
    if found.exchanged is not None:
        raise ModelError(
            f"{name}: the file's class {found.exchanged[1]} ranks clips as class {found.exchanged[0]} of the network "
            f"does. {advice}"
        )
    if found.rank_correlation is not None and found.rank_correlation < limits.rank_correlation:
        raise ModelError(
            f"{name}: the file must rank clips as its network does, with a correlation of at least "
            f"{limits.rank_correlation:g}; got {found.rank_correlation:.3f}. {advice}"
        )
    allowed = limits.median_difference * (1.0 if found.rank_correlation is not None else UNRANKED)
    for what, value in (("median difference", found.median_difference), ("shift of a class's mean", found.mean_shift)):
        if value > allowed:
            raise ModelError(
                f"{name}: the {what} from the network's scores must be at most {allowed:g}; got {value:.3g}. {advice}"
            )


def _spearman(a: np.ndarray, b: np.ndarray, step: float) -> np.ndarray:
    """Return the rank correlation of (n,) with every column of (n, k), both in steps; 0 with a constant column."""
    first, others = (rankdata(np.rint(each / step), axis=0) - (len(a) + 1) / 2 for each in (a, b))
    norms = np.linalg.norm(first) * np.linalg.norm(others, axis=0)
    return np.asarray(np.divide(first @ others, norms, out=np.zeros(norms.shape), where=norms > 0))
