"""`selection.json` and `comparison.json`: the chosen variant and why, or `refusal.json`; how every variant compares."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.artifacts.elsewhere import ElsewhereResult
from stages.core.artifacts.estimates import Estimate, SplitMetrics, Threshold
from stages.core.artifacts.pull_report import ClassCounts, PullReport
from stages.core.artifacts.rejection import NO_REJECTION, FittedRejection
from stages.core.artifacts.split import SplitName
from stages.core.artifacts.variant import ModelFile
from stages.core.project.errors import EdacError
from stages.runtime.events import EventRule

FILE = "selection.json"
COMPARISON = "comparison.json"
REFUSAL = "refusal.json"


@dataclass(frozen=True)
class Drop:
    """Drop of a metric below the float32 baseline, on the same clips; None where undefined.

    Attributes
    ----------
    drop : float or None
        The baseline's metric minus the variant's: positive is worse.
    drop_low, drop_high : float or None
        Confidence interval of the drop, from a paired bootstrap over groups.
    drop_bound : float or None
        Upper bound that holds for the drops of all compared variants at once.
    delong_p : float or None
        DeLong's p-value that both ROC-AUCs are equal; binary tasks only.
    """

    drop: float | None
    drop_low: float | None
    drop_high: float | None
    drop_bound: float | None
    delong_p: float | None = None


@dataclass(frozen=True)
class Drops:
    """Drop of the chosen variant on either split; the test split was not used to choose."""

    validation: Drop
    test: Drop


@dataclass(frozen=True)
class Measured:
    """Size and latency of the chosen variant.

    Attributes
    ----------
    raw_bytes, deflated_bytes : int
        Size of the model file, as it is and after deflate.
    release_bytes, sent_bytes : int
        Size of front end and model, as a device stores them and as a push sends them (xz).
    latency_p50_ms, latency_p95_ms : float
        Median and 95th percentile of the single-thread latency, in ms.
    arena_bytes : int or None
        Memory that TensorFlow Lite Micro needs for the model; None where it was not tried or refuses the file.
    """

    raw_bytes: int
    deflated_bytes: int
    latency_p50_ms: float
    latency_p95_ms: float = 0.0
    release_bytes: int = 0
    sent_bytes: int = 0
    arena_bytes: int | None = None


@dataclass(frozen=True)
class Rule:
    """Rule by which the variant was chosen; see `stages.select.params.SelectParams`.

    Attributes
    ----------
    metric : str
    margin : float
    confidence : float
        Confidence of the intervals and bounds, in (0, 1).
    decided_by : str
        Whether the bounds of the drop decided, or the estimates alone.
    chance_of_worse : float or None
        Estimated probability that the chosen variant is more than `margin` below the best one.
    """

    metric: str
    margin: float
    confidence: float
    decided_by: str = ""
    chance_of_worse: float | None = None


@dataclass(frozen=True)
class DataFacts:
    """Facts about the recordings for the model card; see `stages.core.artifacts.pull_report.PullReport`."""

    source: str
    citation: str
    licence: str
    homepage: str
    found: int
    usable: int
    groups: int
    labels: dict[str, ClassCounts]

    @classmethod
    def of(cls, report: PullReport) -> "DataFacts":
        """Take the facts from a pull report."""
        return cls(**{each.name: getattr(report, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class Standing:
    """The chosen variant beside the float32 network, the naive reference and chance.

    Attributes
    ----------
    metric : str
        Metric that chose the variant.
    classifier : str
        Classifier of the naive reference.
    network, naive : dict[str, Estimate]
        Split to the metric of the float32 network, and of the naive reference.
    chance : dict[str, float]
        Split to the metric that is reached without listening.
    beats_chance : bool
        Whether the variant is shown to be better than chance; one that is not is neither promoted nor pushed.
    warning : str
        Warnings that a person must read first; empty if there are none.
    """

    metric: str
    classifier: str
    network: dict[str, Estimate]
    naive: dict[str, Estimate]
    chance: dict[str, float]
    beats_chance: bool
    warning: str = ""


@dataclass(frozen=True)
class Selection:
    """The chosen variant and everything that a model card or a release says of it.

    Attributes
    ----------
    variant : ModelFile
    registered_name : str
        Name of the model in the registry.
    labels : tuple[str, ...]
        Labels in output order; the positive class of a binary task is last.
    threshold : float, tuple[float, ...] or None
        Decision threshold, chosen on validation: one number for a binary task, one per label for a multi-label task.
    validation, test : SplitMetrics
    drop : Drops
    data : DataFacts
    measured : Measured
    rule : Rule
    reason : str
        Why this variant was chosen, in a sentence.
    n_variants : int
        Number of variants that were compared on validation.
    n_front : int
        Number of variants on the Pareto front.
    golden : tuple[str, ...]
        `clip_id` of the golden recordings.
    golden_scores : tuple[tuple[float, ...], ...]
        Their scores from the sweep, six decimals.
    rejection : FittedRejection
        When the variant says "unknown".
    events : EventRule or None
        How windows of a stream become events; None leaves it to the threshold.
    standing : Standing or None
        The variant beside the naive reference and chance; None if they were not computed, or the metric has no chance.
    elsewhere : dict[str, ElsewhereResult]
        Place to figures on recordings from there, which chose nothing.
    """

    variant: ModelFile
    registered_name: str
    labels: tuple[str, ...]
    threshold: Threshold
    validation: SplitMetrics
    test: SplitMetrics
    drop: Drops
    data: DataFacts
    measured: Measured
    rule: Rule
    reason: str
    n_variants: int
    n_front: int = 0
    golden: tuple[str, ...] = ()
    golden_scores: tuple[tuple[float, ...], ...] = ()
    standing: Standing | None = None
    rejection: FittedRejection = NO_REJECTION
    events: EventRule | None = None
    elsewhere: dict[str, ElsewhereResult] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """Warnings that a person must read first; empty if there are none."""
        return self.standing.warning if self.standing else ""

    @property
    def may_be_deployed(self) -> bool:
        """Whether the variant is not known to be no better than chance."""
        return self.standing is None or self.standing.beats_chance

    @property
    def splits(self) -> dict[SplitName, SplitMetrics]:
        """Metrics by split name, validation first."""
        return {"validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class Refusal:
    """Why no variant was chosen.

    Attributes
    ----------
    registered_name : str
        Name that the model would have in the registry.
    metric : str
        Metric that chooses.
    reason : str
        What no variant does, which comes closest, and what to do; one or more sentences.
    misses : dict[str, str]
        Variant to what it misses.
    """

    registered_name: str
    metric: str
    reason: str
    misses: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What a person at the terminal is shown."""
        return f"no variant is chosen, and nothing is registered. {self.reason}"


def refusal(folder: Path) -> Refusal | None:
    """Return why no variant was chosen; None if one was."""
    if not (folder / REFUSAL).is_file():
        return None
    return json_file.read(Refusal, folder / REFUSAL, stage="select")


def write_refusal(folder: Path, refused: Refusal) -> None:
    """Write why no variant was chosen into an empty folder."""
    json_file.write(folder / REFUSAL, refused)


def read(folder: Path) -> Selection:
    """Read the selection of a release folder.

    Raises
    ------
    DataError
        If it is missing or invalid.
    EdacError
        If no variant was chosen; says why.
    """
    refused = refusal(folder)
    if refused is not None:
        raise EdacError(f"no variant was chosen: {refused.reason}")
    return json_file.read(Selection, folder / FILE, stage="select")


def write(folder: Path, selection: Selection) -> None:
    """Write the selection into a release folder."""
    json_file.write(folder / FILE, selection)


@dataclass(frozen=True)
class VariantComparison:
    """All variants on the validation split.

    Attributes
    ----------
    front : tuple[str, ...]
        Names of the variants on the Pareto front, smallest first.
    drops : dict[str, Drop]
        Variant to its drop below the float32 baseline.
    """

    front: tuple[str, ...] = ()
    drops: dict[str, Drop] = field(default_factory=dict)


def read_comparison(folder: Path) -> VariantComparison:
    """Read the comparison of a release folder; raises `DataError` if it is missing or invalid."""
    return json_file.read(VariantComparison, folder / COMPARISON, stage="select")


def write_comparison(folder: Path, comparison: VariantComparison) -> None:
    """Write the comparison into a release folder."""
    json_file.write(folder / COMPARISON, comparison)
