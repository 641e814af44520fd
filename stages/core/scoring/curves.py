"""The ROC and precision-recall curves of a binary decision, and the areas under them, for many weights at once."""

from dataclasses import dataclass

import numpy as np

from stages.core.scoring.arrays import ratio
from stages.core.scoring.weights import Weights


@dataclass(frozen=True)
class Ranking:
    """Clips ranked by score, highest first; clips of equal score enter together.

    Attributes
    ----------
    thresholds : np.ndarray, shape (n_thresholds,)
        Distinct scores, descending.
    positives, negatives : np.ndarray, int
        The clips of either class, by rank.
    n_positives, n_negatives : np.ndarray, shape (n_thresholds,), int
        How many of either reach each threshold.
    """

    thresholds: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    n_positives: np.ndarray
    n_negatives: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, scores: np.ndarray) -> "Ranking":
        """Rank clips.

        Parameters
        ----------
        truth : np.ndarray, shape (n,), bool
        scores : np.ndarray, shape (n,)
        """
        order = np.argsort(-scores, kind="stable")
        ranked, positive = scores[order], truth[order]
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        n_positives = np.cumsum(positive)[last]
        return cls(ranked[last], order[positive], order[~positive], n_positives, last + 1 - n_positives)

    @property
    def corners(self) -> "Ranking":
        """Without the thresholds at which only negatives enter, and at the next one too.

        The areas and the highest sensitivity at a specificity are those of all thresholds.
        """
        new = np.diff(self.n_positives, prepend=0, append=len(self.positives) + 1) > 0
        kept = new[:-1] | new[1:]
        return Ranking(
            self.thresholds[kept], self.positives, self.negatives, self.n_positives[kept], self.n_negatives[kept]
        )

    def curve(self, weights: Weights) -> "Curve":
        """Return the curve of weighted clips.

        Parameters
        ----------
        weights : np.ndarray, shape (..., n), or GroupWeights
            One row per resample.
        """
        return Curve(
            self.thresholds,
            _reaching(weights.take(self.positives, axis=-1), self.n_positives),
            _reaching(weights.take(self.negatives, axis=-1), self.n_negatives),
        )


def _reaching(ranked: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the sum of the first so many weights, for each count: (..., n) to (..., len(counts))."""
    sums = np.zeros((*ranked.shape[:-1], ranked.shape[-1] + 1))
    np.cumsum(ranked, axis=-1, out=sums[..., 1:])
    return sums.take(counts, axis=-1)


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
    def of(cls, truth: np.ndarray, scores: np.ndarray, weights: Weights) -> "Curve":
        """Return the curve over all thresholds; see `Ranking`."""
        return Ranking.of(truth, scores).curve(weights)

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
    later = np.einsum("...t,...t->...", tp[..., 1:] + tp[..., :-1], np.diff(fp, axis=-1))
    area = (tp[..., 0] * fp[..., 0] + later) / 2
    return ratio(area, tp[..., -1] * fp[..., -1], curve.defined)


def average_precision_of(curve: Curve) -> np.ndarray:
    """Return the area under the precision-recall curve as a sum of steps, without interpolation.

    >>> truth = np.array([True, False, True])
    >>> round(float(average_precision_of(Curve.of(truth, np.array([0.9, 0.5, 0.2]), np.ones(3)))), 3)
    0.833
    """
    tp, fp = curve.true_positives, curve.false_positives
    total = tp + fp
    precision = np.divide(tp, total, out=np.zeros(tp.shape), where=total > 0)
    steps = precision[..., 0] * tp[..., 0] + np.einsum("...t,...t->...", precision[..., 1:], np.diff(tp, axis=-1))
    return ratio(steps, tp[..., -1], curve.defined)


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
