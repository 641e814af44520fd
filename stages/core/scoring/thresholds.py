"""Decision thresholds: how they are chosen on validation, and how decisions there are judged without flattery."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stages.core.artifacts.estimates import AUTO, ThresholdRule
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


def threshold_for(y: np.ndarray, scores: np.ndarray, rule: ThresholdRule = AUTO) -> float | list[float]:
    """Choose a binary threshold by a rule; by default that of the highest sensitivity + specificity - 1 (Youden's J).

    It lies half-way between two neighbouring scores, so that a device's rounding moves no clip across it; of equally
    good thresholds it is the highest. Where the rule would rather find no clip positive, it lies above all scores.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Scores of the validation split.
    rule : ThresholdRule

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
        return [_threshold_for(*pair, rule) for pair in zip(y.T, scores.T, strict=True)]
    return _threshold_for(y, scores, rule)


def class_thresholds(y: np.ndarray, scores: np.ndarray, rule: ThresholdRule = AUTO) -> tuple[float, ...] | None:
    """Choose for every class of a multi-class task the threshold of its score against the rest.

    Parameters
    ----------
    y : np.ndarray, shape (n,), int
    scores : np.ndarray, shape (n, n_classes)
    rule : ThresholdRule
        ``"auto"`` is F1.

    Returns
    -------
    tuple[float, ...] or None
        None if a class is missing.

    >>> scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.4, 0.2, 0.4]])
    >>> [round(limit, 2) for limit in class_thresholds(np.array([0, 1, 2]), scores)]
    [0.6, 0.45, 0.25]
    """
    if len(np.unique(y)) < scores.shape[1]:
        return None
    rule = replace(rule, kind="f1") if rule.kind == "auto" else rule
    return tuple(_threshold_for((y == k).astype(int), scores[:, k], rule) for k in range(scores.shape[1]))


def crossfit_thresholds(
    y: np.ndarray, scores: np.ndarray, groups: np.ndarray, rule: ThresholdRule = AUTO
) -> np.ndarray | None:
    """Choose for every clip a threshold on the clips of other groups, so that decisions are not judged in-sample.

    A threshold chosen on the clips that it is judged on flatters them: without any signal, balanced accuracy comes out
    at 0.55 to 0.58 on 50 to 160 clips. The groups are dealt out to `FOLDS` parts, class by class; each part's
    threshold is chosen on the other parts.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
    groups : np.ndarray, shape (n,), str
    rule : ThresholdRule

    Returns
    -------
    np.ndarray, shape of `scores`, or None
        None if the other parts do not hold both classes: fewer than two groups have one of them.

    >>> y, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.3, 0.9])
    >>> crossfit_thresholds(y, scores, np.array(["a", "b", "c", "d"])).round(2).tolist()
    [0.6, 0.6, 0.35, 0.35]
    """
    if y.ndim == 2:
        columns = [crossfit_thresholds(*pair, groups, rule) for pair in zip(y.T, scores.T, strict=True)]
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
        found[~others] = _threshold_for(y[others], scores[others], rule)
    return found


def _threshold_for(y: np.ndarray, scores: np.ndarray, rule: ThresholdRule) -> float:
    curve = Curve.of(y == 1, scores.astype(np.float64), np.ones(len(y)))
    if not curve.defined:
        raise DataError("A threshold needs clips of both classes; the split holds one. Check the split's fractions.")
    gained = np.round(_gain(curve, rule), 12)
    best = int(np.argmax(gained))
    if gained[best] < 0 or (rule.kind in ("cost", "specificity") and gained[best] == 0):  # better none at all
        return float(np.nextafter(max(curve.thresholds[0], 1.0), np.inf))
    return float(curve.thresholds[best : best + 2].mean())


def _gain(curve: Curve, rule: ThresholdRule) -> np.ndarray:
    """Return what a rule makes of each threshold, higher is better; 0 for a decision that finds nothing positive."""
    tp, fp = curve.true_positives, curve.false_positives
    if rule.kind == "f1":
        return np.asarray(2 * tp / (tp + fp + tp[-1]))
    if rule.kind == "cost":
        return np.asarray(rule.miss_cost * tp - fp)
    if rule.kind == "specificity":
        allowed = fp <= (1 - rule.specificity) * fp[-1] + 1e-9 * fp[-1]
        return np.where(allowed, tp, 0)
    return np.asarray(tp / tp[-1] - fp / fp[-1])
