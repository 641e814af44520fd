"""Everything that the report of a sweep shows, read from the outputs of the stages before."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts import evaluation as evaluation_file
from stages.core.artifacts import pull_report as pull_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts import split as split_file
from stages.core.artifacts.elsewhere import ElsewhereResult
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Calibration, Row, StreamResult
from stages.core.artifacts.pull_report import PullReport
from stages.core.artifacts.selection import Selection
from stages.core.artifacts.split import SplitName, SplitReport
from stages.core.project.errors import DataError
from stages.core.scoring.baseline import baseline
from stages.core.scoring.metrics import MetricParams

SIDES: tuple[SplitName, ...] = ("validation", "test")


@dataclass(frozen=True)
class Scored:
    """A variant's scores on one split.

    Attributes
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes), float64
    """

    y: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Facts:
    """A sweep, and the variant that was chosen.

    Attributes
    ----------
    selection : Selection
    rows : tuple[Row, ...]
        Every variant as flat columns, with the columns of its `Drop`.
    front : tuple[str, ...]
        Names of the variants on the Pareto front, smallest first.
    winner, baseline : dict[str, Scored]
        Split to scores, for the chosen variant and for the float32 baseline.
    baseline_name : str
        Name of the float32 baseline.
    robustness : dict[str, dict[str, dict[str, Estimate]]]
        Variant to condition to metric to estimate; empty unless `evaluate.robustness` names conditions.
    calibration : dict[str, dict[str, Calibration]]
        Variant to split to calibration figures.
    rejection : dict[str, dict[str, Estimate]]
        Variant to how its rejection rule does on test.
    streams : dict[str, tuple[StreamResult, ...]]
        Variant to its events in composed streams.
    elsewhere : dict[str, dict[str, ElsewhereResult]]
        Variant to place to figures on recordings from there.
    pull : PullReport
    split : SplitReport
    shown : MetricParams
        Parameters of the metrics.
    """

    selection: Selection
    rows: tuple[Row, ...]
    front: tuple[str, ...]
    winner: dict[str, Scored]
    baseline: dict[str, Scored]
    baseline_name: str
    robustness: dict[str, dict[str, dict[str, Estimate]]]
    calibration: dict[str, dict[str, Calibration]]
    rejection: dict[str, dict[str, Estimate]]
    streams: dict[str, tuple[StreamResult, ...]]
    elsewhere: dict[str, dict[str, ElsewhereResult]]
    pull: PullReport
    split: SplitReport
    shown: MetricParams

    @property
    def metric(self) -> str:
        """Metric that the choice is based on."""
        return self.selection.rule.metric

    @property
    def labels(self) -> list[str]:
        """Labels in output order; the positive class of a binary task is last."""
        return list(self.selection.labels)

    @property
    def winner_row(self) -> Row:
        """Row of the chosen variant."""
        return self.row(self.selection.variant.name)

    @property
    def baseline_row(self) -> Row:
        """Row of the float32 baseline."""
        return self.row(self.baseline_name)

    def row(self, name: str) -> Row:
        """Return a variant's row."""
        return next(row for row in self.rows if row["name"] == name)


@dataclass(frozen=True)
class Inputs:
    """Outputs of the stages before: four folders and two JSON files."""

    sweep: Path
    evaluation: Path
    selected: Path
    features: Path
    pull_report: Path
    split_report: Path


def read(inputs: Inputs, shown: MetricParams) -> Facts:
    """Read the facts from the outputs of the stages before.

    Parameters
    ----------
    inputs : Inputs
    shown : MetricParams
        Parameters of the metrics.

    Raises
    ------
    DataError
        If a file is missing, or the selection is not of this evaluation.
    """
    comparison, selection = selection_file.read_comparison(inputs.selected), selection_file.read(inputs.selected)
    evaluated = evaluation_file.read(inputs.evaluation)
    drops = {name: asdict(drop) for name, drop in comparison.drops.items()}
    rows = tuple(each.row() | drops.get(each.name, {}) for each in evaluated)
    winner, reference = selection.variant.name, baseline(each.variant for each in evaluated).name
    if winner not in {row["name"] for row in rows}:
        raise DataError(
            f"{inputs.selected} chose {winner}, which {inputs.evaluation} does not know. Run `dvc repro select` again."
        )
    truth = {side: dataset.read_labels(inputs.features, side).y for side in SIDES}

    def scored(name: str) -> dict[str, Scored]:
        with np.load(inputs.sweep / "scores" / f"{name}.npz") as stored:
            return {side: Scored(truth[side], stored[side].astype(np.float64)) for side in SIDES}

    return Facts(
        selection=selection,
        rows=rows,
        front=comparison.front,
        winner=scored(winner),
        baseline=scored(reference),
        baseline_name=reference,
        robustness={each.name: each.robustness for each in evaluated if each.robustness},
        calibration={each.name: each.calibration for each in evaluated},
        rejection={each.name: each.rejection for each in evaluated},
        streams={each.name: each.streams for each in evaluated},
        elsewhere={each.name: each.elsewhere for each in evaluated if each.elsewhere},
        pull=pull_file.read(inputs.pull_report),
        split=split_file.read_report(inputs.split_report),
        shown=shown,
    )
