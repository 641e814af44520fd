"""`evaluation.json`: every variant with its latency and its metrics under disturbed audio.

The CSV files beside it are exports for people and for `dvc plots`; no stage reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from stages.core.artifacts import json_file
from stages.core.artifacts.elsewhere import ElsewhereResult
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.variant import Variant
from stages.runtime.events import EventRule

FILE = "evaluation.json"

Row: TypeAlias = dict[str, Any]
"""One variant as flat columns, for tables and plots: text, numbers, and None where undefined."""


@dataclass(frozen=True)
class Calibration:
    """Calibration error and Brier score of one variant on one split.

    Attributes
    ----------
    before, after : dict[str, Estimate]
        ``calibration_error`` and ``brier``, without and with the calibration that is folded into the file.
    """

    before: dict[str, Estimate]
    after: dict[str, Estimate]


@dataclass(frozen=True)
class SnrMisses:
    """Missed events among those of one signal-to-noise ratio of a composed stream.

    Attributes
    ----------
    snr_db : float
        Ratio at which the events were mixed into the background (dB).
    n_true, groups : int
        True events of that ratio, and groups of the clips that they are of.
    misses : Estimate
        Fraction of them that are missed.
    """

    snr_db: float
    n_true: int
    groups: int
    misses: Estimate


@dataclass(frozen=True)
class StreamFigures:
    """Figures of a variant's events in one stream.

    Attributes
    ----------
    n_true, groups : int
        True events, and groups of the clips that they are of.
    hours : float
    n_false : int
        Detections that no true event accounts for.
    misses : Estimate
        Fraction of the true events that are missed.
    false_alarms_per_hour : Estimate
    delay_s : Estimate
        Median time from an event's onset until it is known; its ends are the 5th and 95th percentile.
    event_f1 : Estimate
        Event-based F1, with onsets within 0.2 s and offsets within that or half an event's length.
    by_snr : tuple[SnrMisses, ...]
        Misses by signal-to-noise ratio, lowest first; empty for annotated recordings, whose ratios are not known.
    """

    n_true: int
    groups: int
    hours: float
    n_false: int
    misses: Estimate
    false_alarms_per_hour: Estimate
    delay_s: Estimate
    event_f1: Estimate
    by_snr: tuple[SnrMisses, ...] = ()

    @property
    def n_missed(self) -> int:
        """True events that are missed."""
        return round((self.misses.value or 0.0) * self.n_true)


@dataclass(frozen=True)
class StreamResult:
    """A variant at one target rate of false alarms.

    Attributes
    ----------
    target : float
        False alarms per hour that the rule was chosen for on validation.
    rule : EventRule or None
    figures : dict[str, StreamFigures]
        Split to figures.
    reason : str
        Why there is no rule; empty if there is one.
    most : int or None
        Most misses and most false alarms with which a stream is passed; None without such a rule.
    """

    target: float
    rule: EventRule | None
    figures: dict[str, StreamFigures] = field(default_factory=dict)
    reason: str = ""
    most: int | None = None

    def passes(self, side: str) -> bool | None:
        """Return whether the stream of a side is passed; None without a rule for that, or without figures."""
        each = self.figures.get(side)
        if self.most is None or each is None:
            return None
        return each.n_missed <= self.most and each.n_false <= self.most


@dataclass(frozen=True)
class EvaluatedVariant:
    """A variant with what the evaluate stage measured.

    Attributes
    ----------
    variant : Variant
    latency_p50_ms, latency_p95_ms : float
        Median and 95th percentile of the single-thread latency of one clip or one crop, in ms.
    raw_ratio, deflated_ratio : float
        Size of the float32 baseline divided by the size of this variant, models alone.
    release_bytes, sent_bytes : int
        Size of front end and model together: as a device stores them, and as a push sends them (xz).
    release_ratio, sent_ratio : float
        The same of the float32 baseline divided by that of this variant.
    arena_bytes : int or None
        Memory that TensorFlow Lite Micro needs for the model; None where it was not tried or refuses the file.
    micro : str
        ``"equal"`` where TensorFlow Lite Micro gives LiteRT's integers, else why it refuses the file; empty where it
        was not tried: it is not installed (the extra `micro`), or the file is not of 8 bits.
    robustness : dict[str, dict[str, Estimate]]
        Condition to metric to estimate on the test split; empty unless `evaluate.robustness` names a condition.
    calibration : dict[str, Calibration]
        Split to calibration figures.
    rejection : dict[str, Estimate]
        How the variant's rejection rule does on test; see `stages.evaluate.unknown.measure`. Empty without a rule.
    streams : tuple[StreamResult, ...]
        Events in composed streams, a result per target rate of `evaluate.stream`; empty unless it asks for minutes.
    elsewhere : dict[str, ElsewhereResult]
        Place of `evaluate.elsewhere` to figures on its recordings.
    """

    variant: Variant
    latency_p50_ms: float
    latency_p95_ms: float
    raw_ratio: float
    deflated_ratio: float
    release_bytes: int = 0
    sent_bytes: int = 0
    release_ratio: float = 1.0
    sent_ratio: float = 1.0
    arena_bytes: int | None = None
    micro: str = ""
    robustness: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)
    rejection: dict[str, Estimate] = field(default_factory=dict)
    streams: tuple[StreamResult, ...] = ()
    elsewhere: dict[str, ElsewhereResult] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the variant."""
        return self.variant.name

    def row(self) -> Row:
        """Return the variant as flat columns, e.g. ``test_roc_auc_low``."""
        variant, threshold = self.variant, self.variant.threshold
        row: Row = {
            "name": variant.name,
            "criterion": variant.criterion,
            "schedule": variant.schedule,
            "sparsity": variant.sparsity,
            "measured_sparsity": round(variant.measured_sparsity, 6),
            "scheme": variant.scheme,
            "bit_width": variant.bit_width,
            "aware": variant.aware,
            "distilled": variant.distilled,
            "mean_bits": round(variant.mean_bits, 4),
            "parameters": variant.parameters,
            "flops": variant.flops,
            "seed": variant.seed,
            "sha256": variant.sha256,
            "raw_bytes": variant.raw_bytes,
            "raw_ratio": self.raw_ratio,
            "deflated_bytes": variant.deflated_bytes,
            "deflated_ratio": self.deflated_ratio,
            "release_bytes": self.release_bytes,
            "release_ratio": self.release_ratio,
            "sent_bytes": self.sent_bytes,
            "sent_ratio": self.sent_ratio,
            "rounded_zeros": round(variant.rounded_zeros, 6),
            "median_difference": float(f"{variant.median_difference:.3g}"),
            "rank_correlation": None if variant.rank_correlation is None else round(variant.rank_correlation, 4),
            "keras_difference": float(f"{variant.keras_difference:.3g}"),
        }
        for split, metrics in sorted(variant.metrics.items(), reverse=True):  # validation first
            for metric, estimate in metrics.pooled.items():
                ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
                row |= {f"{split}_{metric}{end}": value for end, value in ends.items()}
            error = metrics.pooled.get("calibration_error", Estimate(None))
            row |= {
                f"{split}_calibration_error_observed": error.observed,
                f"{split}_calibration_error_null": error.null,
            }
        for count in ("n", "groups"):
            row |= {f"{split}_{count}": getattr(m, count) for split, m in sorted(variant.metrics.items(), reverse=True)}
        if self.micro:
            row |= {"arena_bytes": self.arena_bytes, "micro": self.micro}
        return row | {
            "threshold": " ".join(f"{each:.9g}" for each in threshold) if isinstance(threshold, tuple) else threshold,
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
        }


def read(folder: Path) -> list[EvaluatedVariant]:
    """Read the evaluated variants; raises `DataError` if the file is missing or invalid."""
    return json_file.read_list(EvaluatedVariant, folder / FILE, stage="evaluate")


def write(folder: Path, variants: Sequence[EvaluatedVariant]) -> None:
    """Write the evaluated variants, in the order given."""
    json_file.write(folder / FILE, variants)


def latencies(folder: Path) -> dict[str, float]:
    """Return the median latency (ms) of each variant; empty if the sweep was not evaluated yet."""
    return {each.name: each.latency_p50_ms for each in read(folder)} if (folder / FILE).is_file() else {}
