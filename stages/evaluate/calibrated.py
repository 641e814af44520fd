"""Calibration error and Brier score of every variant, with and without the calibration that is folded into its file.

The scores without it are had back from the file's own, so that both are of the same quantised network.
"""

from collections.abc import Iterable

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import SplitLabels
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Calibration, Row
from stages.core.artifacts.variant import Variant
from stages.core.scoring import calibration as errors
from stages.core.scoring import logits, uncertainty
from stages.core.scoring.arrays import rounded
from stages.core.scoring.metrics import MetricParams
from stages.core.scoring.resampling import Draws
from stages.core.scoring.weights import Weights

COLUMNS = ("name", "split", "calibrated", "figure", "value", "low", "high", "reason", "observed", "null")


def measure(
    variant: Variant, truth: SplitLabels, scores: np.ndarray, params: MetricParams, n_crops: int
) -> Calibration:
    """Compute a variant's calibration figures on one split.

    Parameters
    ----------
    variant : Variant
    truth : SplitLabels
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Scores of the file.
    params : MetricParams
    n_crops : int
        With several crops a clip's score is a mean, of which the scores without calibration cannot be had back.

    Returns
    -------
    Calibration
        ``before`` is ``after`` where calibration was refused.
    """
    scores = scores.astype(np.float64)
    after = figures(truth, scores, params)
    if not variant.score_calibration.changes_scores:
        return Calibration(after, after)
    if n_crops > 1:
        return Calibration({name: Estimate(None, reason="a clip has several crops") for name in after}, after)
    before = logits.before(variant.score_calibration, scores, multi_label=truth.y.ndim == 2)
    return Calibration(figures(truth, before, params), after)


def figures(truth: SplitLabels, scores: np.ndarray, params: MetricParams) -> dict[str, Estimate]:
    """Return ``calibration_error``, without what chance puts there, and ``brier``, each with its interval over groups.

    Parameters
    ----------
    truth : SplitLabels
    scores : np.ndarray, shape (n,) or (n, n_classes), float64
    params : MetricParams

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950).
    """
    y, bins = truth.y, params.calibration_bins
    n_classes = scores.shape[1] if scores.ndim == 2 else 2
    draws = Draws.of(y, truth.groups, n_classes, resamples=params.resamples, seed=params.seed)
    refusal = draws.refusal(by_class=False)
    distances = brier(y, scores)

    def both(weights: Weights) -> np.ndarray:
        error = errors.observed_error(y, scores, weights, bins=bins)
        return np.stack([error, weights @ distances / weights.sum(axis=-1)])

    if refusal:
        observed, mean = both(np.ones((1, len(y))))[:, 0]
        ends = np.full((2, 2), np.nan)
    else:
        measured = [draws.split(row) for row in both(draws.weights)]
        observed, mean = (each.value for each in measured)
        ends = np.array([uncertainty.mean_interval(each, draws, confidence=params.confidence) for each in measured])
    low, high = (np.nan if np.isnan(end) else errors.debiased(float(end), y, scores, bins=bins) for end in ends[0])
    value = errors.debiased(float(observed), y, scores, bins=bins)
    null = errors.null_error(y, scores, bins=bins)
    reason = refusal or None
    return {
        "calibration_error": Estimate(
            rounded(value), rounded(low), rounded(high), reason, rounded(observed), rounded(null)
        ),
        "brier": Estimate(rounded(mean), rounded(max(ends[1, 0], 0.0)), rounded(ends[1, 1]), reason),
    }


def brier(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return each clip's Brier score: the squared distance of its probabilities from the truth.

    Binary and multi-label: of each class's own probability, the mean over classes. Multi-class: summed over classes, so
    that it lies in [0, 2].

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes)

    Examples
    --------
    >>> brier(np.array([1, 0]), np.array([0.5, 0.0])).tolist()
    [0.25, 0.0]
    """
    if scores.ndim == 1:
        return np.asarray((scores - y) ** 2)
    squares = (scores - dataset.indicators(y, scores.shape[1])) ** 2
    return np.asarray(squares.mean(axis=1) if y.ndim == 2 else squares.sum(axis=1))


def rows(name: str, found: dict[str, Calibration]) -> Iterable[Row]:
    """Yield a variant's figures as rows of `COLUMNS`."""
    for split, each in found.items():
        for calibrated, estimates in (("no", each.before), ("yes", each.after)):
            for figure, e in estimates.items():
                yield {"name": name, "split": split, "calibrated": calibrated, "figure": figure} | {
                    column: getattr(e, column) for column in COLUMNS[4:]
                }
