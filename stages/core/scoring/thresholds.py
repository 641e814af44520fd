"""Decision thresholds: how they are chosen on validation, and how decisions there are judged without flattery."""

from collections.abc import Sequence

import numpy as np

from stages.core.project.errors import DataError
from stages.core.scoring.curves import Curve

Threshold = float | Sequence[float] | np.ndarray
"""One for all, one per class of a multi-label task, or an array with one per clip (and class)."""
DEFAULT_THRESHOLD = 0.5
FOLDS = 10


def predict(scores: np.ndarray, threshold: Threshold | None = DEFAULT_THRESHOLD) -> np.ndarray:
    """Return predictions.

    Parameters
    ----------
    scores : np.ndarray, shape (n,) or (n, n_classes)
    threshold : float, Sequence of float, np.ndarray or None
        Threshold of a binary task, or of each class of a multi-label task; an array may hold one per clip. None is 0.5.

    Returns
    -------
    np.ndarray, int
        Shape (n,): whether a binary score reaches the threshold, or the class of the highest score. Shape
        (n, n_classes) with one threshold per class: whether its score reaches it.

    >>> predict(np.array([0.2, 0.7]), 0.5).tolist(), predict(np.array([[0.2, 0.5, 0.3]])).tolist()
    ([0, 1], [1])
    """
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    if scores.ndim == 1 or np.ndim(threshold):
        return (scores >= np.asarray(threshold)).astype(np.int64)
    return scores.argmax(axis=1)


def threshold_for(y: np.ndarray, scores: np.ndarray) -> float | list[float]:
    """Choose a binary threshold: the one of the highest sensitivity + specificity - 1 (Youden's J).

    It lies half-way between two neighbouring scores, so that a device's rounding moves no clip across it; of equally
    good thresholds it is the highest.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Scores of the validation split.

    Returns
    -------
    float or list[float]
        One for each class of a multi-label task.

    Raises
    ------
    DataError
        If one of the two classes is missing, or of a multi-label task, if all clips have a class or none has.

    >>> threshold_for(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])) == (0.2 + 0.6) / 2
    True
    """
    if y.ndim == 2:
        return [_threshold_for(*pair) for pair in zip(y.T, scores.T, strict=True)]
    return _threshold_for(y, scores)


def crossfit_thresholds(y: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """Choose for every clip a threshold on the clips of other groups, so that decisions are not judged in-sample.

    A threshold chosen on the clips that it is judged on flatters them: without any signal, balanced accuracy comes out
    at 0.55 to 0.58 on 50 to 160 clips. The groups are dealt out to `FOLDS` parts, class by class; each part's
    threshold is chosen on the other parts.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
    groups : np.ndarray, shape (n,), str

    Returns
    -------
    np.ndarray, shape of `scores`, or None
        None if the other parts do not hold both classes: fewer than two groups have one of them.

    >>> y, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.3, 0.9])
    >>> crossfit_thresholds(y, scores, np.array(["a", "b", "c", "d"])).round(2).tolist()
    [0.6, 0.6, 0.35, 0.35]
    """
    if y.ndim == 2:
        columns = [crossfit_thresholds(*pair, groups) for pair in zip(y.T, scores.T, strict=True)]
        known = [column for column in columns if column is not None]
        return np.stack(known, axis=1) if len(known) == len(columns) else None
    names, membership = np.unique(groups, return_inverse=True)
    positive = np.bincount(membership, weights=y) >= 0.5 * np.bincount(membership)
    part_of = np.empty(len(names), int)
    for kind in (positive, ~positive):
        part_of[kind] = np.arange(kind.sum()) % FOLDS
    parts, found = part_of[membership], np.empty(len(y))
    for part in np.unique(parts):
        others = parts != part
        if len(np.unique(y[others])) < 2:
            return None
        found[~others] = _threshold_for(y[others], scores[others])
    return found


def _threshold_for(y: np.ndarray, scores: np.ndarray) -> float:
    curve = Curve.of(y == 1, scores.astype(np.float64), np.ones(len(y)))
    if not curve.defined:
        raise DataError("A threshold needs clips of both classes; the split holds one. Check the split's fractions.")
    gained = curve.true_positives / curve.true_positives[-1] - curve.false_positives / curve.false_positives[-1]
    best = int(np.argmax(np.round(gained, 12)))
    return float(curve.thresholds[best : best + 2].mean())
