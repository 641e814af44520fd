"""Figures of a variant on recordings from another place, which neither trained nor chose anything."""

from dataclasses import dataclass, field

from stages.core.artifacts.estimates import UNDEFINED, Estimate


@dataclass(frozen=True)
class ElsewhereResult:
    """Figures of a variant on recordings from one other place.

    Attributes
    ----------
    n, groups : int
        Clips, and groups that they come from.
    classes : dict[str, int]
        Label to number of clips.
    left_out : dict[str, int]
        Reason to number of recordings that were left out.
    metric : str
        Metric of `drop`, `compression` and the two after it.
    figures : dict[str, Estimate]
        Metric to estimate, every one of `stages.core.scoring.metrics.METRICS`.
    drop : Estimate
        The variant's metric on the test split at home minus that elsewhere: positive is worse elsewhere.
    compression : Estimate
        The float32 baseline's metric minus the variant's on the same clips elsewhere: positive is worse.
    compression_at_home : Estimate
        The same on the test split at home.
    excess : Estimate
        `compression` minus `compression_at_home`: positive if compression costs more elsewhere than at home.
    """

    n: int
    groups: int
    classes: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    metric: str = ""
    figures: dict[str, Estimate] = field(default_factory=dict)
    drop: Estimate = UNDEFINED
    compression: Estimate = UNDEFINED
    compression_at_home: Estimate = UNDEFINED
    excess: Estimate = UNDEFINED
