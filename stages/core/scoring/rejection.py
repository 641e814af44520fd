"""Choose the limit of a rejection rule on validation, with a promise of how many known sounds are kept.

The promise is conformal: no assumption on the network or on the scores, only that the groups (speakers, devices) of the
future are drawn like those of validation. Every group counts the same, however many clips it has, and one more group,
the new one, counts as if all its clips were rejected: a clip of a new group is kept with at least the stated
probability, over the draw of all groups. That needs at least share / (1 - share) groups, 19 for 0.95. With fewer, every
clip stands for itself, and the promise holds only for clips drawn like those of validation.

References
----------
Lee, Barber, Willett, "Distribution-free inference with hierarchical data", arXiv:2306.06342 (2023), section 3:
hierarchical conformal prediction.
Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World* (2005), chapter 2.
"""

import math

import numpy as np

from stages.core.artifacts.estimates import Threshold
from stages.core.artifacts.rejection import FittedRejection
from stages.runtime.rejection import BINARY, MULTI_CLASS, Rejection, confidence


def fit(
    scores: np.ndarray, groups: np.ndarray, *, measure: str, share: float, threshold: Threshold = None
) -> FittedRejection:
    """Choose the limit of a rejection rule.

    Parameters
    ----------
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Scores of the validation split, all of them known sounds.
    groups : np.ndarray, shape (n,), str
    measure : str
        One of `stages.runtime.rejection.MEASURES`, or ``"auto"``: the highest score of a multi-class task, the distance
        from the threshold of a binary one.
    share : float
        Share of known sounds that is to be kept, in (0, 1).
    threshold : float, tuple or None
        Decision threshold of the task.

    Returns
    -------
    FittedRejection
        Without a rule where there is none for the task, or validation is too small even by clip.
    """
    n, n_groups = len(scores), len(np.unique(groups))
    if isinstance(threshold, tuple):
        return FittedRejection(None, n, n_groups, "a multi-label task names no label where none reaches its threshold")
    suited = BINARY if scores.ndim == 1 else MULTI_CLASS
    measure = suited[0] if measure == "auto" else measure
    if measure not in suited:
        return FittedRejection(None, n, n_groups, f"{measure} is not for this kind of task; {', '.join(suited)} are")
    sure = confidence(scores.reshape(n, -1), measure, threshold)
    limit, by = conformal_limit(sure, groups, share), "group"
    if limit is None:
        limit, by = conformal_limit(sure, np.arange(n).astype(str), share), "clip"
    if limit is None:
        needed = int(np.ceil(share / (1 - share) - 1e-9))
        return FittedRejection(None, n, n_groups, f"{n} validation clips; a share of {share:g} needs {needed}")
    kept = math.floor(limit * 1e9) / 1e9  # rounded, and the clip that is the limit is kept
    return FittedRejection(Rejection(measure, kept, share, by), n, n_groups)


def conformal_limit(sure: np.ndarray, groups: np.ndarray, share: float) -> float | None:
    """Return the highest limit at which a clip of a new group is kept with probability `share` or more.

    Parameters
    ----------
    sure : np.ndarray, shape (n,)
        Confidence of every clip; a clip is kept at the limit or above.
    groups : np.ndarray, shape (n,), str
    share : float

    Returns
    -------
    float or None
        None if there are too few groups for the share.

    Examples
    --------
    >>> conformal_limit(np.arange(1.0, 20.0), np.arange(19).astype(str), 0.9)
    2.0
    >>> conformal_limit(np.arange(1.0, 9.0), np.arange(8).astype(str), 0.9) is None
    True
    """
    _, membership, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / ((len(counts) + 1) * counts[membership])
    order = np.argsort(sure, kind="stable")
    values = sure[order]
    below = 1 / (len(counts) + 1) + np.concatenate([[0.0], np.cumsum(weights[order])[:-1]])
    first = np.searchsorted(values, values, side="left")  # clips of equal confidence are kept or rejected together
    allowed = below[first] <= 1 - share + 1e-12
    return float(values[allowed].max()) if allowed.any() else None
