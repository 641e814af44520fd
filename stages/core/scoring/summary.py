"""Every metric of a split with its interval, pooled and by recording site, ready for JSON."""

from dataclasses import asdict
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np

from stages.core.artifacts.dataset import indicators
from stages.core.project.errors import DataError
from stages.core.scoring import calibration, uncertainty
from stages.core.scoring.arrays import rounded
from stages.core.scoring.metrics import BY_CLASS, MetricParams, evaluate
from stages.core.scoring.resampling import Draws
from stages.core.scoring.thresholds import DEFAULT_THRESHOLD, Threshold, crossfit_thresholds

Figure: TypeAlias = dict[str, float | str | None]
"""``value``, ``low`` and ``high``, and where there is one the ``reason`` why an end is None."""

DECIDED_BY = ("given threshold", "cross-fitted thresholds", "threshold chosen on these clips")


class Labelled(Protocol):
    """Labels, groups and sites of clips, such as a `Split` or `SplitLabels` of `stages.core.artifacts.dataset`.

    Attributes
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    groups, sites : np.ndarray, shape (n,), str
    """

    @property
    def y(self) -> np.ndarray: ...  # noqa: D102
    @property
    def groups(self) -> np.ndarray: ...  # noqa: D102
    @property
    def sites(self) -> np.ndarray: ...  # noqa: D102


def summarise(
    truth: Labelled,
    scores: np.ndarray,
    *,
    labels: tuple[str, ...],
    params: MetricParams,
    threshold: Threshold | None = None,
    chosen_here: bool = False,
) -> dict[str, Any]:
    """Compute every metric with its interval, pooled and per site, ready for JSON.

    Parameters
    ----------
    truth : Labelled
        Intervals come from leaving out and drawing anew its groups. Sites are reported where there are two or more.
    scores : np.ndarray, shape (n,), (n, 1) or (n, n_classes)
    labels : tuple[str, ...]
        In output order; the positive class of a binary task is last.
    params : MetricParams
    threshold : float, Sequence of float, or None
        Threshold of binary predictions, or one for each class of a multi-label task. None means 0.5. Choose it on
        validation with `stages.core.scoring.thresholds.threshold_for`.
    chosen_here : bool
        Whether the threshold was chosen on these clips. Then every clip is decided by a threshold chosen on other
        groups, as the threshold itself would flatter these clips.

    Returns
    -------
    dict
        ``n``, ``groups``, ``classes`` (label to count), ``positives`` (binary), ``threshold`` (a number of a binary
        task, a list of a multi-label task, else None), ``rule`` of the threshold, ``decided_by`` (one of `DECIDED_BY`,
        or None of a multi-class task), ``pooled`` (metric to ``{"value", "low", "high"}``) and ``sites`` (site to
        ``n``, ``groups``, ``classes`` and ``metrics``). An undefined value and a refused interval are None, with a
        ``reason``. The value of ``calibration_error`` is without what chance puts there; ``observed`` is with it, and
        ``null`` is what a perfectly calibrated classifier would show. Six decimals.

    Raises
    ------
    DataError
        If the shapes do not fit, or a score is not finite.
    """
    y, groups, sites = truth.y, truth.groups, truth.sites
    scores = _checked(y, scores, groups, sites, labels)
    if threshold is None:
        threshold = [DEFAULT_THRESHOLD] * len(labels) if y.ndim == 2 else DEFAULT_THRESHOLD
    names = sorted(set(sites.tolist()) - {""})
    binary = scores.ndim == 1
    decides = binary or y.ndim == 2
    apart = crossfit_thresholds(y, scores, groups, params.rule) if chosen_here and decides else None

    def part(rows: np.ndarray) -> dict[str, Any]:
        counts = indicators(y[rows], len(labels)).sum(axis=0)
        return {
            "n": int(rows.sum()),
            "groups": len(np.unique(groups[rows])),
            "classes": {label: int(count) for label, count in zip(labels, counts, strict=True)},
            "metrics": _with_intervals(
                y[rows], scores[rows], groups[rows], params, threshold if apart is None else apart[rows]
            ),
        }

    whole = part(np.ones(len(y), dtype=bool))
    return {
        **{key: value for key, value in whole.items() if key != "metrics"},
        "positives": whole["classes"][labels[1]] if binary else None,
        "threshold": threshold if decides else None,
        "rule": asdict(params.rule),
        "decided_by": DECIDED_BY[0 if not chosen_here else 2 if apart is None else 1] if decides else None,
        "pooled": whole["metrics"],
        "sites": {name: part(sites == name) for name in names} if len(names) > 1 else {},
    }


def _with_intervals(
    y: np.ndarray, scores: np.ndarray, groups: np.ndarray, params: MetricParams, threshold: Threshold
) -> dict[str, Figure]:
    n_classes = scores.shape[1] if scores.ndim == 2 else 2
    draws = Draws.of(y, groups, n_classes, resamples=params.resamples, seed=params.seed)
    measure = partial(
        evaluate,
        y,
        scores,
        threshold=threshold,
        params=params,
    )
    values = measure(np.ones((1, len(y))))
    refusals = {by_class: draws.refusal(by_class=by_class) for by_class in (False, True)}
    resampled = {} if refusals[False] else measure(draws.weights)
    found: dict[str, Figure] = {}
    for name, (value,) in values.items():
        by_class = name in BY_CLASS
        low, high = np.nan, np.nan
        reason = "one class only" if np.isnan(value) else refusals[by_class]
        if not reason:
            measured = draws.split(resampled[name])
            if name == "calibration_error":
                low, high = uncertainty.mean_interval(measured, draws, confidence=params.confidence)
            else:
                parts = n_classes if by_class and scores.ndim == 2 else 1
                low, high = uncertainty.fraction_interval(
                    measured, draws, confidence=params.confidence, by_class=by_class, n_parts=parts
                )
        if name == "calibration_error":
            found[name] = _calibration_error(value, low, high, y, scores, bins=params.calibration_bins)
        else:
            found[name] = {"value": rounded(value), "low": rounded(low), "high": rounded(high)}
        if reason:
            found[name]["reason"] = reason
    return found


def _calibration_error(
    observed: float, low: float, high: float, y: np.ndarray, scores: np.ndarray, *, bins: int
) -> Figure:
    """Take out of an observed error, and of the ends of its interval, what chance puts there."""
    debiased = [
        end if np.isnan(end) else calibration.debiased(end, y, scores, bins=bins) for end in (observed, low, high)
    ]
    figures: Figure = dict(zip(("value", "low", "high"), map(rounded, debiased), strict=True))
    return figures | {"observed": rounded(observed), "null": rounded(calibration.null_error(y, scores, bins=bins))}


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
