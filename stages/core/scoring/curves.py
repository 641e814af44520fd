"""The ROC and precision-recall curves of a binary decision, and the areas under them, for many weights at once."""

from dataclasses import dataclass

import numpy as np

from stages.core.scoring.arrays import ratio


@dataclass(frozen=True)
class Curve:
    """Cumulative true and false positives at each threshold, highest first.

    Attributes
    ----------
    thresholds : np.ndarray, shape (n_thresholds,)
        Distinct scores, descending.
    true_positives, false_positives : np.ndarray, shape (..., n_thresholds)
        Weight of the positive and of the negative clips whose score reaches the threshold.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> "Curve":
        """Rank clips by score; clips of equal score enter together.

        Parameters
        ----------
        truth : np.ndarray, shape (n,), bool
        scores : np.ndarray, shape (n,)
        weights : np.ndarray, shape (..., n)
            One row per resample.
        """
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        above, positive = weights[..., order], truth[order]
        return cls(
            ranked[last],
            np.cumsum(above * positive, axis=-1)[..., last],
            np.cumsum(above * ~positive, axis=-1)[..., last],
        )

    @property
    def defined(self) -> np.ndarray:
        """Whether both classes have weight, shape (...)."""
        return (self.true_positives[..., -1] > 0) & (self.false_positives[..., -1] > 0)


def roc_auc_of(curve: Curve) -> np.ndarray:
    """Return the area under the ROC curve by the trapezoidal rule; a tie counts one half.

    >>> truth = np.array([False, True, False, True])
    >>> float(roc_auc_of(Curve.of(truth, np.array([0.1, 0.4, 0.4, 0.9]), np.ones(4))))
    0.875
    """
    tp, fp = curve.true_positives, curve.false_positives
    heights = tp + _shifted(tp)
    area = (heights * (fp - _shifted(fp))).sum(axis=-1) / 2
    return ratio(area, tp[..., -1] * fp[..., -1], curve.defined)


def average_precision_of(curve: Curve) -> np.ndarray:
    """Return the area under the precision-recall curve as a sum of steps, without interpolation.

    >>> truth = np.array([True, False, True])
    >>> round(float(average_precision_of(Curve.of(truth, np.array([0.9, 0.5, 0.2]), np.ones(3)))), 3)
    0.833
    """
    tp, fp = curve.true_positives, curve.false_positives
    precision = ratio(tp, tp + fp, tp + fp > 0, otherwise=0.0)
    return ratio((precision * (tp - _shifted(tp))).sum(axis=-1), tp[..., -1], curve.defined)


def sensitivity_of(curve: Curve, specificity: float) -> np.ndarray:
    """Return the highest sensitivity among thresholds whose specificity is at least the given one.

    >>> truth = np.array([False, False, True, True])
    >>> float(sensitivity_of(Curve.of(truth, np.array([0.1, 0.6, 0.5, 0.9]), np.ones(4)), specificity=0.9))
    0.5
    """
    tp, fp = curve.true_positives, curve.false_positives
    negatives = fp[..., -1:]
    allowed = fp <= (1 - specificity) * negatives + 1e-9 * negatives  # 1 - 0.9 is a little less than 0.1
    return ratio(np.where(allowed, tp, 0).max(axis=-1), tp[..., -1], curve.defined)


def roc_points(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve of a binary task from (0, 0) to (1, 1), corners only.

    Returns
    -------
    false_positive_rate, true_positive_rate : np.ndarray, shape (n_points,)
        NaN where one class is missing.

    >>> [points.tolist() for points in roc_points(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.6, 0.9]))]
    [[0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0]]
    """
    curve = Curve.of(y == 1, scores, np.ones(len(y)))
    corners = np.array([[0.0, *curve.false_positives], [0.0, *curve.true_positives]])
    straight = np.all(np.diff(corners, 2, axis=1) == 0, axis=0)
    corners = corners[:, np.concatenate([[True], ~straight, [True]])]
    totals = corners[:, -1:]
    false_positive_rate, true_positive_rate = ratio(corners, totals, totals > 0)
    return false_positive_rate, true_positive_rate


def _shifted(values: np.ndarray) -> np.ndarray:
    """Return the values one threshold earlier, starting with 0."""
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), values[..., :-1]], axis=-1)
