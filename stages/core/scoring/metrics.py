"""Metrics from scores, vectorised over weights, so that all resamples are computed at once.

Throughout, `y` is (n,) int, an index into the labels; `scores` is (n,) float, the probability of the positive
class (label 1) of a binary task, or (n, n_classes) float, a probability per class. `weights` is (..., n), one
row per resample for instance, or `GroupWeights`; a metric then has shape (...). A multi-class metric is the mean over
the classes present of one class against the rest ("macro"). NaN means undefined: a metric that compares classes is
undefined where only one class has weight.

In a multi-label task, `y` is (n, n_classes), 0 or 1, and every class is a binary task with a threshold of its own: a
metric is the mean over them, so that `pr_auc` is the mean average precision (mAP). The exception is `accuracy`, the
fraction of the clips that are right in every class.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.artifacts.dataset import indicators
from stages.core.artifacts.estimates import AUTO, ThresholdRule
from stages.core.scoring.arrays import macro, ratio
from stages.core.scoring.calibration import observed_error
from stages.core.scoring.curves import Curve, Ranking, average_precision_of, roc_auc_of, sensitivity_of
from stages.core.scoring.thresholds import DEFAULT_THRESHOLD, Threshold, predict
from stages.core.scoring.weights import GroupWeights, Weights, in_parts

Metrics = dict[str, np.ndarray]
METRICS = (
    "roc_auc",
    "pr_auc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "sensitivity_at_specificity",
    "calibration_error",
)
BY_CLASS = frozenset(METRICS) - {"accuracy", "calibration_error"}
"""Metrics that compare classes, so that the rarest class limits how sure they are."""
OF_DECISIONS = frozenset({"accuracy", "balanced_accuracy", "f1", "sensitivity_at_specificity"})
"""Metrics that count decisions."""
OF_THRESHOLD = frozenset({"accuracy", "balanced_accuracy", "f1"})
"""Metrics of a binary or multi-label task that depend on its threshold."""


@dataclass(frozen=True)
class MetricParams:
    """How metrics and their intervals are computed.

    Attributes
    ----------
    resamples : int
        Bootstrap resamples of the groups, beside the jackknife over all of them.
    confidence : float
        Confidence of the intervals, in (0, 1).
    specificity : float
        In (0, 1). ``sensitivity_at_specificity`` is the highest sensitivity of any threshold that is at least this
        specific.
    calibration_bins : int
        Equal bins over [0, 1] of ``calibration_error``.
    seed : int
        Seed of the bootstrap.
    rule : ThresholdRule
        How thresholds are chosen.
    """

    resamples: int = 1000
    confidence: float = 0.95
    specificity: float = 0.90
    calibration_bins: int = 10
    seed: int = 1234
    rule: ThresholdRule = AUTO


DEFAULTS = MetricParams()


def evaluate(
    y: np.ndarray,
    scores: np.ndarray,
    weights: Weights | None = None,
    *,
    threshold: Threshold | None = None,
    params: MetricParams = DEFAULTS,
) -> Metrics:
    """Compute every metric.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
    weights : np.ndarray, shape (..., n), or GroupWeights, optional
        1 each by default.
    threshold : float, Sequence of float, np.ndarray or None
        A binary prediction is positive from this score on. A multi-label task takes one for all classes or one for
        each; an array may hold one per clip (`stages.core.scoring.thresholds.crossfit_thresholds`). None is 0.5. A
        multi-class prediction is the class of the highest score.
    params : MetricParams
        Its specificity and calibration bins.

    Returns
    -------
    dict[str, np.ndarray]
        Name in `METRICS` to values of shape (...). ``calibration_error`` is the observed one; `summarise` takes out
        what chance puts there.

    >>> found = evaluate(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]))
    >>> float(found["roc_auc"]), float(found["accuracy"])
    (1.0, 0.75)
    """
    weights = _given(weights, len(y))
    of_curves = (roc_auc_of, average_precision_of, functools.partial(sensitivity_of, specificity=params.specificity))
    roc_auc, pr_auc, sensitivity = _of_curves(of_curves, y, scores, weights)
    return {
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        **_of_predictions(y, _decisions(y, scores, threshold), weights, n_classes=_n_classes(scores)),
        "sensitivity_at_specificity": sensitivity,
        "calibration_error": observed_error(y, scores, weights, bins=params.calibration_bins),
    }


def measure(
    metric: str,
    y: np.ndarray,
    scores: np.ndarray,
    weights: Weights | None = None,
    *,
    threshold: Threshold | None = None,
    params: MetricParams = DEFAULTS,
) -> np.ndarray:
    """Compute one metric of `METRICS`, as `evaluate` does, without the cost of the others.

    >>> float(measure("accuracy", np.array([0, 1]), np.array([0.1, 0.2])))
    0.5
    """
    weights = _given(weights, len(y))
    if metric == "calibration_error":
        return observed_error(y, scores, weights, bins=params.calibration_bins)
    of_curve: dict[str, Callable[[Curve], np.ndarray]] = {
        "roc_auc": roc_auc_of,
        "pr_auc": average_precision_of,
        "sensitivity_at_specificity": functools.partial(sensitivity_of, specificity=params.specificity),
    }
    if metric in of_curve:
        (values,) = _of_curves([of_curve[metric]], y, scores, weights)
        return values
    return _of_predictions(y, _decisions(y, scores, threshold), weights, n_classes=_n_classes(scores))[metric]


def _given(weights: Weights | None, n: int) -> Weights:
    if isinstance(weights, GroupWeights):
        return weights
    return np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)


def _of_curves(
    figures: Sequence[Callable[[Curve], np.ndarray]], y: np.ndarray, scores: np.ndarray, weights: Weights
) -> np.ndarray:
    """Return figures of curves, each the mean over the classes present: shape (n_figures, ...)."""

    def of_class(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
        ranking = Ranking.of(truth, score).corners

        def of_weights(part: Weights) -> np.ndarray:
            curve = ranking.curve(part)
            return np.stack([figure(curve) for figure in figures])

        return in_parts(weights, of_weights)

    return macro(np.stack([of_class(*pair) for pair in _one_against_rest(y, scores)]))


def _decisions(y: np.ndarray, scores: np.ndarray, threshold: Threshold | None) -> np.ndarray:
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    return predict(scores, np.broadcast_to(threshold, scores.shape) if y.ndim == 2 else threshold)  # type: ignore[arg-type]


def _of_predictions(y: np.ndarray, predicted: np.ndarray, weights: Weights, *, n_classes: int) -> Metrics:
    is_true, is_predicted = (indicators(which, n_classes) > 0 for which in (y, predicted))
    actual, called, hits = (
        weights @ which.astype(np.float64) for which in (is_true, is_predicted, is_true & is_predicted)
    )
    total, present = weights.sum(axis=-1), actual > 0
    several = present.sum(axis=-1) > 1
    f1 = ratio(2 * hits, actual + called, present)
    if y.ndim == 2:
        absent = total[..., np.newaxis] - actual
        rejected = ratio(absent - called + hits, absent, present & (absent > 0))
        right = weights @ (is_true == is_predicted).all(axis=1).astype(np.float64)
        return {
            "accuracy": ratio(right, total, total > 0),
            "balanced_accuracy": macro(np.moveaxis((ratio(hits, actual, present) + rejected) / 2, -1, 0)),
            "f1": macro(np.moveaxis(f1, -1, 0)),
        }
    return {
        "accuracy": ratio(hits.sum(axis=-1), total, total > 0),
        "balanced_accuracy": np.where(several, macro(np.moveaxis(ratio(hits, actual, present), -1, 0)), np.nan),
        "f1": np.where(several, f1[..., 1] if n_classes == 2 else macro(np.moveaxis(f1, -1, 0)), np.nan),
    }


def _one_against_rest(y: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if scores.ndim == 1:
        return [(y == 1, scores)]
    return list(zip(indicators(y, scores.shape[1]).T > 0, scores.T, strict=True))


def _n_classes(scores: np.ndarray) -> int:
    return 2 if scores.ndim == 1 else scores.shape[1]
