"""The `select` section of `params.yaml`."""

import re
from dataclasses import dataclass, field
from typing import Literal

from stages.core.project.errors import ParameterError, require
from stages.core.project.params import known
from stages.core.scoring.metrics import METRICS

BYTES = ("sent_bytes", "release_bytes", "raw_bytes", "deflated_bytes")
SIZES = {**{name: name for name in (*BYTES, "arena_bytes")}, "latency_ms": "latency_p50_ms"}
"""What a budget may limit: its name there, and the column of ``variants.csv``."""
DETECTED = "validation_detected"
"""Column of the fraction of events that the validation stream detects, at `SelectParams.false_alarms_per_hour`."""
_ON_DEVICE = re.compile(r"device\.(.+)\.latency_ms")


@dataclass(frozen=True)
class SelectParams:
    """Rules that choose the winner, on the validation split alone.

    Attributes
    ----------
    registered_name : str
        Name of the model in the MLflow registry.
    metric : str
        Metric that counts, one of `stages.core.scoring.metrics.METRICS`.
    false_alarms_per_hour : float or None
        Rank by the fraction of events that are detected at this rate of false alarms in the validation streams, instead
        of by `metric`; one of `evaluate.stream.false_alarms_per_hour`. The release takes the event rule of this rate.
        No bound of `confidence` is computed for it: the estimates as they came out decide.
    margin : float
        Largest drop below the best variant in the budget that a smaller winner may have.
    confidence : float, "auto" or None
        In (0, 1): the winner must be shown not to be inferior to the float32 baseline by more than `margin`, with this
        confidence in all such statements together; if no variant in the budget is, that is an error. "auto": 0.95 where
        validation shows it of any variant other than the baseline, else as None. None: the estimates as they came out
        decide, which chooses a variant that truly is more than `margin` below the best in 64, 43 and 14 % of simulated
        sweeps with 52, 163 and 600 clips. The reason says which rule decided, and the estimated chance.
    prefer : {"sent_bytes", "release_bytes", "raw_bytes", "deflated_bytes", "latency_ms"}
        The smallest of these wins: bytes of front end and model as a push sends them (xz) or as a device stores them,
        bytes of the model file alone or after deflate, or the latency. Bytes give the same winner each time; latency is
        a measurement.
    golden_recordings : int
        Validation recordings that travel with the model; at least 4. There is one for each label at least, up to 16,
        and where a device that guesses would still pass its self-test there are more, up to 24.
    budget : dict[str, float]
        Largest of the sizes above or of the median single-thread `latency_ms`; or the smallest value of a metric.
        `arena_bytes` is the largest memory that TensorFlow Lite Micro may need; it is measured of 8-bit files where the
        extra `micro` is installed, and files that Micro refuses do not keep the limit.
        `device.<name>.latency_ms` is the largest median of front end and model together that `edac devices bench` may
        have measured on that device. What it has not measured yet may win: push it, measure it, and select again by
        `dvc repro --force --single-item select`.
    promote : {"always", "first"}
        The winner is registered under the alias `candidate`, and of the variants that could have won the one of fewest
        bytes as `smallest` and that of lowest latency as `fastest`. `champion`, which is what devices get, becomes the
        winner ``"always"``; or only where there is none yet (``"first"``), and from then on a person moves it by
        `edac promote candidate`, and `dvc repro` pushes nothing else.
    """

    registered_name: str = "edac"
    metric: str = "roc_auc"
    false_alarms_per_hour: float | None = None
    margin: float = 0.0
    confidence: float | Literal["auto"] | None = "auto"
    prefer: Literal["sent_bytes", "release_bytes", "raw_bytes", "deflated_bytes", "latency_ms"] = "sent_bytes"
    golden_recordings: int = 4
    budget: dict[str, float] = field(default_factory=dict)
    promote: Literal["always", "first"] = "always"

    @property
    def quality(self) -> str:
        """Column that variants are ranked by: a validation metric, or the fraction of events detected in streams."""
        return f"validation_{self.metric}" if self.false_alarms_per_hour is None else DETECTED

    @property
    def quality_in_words(self) -> str:
        """What variants are ranked by, for a sentence."""
        rate = self.false_alarms_per_hour
        return (
            f"validation {self.metric}"
            if rate is None
            else f"share of events detected at {rate:g} false alarms an hour"
        )

    @property
    def size(self) -> str:
        """Column of ``variants.csv`` that counts as the size: what is preferred, or what is sent."""
        return self.prefer if self.prefer in BYTES else "sent_bytes"

    @property
    def sure(self) -> float:
        """Confidence of every reported interval: 0.95 unless `confidence` is a number."""
        return self.confidence if isinstance(self.confidence, float) else 0.95

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.metric not in METRICS:
            raise ParameterError(f"select.metric must be a metric; got {self.metric!r}. {known(self.metric, METRICS)}")
        if self.metric == "calibration_error":
            raise ParameterError(
                "select.metric must be one of which more is better; got 'calibration_error'. Use a budget."
            )
        require(0 <= self.margin < 1, "select.margin", "be in [0, 1)", self.margin, "Write 0.02 for two points.")
        sure = self.confidence
        advice, rule = "Write 0.95 for 95 %, or null.", "be a fraction in (0, 1), auto or null"
        require(not isinstance(sure, float) or 0 < sure < 1, "select.confidence", rule, sure, advice)
        rate, owner = self.false_alarms_per_hour, "select.false_alarms_per_hour"
        require(rate is None or rate > 0, owner, "be a rate above 0 or null", rate, "Try 1.")
        bound = rate is not None and isinstance(sure, float)
        require(not bound, "select.confidence", f"be auto or null beside {owner}, for which there is no bound", sure)
        require(self.golden_recordings >= 4, "select.golden_recordings", "be at least 4", self.golden_recordings)
        named = self.registered_name
        plain = named != "" and not set(named) & set("/:'\"")
        require(plain, "select.registered_name", "be a name without / : or quotes", named, "Try edac-demo.")
        for name, limit in self.budget.items():
            if name not in SIZES and name not in METRICS and not device_of(name):
                raise ParameterError(f"select.budget has no limit {name!r}. {known(name, (*SIZES, *METRICS))}")
            if name in SIZES or device_of(name):
                require(limit > 0, f"select.budget.{name}", "be positive", limit)
            else:
                require(0 <= limit <= 1, f"select.budget.{name}", "be in [0, 1]", limit, "Write 0.8 for 80 %.")


def device_of(limit: str) -> str:
    """Return the device that a limit of the budget is measured on, empty if on none."""
    match = _ON_DEVICE.fullmatch(limit)
    return match[1] if match else ""
