"""Every variant against the float32 baseline, on the same clips, with the number of looks allowed for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.core.artifacts.dataset import SplitLabels
from stages.core.artifacts.variant import Variant
from stages.core.project.errors import DataError
from stages.core.scoring import metrics, stats

COLUMNS = ("drop", "drop_low", "drop_high", "drop_bound", "delong_p")


def baseline_of(variants: Sequence[Variant]) -> Variant:
    """Return the float32 baseline that drops are measured from.

    Raises
    ------
    DataError
        If the sweep has none.
    """
    for variant in variants:
        if not variant.schedule and variant.scheme == "float32":
            return variant
    raise DataError("The sweep must hold the float32 baseline that others are compared with. Add it to sweep.schemes.")


def drops(
    metric: str,
    scores: Mapping[str, np.ndarray],
    baseline: str,
    truth: SplitLabels,
    *,
    thresholds: Mapping[str, metrics.Threshold | None],
    confidence: float,
    resamples: int = 2000,
    seed: int = 1234,
) -> dict[str, dict[str, Any]]:
    """Measure how far each variant's metric lies below the baseline's, by a paired bootstrap over groups.

    Parameters
    ----------
    metric : str
        One of `stages.core.scoring.metrics.METRICS`.
    scores : Mapping
        Variant to its scores, (n,) or (n, n_classes).
    baseline : str
        One of them.
    truth : SplitLabels
        Of the same n clips.
    thresholds : Mapping
        Variant to the threshold of its predictions, of a multi-label task one per class; None is 0.5.
    confidence : float
        Of the intervals, each on its own; and of the bounds, all together.
    resamples, seed : int
        Every variant is resampled alike.

    Returns
    -------
    dict
        Variant to ``drop`` (baseline's minus its own: positive is worse) with its interval ``drop_low`` and
        ``drop_high``; ``drop_bound``, the largest drop that all variants' true drops lie below at once
        (`stages.core.scoring.stats.simultaneous_upper_bounds`); and ``delong_p`` (ROC-AUC of a binary
        task, clips taken as
        independent, not corrected for the number of variants). None where undefined. Six decimals.
    """
    rng = np.random.default_rng(seed)
    draws = [np.ones((1, len(truth.y))), *stats.group_bootstrap(truth.groups, resamples=resamples, rng=rng)]

    def measured(name: str) -> np.ndarray:
        of_predictions = thresholds.get(name)
        values = [metrics.measure(metric, truth.y, scores[name], block, threshold=of_predictions) for block in draws]
        return np.concatenate(values)

    names = list(scores)
    reference = measured(baseline)
    below = np.stack([reference - measured(name) for name in names], axis=1)
    bounds = stats.simultaneous_upper_bounds(below[0], below[1:], confidence=confidence)
    found = {}
    for i, name in enumerate(names):
        low, high = stats.percentile_interval(below[1:, i], confidence=confidence)
        figures = dict(zip(COLUMNS, (below[0, i], low, high, bounds[i]), strict=False))
        p = np.nan
        if metric == "roc_auc" and scores[name].ndim == 1 and min(np.bincount(truth.y, minlength=2)) > 1:
            p = stats.delong(truth.y == 1, scores[baseline], scores[name]).p_value
        found[name] = {column: _rounded(value) for column, value in (figures | {"delong_p": p}).items()}
    return found


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
