"""Comparison of every variant with the float32 baseline, on the same clips, corrected for the number of looks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from stages.core.artifacts.dataset import SplitLabels
from stages.core.artifacts.selection import Drop
from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.arrays import rounded
from stages.core.scoring.delong import delong
from stages.core.scoring.resampling import Draws, Measured
from stages.core.scoring.thresholds import Threshold

COLUMNS = tuple(each.name for each in fields(Drop))


@dataclass(frozen=True)
class Bootstrap:
    """Parameters of the bootstrap behind intervals and bounds.

    Attributes
    ----------
    confidence : float
        Confidence of each interval on its own, and of all bounds together.
    resamples, seed : int
        Number of resamples, and their seed; every variant is resampled alike.
    """

    confidence: float
    resamples: int = 2000
    seed: int = 1234


def measure(
    metric: str,
    scores: Mapping[str, np.ndarray],
    baseline: str,
    truth: SplitLabels,
    *,
    thresholds: Mapping[str, Threshold | None],
    bootstrap: Bootstrap,
) -> "Comparison":
    """Measure every variant on the same clips, and on the same draws from their groups.

    Parameters
    ----------
    metric : str
        One of `stages.core.scoring.metrics.METRICS`.
    scores : Mapping
        Variant to its scores, (n,) or (n, n_classes).
    baseline : str
        One of them.
    truth : SplitLabels
        Labels and groups of the same n clips.
    thresholds : Mapping
        Variant to the threshold of its predictions, one per class for a multi-label task, or one per clip; None is 0.5.
    bootstrap : Bootstrap
    """
    binary = scores[baseline].ndim == 1
    n_classes = 2 if binary else scores[baseline].shape[1]
    draws = Draws.of(truth.y, truth.groups, n_classes, resamples=bootstrap.resamples, seed=bootstrap.seed)

    def measured(name: str) -> Measured:
        of_rows = metrics.measure(metric, truth.y, scores[name], draws.weights, threshold=thresholds.get(name))
        return draws.split(of_rows)

    p_values = {}
    if metric == "roc_auc" and binary and min(np.bincount(truth.y, minlength=2)) > 1:
        p_values = {name: delong(truth.y == 1, scores[baseline], scores[name]).p_value for name in scores}
    return Comparison(
        metric, baseline, {name: measured(name) for name in scores}, draws, bootstrap.confidence, p_values
    )


@dataclass(frozen=True)
class Comparison:
    """Every variant's metric on the same draws.

    Attributes
    ----------
    metric, baseline : str
    measured : dict[str, Measured]
        Variant to its metric.
    draws : Draws
    confidence : float
    p_values : dict[str, float]
        Variant to DeLong's p-value; empty unless the metric is the ROC-AUC of a binary task.
    """

    metric: str
    baseline: str
    measured: dict[str, Measured]
    draws: Draws
    confidence: float
    p_values: dict[str, float]

    @property
    def refusal(self) -> str:
        """Why there is neither interval nor bound; empty if there is one."""
        return self.draws.refusal(by_class=self.metric in metrics.BY_CLASS)

    def drops(self) -> dict[str, Drop]:
        """Return how far each variant's metric lies below the baseline's.

        Returns
        -------
        dict[str, Drop]
            Variant to ``drop`` (baseline's minus its own: positive is worse) with its interval ``drop_low`` and
            ``drop_high``; ``drop_bound``, the largest drop that all variants' true drops lie below at once
            (`stages.core.scoring.uncertainty.simultaneous_upper_bounds`); and ``delong_p`` (clips taken as independent,
            not corrected for the number of variants). None where undefined, or refused because groups are few. Six
            decimals. The baseline's own drop is 0 without doubt.
        """
        below = {name: self.measured[self.baseline] - each for name, each in self.measured.items()}
        bounds = self._bounds({name: each for name, each in below.items() if name != self.baseline})
        found = {}
        for name, drop in below.items():
            low, high, bound = float("nan"), float("nan"), bounds.get(name, float("nan"))
            if name == self.baseline:
                low = high = bound = 0.0
            elif not self.refusal:
                low, high = uncertainty.difference_interval(
                    drop, self.draws, confidence=self.confidence, decisions=self.metric in metrics.OF_DECISIONS
                )
            figures = (drop.value, low, high, bound, self.p_values.get(name, float("nan")))
            found[name] = Drop(*map(rounded, figures))
        return found

    def _bounds(self, below: Mapping[str, Measured]) -> dict[str, float]:
        if not below or self.refusal:
            return {}
        bounds = uncertainty.simultaneous_upper_bounds(
            np.array([drop.value for drop in below.values()]),
            np.stack([drop.resampled for drop in below.values()], axis=1),
            confidence=self.confidence,
            n_groups=self.draws.n_groups,
            effective_groups=self.draws.effective_groups(by_class=self.metric in metrics.BY_CLASS),
        )
        return dict(zip(below, bounds.tolist(), strict=True))

    def chance_of_worse(self, chosen: str, candidates: Iterable[str], margin: float) -> float | None:
        """Return how likely the chosen variant truly lies more than `margin` below the best candidate.

        The fraction of bootstrap resamples in which it does. It is too low: for the ROC-AUC it says 0.46 where the
        simulated truth is 0.52 to 0.54, for accuracy 0.39 to 0.45 where it is 0.55 to 0.80 (`python -m
        tests.bench.coverage --only choices`).

        Returns
        -------
        float or None
            Two decimals; None where no resample defines the metric.
        """
        resampled = np.stack([self.measured[name].resampled for name in candidates], axis=1)
        best = np.where(np.isnan(resampled).any(axis=1), np.nan, resampled.max(axis=1))
        worse = self.measured[chosen].resampled < best - margin - 1e-9
        defined = ~np.isnan(best)
        return round(float(worse[defined].mean()), 2) if defined.any() else None
