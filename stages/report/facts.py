"""What the report of a sweep tells, read from what the stages before it left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts.split import SplitName
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import MetricParams

Row = dict[str, Any]
SIDES: tuple[SplitName, ...] = ("validation", "test")
_TEXT = {
    "name",
    "criterion",
    "schedule",
    "scheme",
    "aware",
    "distilled",
    "sha256",
    "condition",
    "figure",
    "reason",
    "threshold",
}


@dataclass(frozen=True)
class Scored:
    """A variant's scores of one side of the split.

    Attributes
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    scores : np.ndarray, shape (n,) or (n, n_classes), float64
    """

    y: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Facts:
    """A sweep, and what was chosen of it.

    Attributes
    ----------
    selection : dict
        ``selection.json``.
    rows : tuple[dict, ...]
        Of ``variants.csv``, joined with ``comparison.csv``; numbers are floats, an empty field None.
    front : tuple[str, ...]
        Names of the variants that no other beats, smallest first.
    winner, baseline : dict[str, Scored]
        Side of the split to scores; the baseline is the float32 one.
    robustness : tuple[dict, ...]
        Rows of ``robustness.csv``, none unless conditions were asked for.
    pull, split : dict
        ``pull_report.json`` and ``split_report.json``.
    shown : MetricParams
        How the metrics were computed.
    """

    selection: dict[str, Any]
    rows: tuple[Row, ...]
    front: tuple[str, ...]
    winner: dict[str, Scored]
    baseline: dict[str, Scored]
    robustness: tuple[Row, ...]
    pull: dict[str, Any]
    split: dict[str, Any]
    shown: MetricParams

    @property
    def metric(self) -> str:
        """What the winner was chosen by."""
        return str(self.selection["rule"]["metric"])

    @property
    def labels(self) -> list[str]:
        """The classes, the positive one of a binary task last."""
        return list(self.selection["labels"])

    @property
    def winner_row(self) -> Row:
        """The winner's row."""
        return self.row(self.selection["variant"]["name"])

    @property
    def baseline_row(self) -> Row:
        """The float32 baseline's row."""
        return baseline_of(self.rows)

    def row(self, name: str) -> Row:
        """Return a variant's row."""
        return next(row for row in self.rows if row["name"] == name)


def read(
    *,
    sweep: Path,
    evaluation: Path,
    selected: Path,
    features: Path,
    pull_report: Path,
    split_report: Path,
    shown: MetricParams,
) -> Facts:
    """Read the facts from the outputs of the stages before.

    Raises
    ------
    DataError
        If a file is missing, or the selection is not of this evaluation.
    """
    for path in (selected / "comparison.csv", evaluation / "variants.csv", pull_report, split_report):
        if not path.is_file():
            raise DataError(f"{path} does not exist. Run `dvc repro select` first.")
    compared = {row["name"]: row for row in _table(selected / "comparison.csv")}
    rows = tuple(row | compared.get(row["name"], {}) for row in _table(evaluation / "variants.csv"))
    selection, robustness = files.read_json(selected / "selection.json"), evaluation / "robustness.csv"
    winner = selection["variant"]["name"]
    if winner not in {row["name"] for row in rows}:
        raise DataError(f"{selected} chose {winner}, which {evaluation} does not know. Run `dvc repro select` again.")
    truth = {side: dataset.read_labels(features, side).y for side in SIDES}

    def scored(name: str) -> dict[str, Scored]:
        with np.load(sweep / "scores" / f"{name}.npz") as stored:
            return {side: Scored(truth[side], stored[side].astype(np.float64)) for side in SIDES}

    return Facts(
        selection=selection,
        rows=rows,
        front=tuple(row["name"] for row in _table(selected / "front.csv")),
        winner=scored(winner),
        baseline=scored(baseline_of(rows)["name"]),
        robustness=tuple(_table(robustness)) if robustness.is_file() else (),
        pull=files.read_json(pull_report),
        split=files.read_json(split_report),
        shown=shown,
    )


def baseline_of(rows: Iterable[Row]) -> Row:
    """Return the float32 baseline's row."""
    return next(row for row in rows if not row["schedule"] and row["scheme"] == "float32")


def scheme_of(row: Row) -> str:
    """Return what people call a variant: its scheme, and whether fine-tuning knew of it or of a teacher."""
    return ", ".join([str(row["scheme"]), *(name for name in ("aware", "distilled") if row.get(name) == "True")])


def schemes(rows: Sequence[Row]) -> list[str]:
    """Return what `scheme_of` says of all rows, widest first, then by name."""
    return [name for _, name in sorted({(-row["bit_width"], scheme_of(row)) for row in rows})]


def _table(path: Path) -> list[Row]:
    """Read a CSV file whose columns are numbers, except for `_TEXT`."""
    return [
        {key: value if key in _TEXT else (float(value) if value else None) for key, value in row.items()}
        for row in files.read_csv(path)
    ]
