"""What a classifier is worth: every metric from continuous scores, weighted, for all resamples at once.

Throughout, `y` is (n,) int, an index into the labels; `scores` is (n,) float, the probability of the positive
class (label 1) of a binary task, or (n, n_classes) float, a probability per class. `weights` is (..., n): one
row per bootstrap resample, say; a metric then has shape (...). A multi-class metric is the mean over classes of
one class against the rest ("macro"), over the classes that are present. NaN means undefined: of the metrics that
compare classes, where only one class has weight.

Of a multi-label task, `y` is (n, n_classes), 0 or 1, and every class is a binary task of its own with a threshold of
its own: a metric is the mean over them, so that `pr_auc` is the mean average precision (mAP). The exception is
`accuracy`, the fraction of the clips that are right in every class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.artifacts.dataset import indicators
from stages.core.project.errors import DataError
from stages.core.scoring import stats

Metrics = dict[str, np.ndarray]
Threshold = float | Sequence[float]
METRICS = (
    "roc_auc",
    "pr_auc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "sensitivity_at_specificity",
    "calibration_error",
)
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class MetricParams:
    """How metrics and their intervals are computed.

    Attributes
    ----------
    resamples : int
        Bootstrap resamples of the groups.
    confidence : float
        Of the intervals, in (0, 1).
    specificity : float
        At least this much is held when the sensitivity is read off, in (0, 1).
    calibration_bins : int
    seed : int
        Of the bootstrap.
    """

    resamples: int = 1000
    confidence: float = 0.95
    specificity: float = 0.90
    calibration_bins: int = 10
    seed: int = 1234


def evaluate(
    y: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threshold: Threshold | None = None,
    specificity: float = 0.90,
    calibration_bins: int = 10,
) -> Metrics:
    """Compute every metric.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
    weights : np.ndarray, shape (..., n), optional
        1 each by default.
    threshold : float, Sequence of float, or None
        A binary prediction is positive from this score on; of a multi-label task one for all classes, or one for each.
        None is 0.5.
        A multi-class prediction is the class of the highest score.
    specificity : float
        For ``sensitivity_at_specificity``: the highest sensitivity of any threshold that is at least this specific.
    calibration_bins : int
        For ``calibration_error``: equal bins over [0, 1].

    Returns
    -------
    dict[str, np.ndarray]
        Name, of `METRICS`, to values of shape (...).
    """
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    curves = [
        (roc_auc_of(curve), average_precision_of(curve), sensitivity_of(curve, specificity))
        for curve in (Curve.of(truth, score, weights) for truth, score in _one_against_rest(y, scores))
    ]
    roc_auc, pr_auc, sensitivity = (_macro(np.stack(values)) for values in zip(*curves, strict=True))
    return {
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        **_of_predictions(y, _decisions(y, scores, threshold), weights, n_classes=_n_classes(scores)),
        "sensitivity_at_specificity": sensitivity,
        "calibration_error": calibration_error(y, scores, weights, bins=calibration_bins),
    }


def measure(
    metric: str,
    y: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threshold: Threshold | None = None,
    specificity: float = 0.90,
    calibration_bins: int = 10,
) -> np.ndarray:
    """Compute one metric of `METRICS`, as `evaluate` does, without the cost of the others."""
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if metric == "calibration_error":
        return calibration_error(y, scores, weights, bins=calibration_bins)
    of_curve: dict[str, Callable[[Curve], np.ndarray]] = {
        "roc_auc": roc_auc_of,
        "pr_auc": average_precision_of,
        "sensitivity_at_specificity": lambda curve: sensitivity_of(curve, specificity),
    }
    if metric in of_curve:
        curves = (Curve.of(truth, score, weights) for truth, score in _one_against_rest(y, scores))
        return _macro(np.stack([of_curve[metric](curve) for curve in curves]))
    return _of_predictions(y, _decisions(y, scores, threshold), weights, n_classes=_n_classes(scores))[metric]


def predict(scores: np.ndarray, threshold: Threshold | None = DEFAULT_THRESHOLD) -> np.ndarray:
    """Return predictions.

    Parameters
    ----------
    scores : np.ndarray, shape (n,) or (n, n_classes)
    threshold : float, Sequence of float, or None
        Of a binary task; of each class of a multi-label task. None is 0.5.

    Returns
    -------
    np.ndarray, int
        Shape (n,): whether a binary score reaches the threshold, or the class of the highest score. Shape
        (n, n_classes) with one threshold per class: whether its score reaches it.
    """
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    if scores.ndim == 1 or np.ndim(threshold):
        return (scores >= np.asarray(threshold)).astype(np.int64)
    return scores.argmax(axis=1)


@dataclass(frozen=True)
class Curve:
    """What lies above each distinct threshold, from the strictest to the laxest.

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
        """Rank clips by score; clips of equal score enter together."""
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
    """Return the area under the ROC curve by the trapezoidal rule, that is, ties count one half."""
    tp, fp = curve.true_positives, curve.false_positives
    heights = tp + _shifted(tp)
    area = (heights * (fp - _shifted(fp))).sum(axis=-1) / 2
    return _ratio(area, tp[..., -1] * fp[..., -1], curve.defined)


def average_precision_of(curve: Curve) -> np.ndarray:
    """Return the area under the precision-recall curve as a sum of steps, without interpolation."""
    tp, fp = curve.true_positives, curve.false_positives
    precision = _ratio(tp, tp + fp, tp + fp > 0, otherwise=0.0)
    return _ratio((precision * (tp - _shifted(tp))).sum(axis=-1), tp[..., -1], curve.defined)


def sensitivity_of(curve: Curve, specificity: float) -> np.ndarray:
    """Return the highest sensitivity among thresholds whose specificity is at least the given one."""
    tp, fp = curve.true_positives, curve.false_positives
    negatives = fp[..., -1:]
    allowed = fp <= (1 - specificity) * negatives + 1e-9 * negatives  # 1 - 0.9 is a little less than 0.1
    return _ratio(np.where(allowed, tp, 0).max(axis=-1), tp[..., -1], curve.defined)


def calibration_error(
    y: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, *, bins: int = 10
) -> np.ndarray:
    """Return the expected calibration error over equal bins.

    Binary: how far the mean score of a bin is from its fraction of positives. Multi-class: how far the mean
    of the highest score is from the fraction of right predictions. Multi-label: the mean over classes of the binary
    error. Each bin weighs as much as its clips.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2, eq. 3.
    """
    weights = np.ones(len(y)) if weights is None else weights
    if y.ndim == 2:
        of_classes = [calibration_error(*pair, weights, bins=bins) for pair in zip(y.T, scores.T, strict=True)]
        return _macro(np.stack(of_classes))
    if scores.ndim == 1:
        confidence, right = scores, y == 1
    else:
        confidence, right = scores.max(axis=1), y == scores.argmax(axis=1)
    edges = np.linspace(0, 1, bins + 1)
    membership = np.searchsorted(edges[1:-1], confidence)[:, np.newaxis] == np.arange(bins)
    gaps = weights @ (membership * (confidence - right)[:, np.newaxis])
    return _ratio(np.abs(gaps).sum(axis=-1), weights.sum(axis=-1), weights.sum(axis=-1) > 0)


def threshold_for(y: np.ndarray, scores: np.ndarray) -> float | list[float]:
    """Choose a binary threshold: the one of the highest sensitivity + specificity - 1 (Youden's J).

    It lies half-way between two neighbouring scores, so that a device's rounding moves no clip across it; among equals,
    the highest one.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Of the validation split.

    Returns
    -------
    float or list[float]
        Of a multi-label task, one for each class.

    Raises
    ------
    DataError
        If one of the two classes is missing, or of a multi-label task, if all clips have a class or none has.
    """
    if y.ndim == 2:
        return [_threshold_for(*pair) for pair in zip(y.T, scores.T, strict=True)]
    return _threshold_for(y, scores)


def _threshold_for(y: np.ndarray, scores: np.ndarray) -> float:
    curve = Curve.of(y == 1, scores.astype(np.float64), np.ones(len(y)))
    if not curve.defined:
        raise DataError("A threshold needs clips of both classes; the split holds one. Check the split's fractions.")
    gained = curve.true_positives / curve.true_positives[-1] - curve.false_positives / curve.false_positives[-1]
    best = int(np.argmax(np.round(gained, 12)))
    return float(curve.thresholds[best : best + 2].mean())


def roc_points(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve of a binary task from (0, 0) to (1, 1), corners only.

    Returns
    -------
    false_positive_rate, true_positive_rate : np.ndarray, shape (n_points,)
        NaN where one class is missing.
    """
    curve = Curve.of(y == 1, scores, np.ones(len(y)))
    corners = np.array([[0.0, *curve.false_positives], [0.0, *curve.true_positives]])
    straight = np.all(np.diff(corners, 2, axis=1) == 0, axis=0)
    corners = corners[:, np.concatenate([[True], ~straight, [True]])]
    totals = corners[:, -1:]
    false_positive_rate, true_positive_rate = _ratio(corners, totals, totals > 0)
    return false_positive_rate, true_positive_rate


def summarise(
    y: np.ndarray,
    scores: np.ndarray,
    *,
    groups: np.ndarray,
    sites: np.ndarray,
    labels: tuple[str, ...],
    params: MetricParams,
    threshold: Threshold | None = None,
) -> dict[str, Any]:
    """Compute every metric with its interval, pooled and per site, ready for JSON.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,), (n, 1) or (n, n_classes)
    groups, sites : np.ndarray, shape (n,), str
        Intervals come from resampling `groups`. Sites are reported where there are two or more.
    labels : tuple[str, ...]
        In output order; the positive class of a binary task is last.
    params : MetricParams
    threshold : float, Sequence of float, or None
        Of binary predictions; of a multi-label task, one for each class. None means 0.5. Choose it on validation with
        `threshold_for`.

    Returns
    -------
    dict
        ``n``, ``groups``, ``classes`` (label to count), ``positives`` (binary), ``threshold`` (of a binary task a
        number, of a multi-label task a list, else None), ``pooled``
        (metric to ``{"value", "low", "high"}``) and ``sites`` (site to ``n``, ``groups``, ``classes`` and
        ``metrics``). What is undefined is None, with a ``reason``. Six decimals.

    Raises
    ------
    DataError
        If the shapes do not fit, or a score is not finite.
    """
    scores = _checked(y, scores, groups, sites, labels)
    if threshold is None:
        threshold = [DEFAULT_THRESHOLD] * len(labels) if y.ndim == 2 else DEFAULT_THRESHOLD
    names = sorted(set(sites.tolist()) - {""})
    binary = scores.ndim == 1

    def part(rows: np.ndarray) -> dict[str, Any]:
        counts = indicators(y[rows], len(labels)).sum(axis=0)
        return {
            "n": int(rows.sum()),
            "groups": len(np.unique(groups[rows])),
            "classes": {label: int(count) for label, count in zip(labels, counts, strict=True)},
            "metrics": _with_intervals(y[rows], scores[rows], groups[rows], params, threshold),
        }

    whole = part(np.ones(len(y), dtype=bool))
    return {
        **{key: value for key, value in whole.items() if key != "metrics"},
        "positives": whole["classes"][labels[1]] if binary else None,
        "threshold": threshold if binary or y.ndim == 2 else None,
        "pooled": whole["metrics"],
        "sites": {name: part(sites == name) for name in names} if len(names) > 1 else {},
    }


def _with_intervals(
    y: np.ndarray, scores: np.ndarray, groups: np.ndarray, params: MetricParams, threshold: Threshold
) -> dict[str, dict[str, Any]]:
    def measure(weights: np.ndarray) -> Metrics:
        return evaluate(
            y,
            scores,
            weights,
            threshold=threshold,
            specificity=params.specificity,
            calibration_bins=params.calibration_bins,
        )

    values = measure(np.ones(len(y)))
    several = len(np.unique(groups)) > 1
    rng = np.random.default_rng(params.seed)
    blocks = [measure(w) for w in stats.group_bootstrap(groups, resamples=params.resamples, rng=rng)] if several else []
    result: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        low, high = np.nan, np.nan
        reason = None
        if np.isnan(value):
            reason = "one class only"
        elif not several:
            reason = "one group only"
        else:
            resampled = np.concatenate([block[name] for block in blocks])
            low, high = stats.percentile_interval(resampled, confidence=params.confidence)
            reason = "no resample holds two classes" if np.isnan(low) else None
        figures = {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high)}
        result[name] = figures if reason is None else figures | {"reason": reason}
    return result


def _decisions(y: np.ndarray, scores: np.ndarray, threshold: Threshold | None) -> np.ndarray:
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    return predict(scores, np.broadcast_to(threshold, scores.shape[1]) if y.ndim == 2 else threshold)  # type: ignore[arg-type]


def _of_predictions(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray, *, n_classes: int) -> Metrics:
    is_true, is_predicted = (indicators(which, n_classes) > 0 for which in (y, predicted))
    actual, called, hits = (
        weights @ which.astype(np.float64) for which in (is_true, is_predicted, is_true & is_predicted)
    )
    total, present = weights.sum(axis=-1), actual > 0
    several = present.sum(axis=-1) > 1
    f1 = _ratio(2 * hits, actual + called, present)
    if y.ndim == 2:
        absent = total[..., np.newaxis] - actual
        rejected = _ratio(absent - called + hits, absent, present & (absent > 0))
        right = weights @ (is_true == is_predicted).all(axis=1).astype(np.float64)
        return {
            "accuracy": _ratio(right, total, total > 0),
            "balanced_accuracy": _macro(np.moveaxis((_ratio(hits, actual, present) + rejected) / 2, -1, 0)),
            "f1": _macro(np.moveaxis(f1, -1, 0)),
        }
    return {
        "accuracy": _ratio(hits.sum(axis=-1), total, total > 0),
        "balanced_accuracy": np.where(several, _macro(np.moveaxis(_ratio(hits, actual, present), -1, 0)), np.nan),
        "f1": np.where(several, f1[..., 1] if n_classes == 2 else _macro(np.moveaxis(f1, -1, 0)), np.nan),
    }


def _one_against_rest(y: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if scores.ndim == 1:
        return [(y == 1, scores)]
    return list(zip(indicators(y, scores.shape[1]).T > 0, scores.T, strict=True))


def _n_classes(scores: np.ndarray) -> int:
    return 2 if scores.ndim == 1 else scores.shape[1]


def _macro(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0), defined.any(axis=0))


def _ratio(
    numerator: np.ndarray, denominator: np.ndarray, defined: np.ndarray, otherwise: float = np.nan
) -> np.ndarray:
    return np.where(defined, numerator / np.where(defined, denominator, 1), otherwise)


def _shifted(values: np.ndarray) -> np.ndarray:
    """Return the values one threshold earlier, starting with 0."""
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), values[..., :-1]], axis=-1)


def _rounded(value: float | np.ndarray) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _checked(
    y: np.ndarray, scores: np.ndarray, groups: np.ndarray, sites: np.ndarray, labels: tuple[str, ...]
) -> np.ndarray:
    """Return the scores in float64, (n,) if binary, once everything fits."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    expected = (len(y),) if len(labels) == 2 and y.ndim == 1 else (len(y), len(labels))
    if scores.shape != expected or not len(y) == len(groups) == len(sites):
        raise DataError(
            f"Scores, groups and sites must describe the same {len(y)} clips of {len(labels)} classes; "
            f"got {scores.shape}, {len(groups)} and {len(sites)}. Make the features and the models again."
        )
    if not len(y):
        raise DataError("Metrics need at least one clip; the split is empty. Check split.fractions.")
    if not np.isfinite(scores).all():
        raise DataError("Every score must be finite; the model returned NaN or infinity. Train it again.")
    return scores
