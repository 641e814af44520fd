"""Metric estimates with their intervals, for a whole split and for each recording site."""

from dataclasses import dataclass, field

Threshold = float | tuple[float, ...] | None
"""Decision threshold: a number for a binary task, one number per class for a multi-label task, else None."""


@dataclass(frozen=True)
class ThresholdRule:
    """Rule by which a decision threshold is chosen on validation.

    Attributes
    ----------
    kind : {"auto", "youden", "f1", "cost", "specificity"}
        ``"youden"``: highest sensitivity + specificity - 1. ``"f1"``: highest F1. ``"cost"``: lowest cost of mistakes.
        ``"specificity"``: highest sensitivity at `specificity` or above. ``"auto"``: Youden's, and F1 for the classes
        of a multi-class task.
    specificity : float
        In (0, 1); read by ``"specificity"`` alone.
    miss_cost : float
        Cost of a miss where a false alarm costs 1; read by ``"cost"`` alone.
    """

    kind: str = "auto"
    specificity: float = 0.9
    miss_cost: float = 1.0


THRESHOLD_RULES = ("auto", "youden", "f1", "cost", "specificity")
AUTO = ThresholdRule()


@dataclass(frozen=True)
class Estimate:
    """One metric with its confidence interval.

    Attributes
    ----------
    value, low, high : float or None
        None if undefined.
    reason : str or None
        Why the value or the interval is undefined.
    observed, null : float or None
        Calibration error only: its value as observed, and the value that a perfectly calibrated classifier would show.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    observed: float | None = None
    null: float | None = None


UNDEFINED = Estimate(None)


@dataclass(frozen=True)
class SiteMetrics:
    """Metrics on the clips of one recording site.

    Attributes
    ----------
    n, groups : int
        Clips, and groups that they come from.
    classes : dict[str, int]
        Label to number of clips.
    metrics : dict[str, Estimate]
        Metric to estimate, every one of `stages.core.scoring.metrics.METRICS`.
    """

    n: int
    groups: int
    classes: dict[str, int]
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class SplitMetrics:
    """Metrics on one split, as `stages.core.scoring.metrics.summarise` computes them.

    Attributes
    ----------
    n, groups : int
        Clips, and groups that they come from.
    classes : dict[str, int]
        Label to number of clips.
    positives : int or None
        Clips of the positive class of a binary task.
    threshold : float, tuple[float, ...] or None
        Decision threshold; one per class for a multi-label task, None for a multi-class task.
    decided_by : str or None
        How the clips were decided; None for a multi-class task.
    rule : ThresholdRule
        Rule that chose the thresholds.
    class_thresholds : tuple[float, ...] or None
        Multi-class task: threshold of each class against the rest, chosen on validation, for events; None otherwise,
        or where validation lacks a class.
    pooled : dict[str, Estimate]
        Metric to estimate over all clips of the split.
    sites : dict[str, SiteMetrics]
        Site to its metrics; empty unless there are several sites.
    """

    n: int
    groups: int
    classes: dict[str, int] = field(default_factory=dict)
    positives: int | None = None
    threshold: Threshold = None
    decided_by: str | None = None
    rule: ThresholdRule = AUTO
    class_thresholds: tuple[float, ...] | None = None
    pooled: dict[str, Estimate] = field(default_factory=dict)
    sites: dict[str, SiteMetrics] = field(default_factory=dict)
