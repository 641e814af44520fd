"""Agreement of a model file's scores with those of the network that it was made from.

Rounding to few bits moves scores, sometimes far: a network that was overtrained on few clips moves by 0.24 of a score
in 8 bits and still ranks clips alike. A file that is broken (a kernel lost, classes exchanged, a scale wrong) moves
them in other ways: it ranks clips otherwise, answers a constant or spreads its scores otherwise. The limits lie between
good and broken files (`python -m tests.bench.agreement`, of untrained and of trained networks; docs/promises.md). In
4 bits and fewer they overlap in part: such a file is refused where it is certainly broken, and judged by its metrics.
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
SAME = MIN_SPREAD / 10
"""Largest difference up to which ranks are not judged: many clips with nearly one score, which lies between two steps,
change ranks together by nothing."""
MIN_CLIPS = 8
"""Clips below which ranks are not compared."""
UNRANKED = 0.5
"""Part of the largest difference that is allowed where ranks are not compared and cannot show a fault."""
UNDECIDED = 0.05
"""Distance from 0 and 1 that a score has to be one whose difference counts: near them, a wrong scale does not show."""
ENDS = 0.02
"""Probabilities are taken as this far from 0 and 1 at least when their log-odds are compared."""


@dataclass(frozen=True)
class Limits:
    """Limits that a good file of a scheme keeps.

    Attributes
    ----------
    rank_correlation : float
        Lowest Spearman correlation with the network's scores: mean over the classes.
    difference : float
        Largest median absolute difference from the network's scores, over the clips and classes that it is undecided
        about; and largest distance between the mean scores of a class.
    scale : tuple[float, float]
        Lowest and highest ratio of the spread of log-odds to the network's.
    """

    rank_correlation: float
    difference: float
    scale: tuple[float, float] = (0.0, float("inf"))


LIMITS = {
    32: Limits(0.99, 1e-3, (0.98, 1.02)),
    16: Limits(0.98, 5e-3, (0.95, 1.05)),
    8: Limits(0.8, 0.3, (0.6, 1.6)),
    4: Limits(0.3, 0.4, (0.15, 2.0)),
    2: Limits(-0.2, 0.6),
}
"""By bit-width of the weights. A scheme may have limits of its own, ``AGREEMENT``."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a file's scores with those of its network.

    Attributes
    ----------
    rank_correlation : float or None
        Mean over the classes of Spearman's correlation; None where scores are too alike or clips too few to rank.
    scale : float or None
        Ratio of the standard deviations of the log-odds, median over the classes; None likewise.
    median_difference : float
        Median absolute difference over the clips and classes that the network is undecided about (`UNDECIDED`), or over
        all if there are few.
    mean_shift : float
        Largest distance between the mean scores of a class.
    largest_difference : float
        Largest absolute difference.
    constant : bool
        True if the file has the same score for every clip although the network does not.
    exchanged : tuple[int, int] or None
        A class of the network and the class of the file that agrees better with it than its own.
    """

    rank_correlation: float | None
    scale: float | None
    median_difference: float
    mean_shift: float
    largest_difference: float
    constant: bool = False
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
    shift = float(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)).max())
    spread = theirs.std(axis=0)
    ranked = np.flatnonzero(spread >= MIN_SPREAD) if len(theirs) >= MIN_CLIPS else np.array([], int)
    if not len(ranked):
        return Agreement(None, None, median, shift, float(difference.max()))
    # Each ranked class of the network by all classes of the file.
    matrix = np.stack([_spearman(theirs[:, c], ours, spread[c] / STEPS) for c in ranked])
    own = matrix[np.arange(len(ranked)), ranked]
    gained = matrix.max(axis=1) - own
    worst = int(gained.argmax())
    ratio = _log_odds(ours[:, ranked]).std(axis=0) / _log_odds(theirs[:, ranked]).std(axis=0)
    return Agreement(
        rank_correlation=float(own.mean()),
        scale=float(np.median(ratio)),
        median_difference=median,
        mean_shift=shift,
        largest_difference=float(difference.max()),
        constant=bool((np.ptp(ours[:, ranked], axis=0) < 1e-6).all()),
        exchanged=(int(ranked[worst]), int(matrix[worst].argmax())) if gained[worst] > 0.5 else None,
    )


def require(found: Agreement, scheme: ModuleType, name: str) -> None:
    """Check that a file agrees with its network as good files of the scheme do.

    Parameters
    ----------
    found : Agreement
    scheme : module
        Module in ``stages/quantize/schemes/``.
    name : str
        Name of the variant, for the message.

    Raises
    ------
    ModelError
    """
    limits = Limits(*scheme.AGREEMENT) if hasattr(scheme, "AGREEMENT") else LIMITS[scheme.BIT_WIDTH]
    wrong = _fault(found, limits)
    if wrong:
        more = "raise quantize.calibration_clips if they are few, " if scheme.NEEDS_CALIBRATION else ""
        raise ModelError(
            f"{name}: {wrong}. The file is not the network that it was made from; {more}use another scheme, or build "
            "the network otherwise."
        )


def _fault(found: Agreement, limits: Limits) -> str:
    """Say which limit a file breaks; empty if none."""
    if found.constant:
        return "the file answers the same to every clip, and its network does not"
    if found.exchanged is not None:
        theirs, ours = found.exchanged
        return f"the file's class {ours} ranks clips as class {theirs} of the network does"
    ranks = found.rank_correlation if found.largest_difference > SAME else None
    if ranks is not None and ranks < limits.rank_correlation:
        return (
            "the file must rank clips as its network does, with a correlation of at least "
            f"{limits.rank_correlation:g}; got {ranks:.3f}"
        )
    low, high = limits.scale
    if found.scale is not None and not low <= found.scale <= high:
        return f"the file must spread its scores {low:g} to {high:g} times as far as its network; got {found.scale:.3g}"
    allowed = limits.difference * (1.0 if found.rank_correlation is not None else UNRANKED)
    for what, value in (("median difference", found.median_difference), ("shift of a class's mean", found.mean_shift)):
        if value > allowed:
            return f"the {what} from the network's scores must be at most {allowed:g}; got {value:.3g}"
    return ""


def _log_odds(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, ENDS, 1 - ENDS)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _spearman(a: np.ndarray, b: np.ndarray, step: float) -> np.ndarray:
    """Return the rank correlation of (n,) with every column of (n, k), both in steps; 0 with a constant column."""
    first, others = (rankdata(np.rint(each / step), axis=0) - (len(a) + 1) / 2 for each in (a, b))
    norms = np.linalg.norm(first) * np.linalg.norm(others, axis=0)
    return np.asarray(np.divide(first @ others, norms, out=np.zeros(norms.shape), where=norms > 0))
