"""Tables 1-5 of Mou and Milanova, `published/mou.yaml`, with what sweeps in MLflow measured under each row.

Ours are means over test folds, each the mean over seeds, and the sample standard deviation over folds. Nothing is
chosen here: whatever fits a row is shown, with every sparsity.
"""

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.core.project import params, tables
from stages.core.scoring.interval import DASH
from stages.core.tracking.connection import Tracker
from stages.core.tracking.records import Logged, Sweep

FILE = Path(__file__).parent / "published" / "mou.yaml"
_RUN = ("source", "classes", "frontend", "architecture", "fold", "train_seed")


@dataclass(frozen=True)
class Column:
    """A table's column; `data` and `features`, if given, say whose figures belong in it."""

    name: str
    quantity: Literal["accuracy", "bytes", "seconds", "watts"]
    data: str = ""
    features: str = ""


@dataclass(frozen=True)
class Row:
    """A table's row: what is printed, and what of ours belongs under it.

    Attributes
    ----------
    name : str
    published : tuple[str, ...]
        One per column, as printed.
    ours : bool
        Whether anything of ours belongs under it.
    data : str
        Of these recordings only; empty for any.
    criteria : tuple[str, ...]
        Pruned by one of these; empty for the unpruned.
    scheme : str
    """

    name: str
    published: tuple[str, ...]
    ours: bool = True
    data: str = ""
    criteria: tuple[str, ...] = ()
    scheme: str = "float32"


@dataclass(frozen=True)
class Table:
    """One of the paper's tables; `how` says how its numbers were obtained."""

    table: int
    title: str
    how: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Data:
    """How a sweep tells its recordings: their source, and the number of classes if that decides."""

    source: str
    classes: int | None = None


@dataclass(frozen=True)
class Paper:
    """The file as it is."""

    title: str
    authors: str
    year: int
    link: str
    data: dict[str, Data]
    features: dict[str, tuple[str, ...]]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Measured:
    """What the sweeps say of one kind of variant.

    Attributes
    ----------
    data, features, frontend, architecture, criterion, scheme : str
        `data` and `features` as the paper calls them.
    sparsity : float
    accuracies : tuple[float, ...]
        On each test fold, the mean over seeds.
    seeds : int
        Fewest of a fold.
    raw_bytes : float
        Mean.
    seconds : dict[str, float]
        Device to the median of one clip, the mean over variants.
    """

    data: str
    features: str
    frontend: str
    architecture: str
    criterion: str
    scheme: str
    sparsity: float
    accuracies: tuple[float, ...]
    seeds: int
    raw_bytes: float
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        """What tells it from others."""
        pruned = [f"{self.criterion} {self.sparsity:.3g}"] if self.criterion else []
        n = [
            f"{len(self.accuracies)} fold{'s' * (len(self.accuracies) > 1)}, {self.seeds} seed{'s' * (self.seeds > 1)}"
        ]
        return ", ".join([self.data, self.frontend, self.architecture, *pruned, *n])


def read(path: Path = FILE) -> Paper:
    """Read the published tables."""
    return params.load(Paper, params.read_yaml(path), path.name)


def collect(trackers: Iterable[Tracker], paper: Paper) -> list[Measured]:
    """Read what MLflow knows of the paper's recordings and features.

    Only sweeps that test a published fold count; of a variant that several of the same fold and seeds made, the newest.

    Parameters
    ----------
    trackers : Iterable of Tracker
        Of the experiments to look into.
    paper : Paper
    """
    found: dict[tuple[str, str, str, str, str, str, float], list[tuple[str, Logged]]] = defaultdict(list)
    seen = set()
    for tracker in trackers:
        for sweep in tracker.sweeps():
            told = tuple(sweep.parameters.get(name, "") for name in _RUN)
            data, features = _data(sweep, paper), _features(sweep, paper)
            if not data or not features or sweep.parameters.get("fold", "none") == "none":
                continue
            if sweep.parameters.get("teacher", "none") != "none":
                continue
            frontend, architecture = sweep.parameters["frontend"], sweep.parameters.get("architecture", "")
            for variant in filter(lambda each: each.plain, tracker.variants(sweep.run_id)):
                kind = (variant.criterion if variant.schedule else "", variant.scheme, variant.sparsity)
                if (told, kind, variant.seed) not in seen:
                    seen.add((told, kind, variant.seed))
                    found[(data, features, frontend, architecture, *kind)].append((sweep.parameters["fold"], variant))
    return [measured for key, variants in sorted(found.items()) if (measured := _measured(*key, variants=variants))]


def markdown(paper: Paper, measured: Sequence[Measured]) -> str:
    """Return the tables and how the published numbers were obtained, as Markdown."""
    parts = [
        f"# {paper.authors} ({paper.year}), Tables 1-5: as published, and ours",
        "Ours: mean ± standard deviation over the test folds; of each, the mean over seeds. Checkpoints and thresholds "
        "are chosen on validation recordings, of other groups than those tested; nothing is left out. "
        f"{DASH} is not measured. Published: {paper.title}, {paper.link}.",
    ]
    for table in paper.tables:
        lines: list[list[str]] = []
        for row in table.rows:
            printed = any(cell != DASH for cell in row.published)
            lines += [[row.name, "published", *row.published]] if printed else []
            lines += [[row.name, each.name, *cells] for each, cells in _under(row, table, measured)]
        body = tables.markdown(["", "", *(column.name for column in table.columns)], lines)
        parts += [f"## Table {table.table}. {table.title}", body, f"How the published were obtained: {table.how}"]
    return "\n\n".join(parts) + "\n"


def as_csv(paper: Paper, measured: Sequence[Measured]) -> str:
    """Return the tables as one CSV, a line per cell; ours has an empty `published`, the published an empty `ours`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["table", "row", "column", "published", "variant", "ours"])
    for table in paper.tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.published, strict=True):
                writer.writerow([table.table, row.name, column.name, cell, "", ""])
            for each, cells in _under(row, table, measured):
                for column, cell in zip(table.columns, cells, strict=True):
                    writer.writerow([table.table, row.name, column.name, "", each.name, cell])
    return stream.getvalue()


def _under(row: Row, table: Table, measured: Sequence[Measured]) -> Iterator[tuple[Measured, list[str]]]:
    """Yield what of ours belongs under a row, with its cells."""
    for each in measured:
        fits = each.criterion in row.criteria if row.criteria else not each.criterion
        if row.ours and fits and each.scheme == row.scheme and row.data in ("", each.data):
            cells = [_cell(each, column) for column in table.columns]
            if any(cell != DASH for cell in cells):
                yield each, cells


def _cell(each: Measured, column: Column) -> str:
    if column.data not in ("", each.data) or column.features not in ("", each.features):
        return DASH
    if column.quantity == "accuracy":
        spread = f" ± {100 * statistics.stdev(each.accuracies):.1f}" if len(each.accuracies) > 1 else ""
        return f"{100 * statistics.fmean(each.accuracies):.1f}{spread} %"
    if column.quantity == "bytes":
        return f"{each.raw_bytes / 1e3:,.1f} kB"
    if column.quantity == "seconds" and each.seconds:
        return ", ".join(f"{seconds:.3g} s on {device}" for device, seconds in sorted(each.seconds.items()))
    return DASH


def _measured(
    data: str,
    features: str,
    frontend: str,
    architecture: str,
    criterion: str,
    scheme: str,
    sparsity: float,
    *,
    variants: Sequence[tuple[str, Logged]],
) -> Measured | None:
    by_fold: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for fold, variant in variants:
        if "test.accuracy" in variant.figures:
            by_fold[fold].append(variant.figures["test.accuracy"])
        for name, ms in variant.figures.items():
            if name.startswith("device.") and name.endswith(".together_ms.p50"):
                seconds[name.removeprefix("device.").removesuffix(".together_ms.p50")].append(ms / 1e3)
    if not by_fold:
        return None
    return Measured(
        data=data,
        features=features,
        frontend=frontend,
        architecture=architecture,
        criterion=criterion,
        scheme=scheme,
        sparsity=sparsity,
        accuracies=tuple(statistics.fmean(values) for _, values in sorted(by_fold.items())),
        seeds=min(map(len, by_fold.values())),
        raw_bytes=statistics.fmean(variant.figures["raw_bytes"] for _, variant in variants),
        seconds={device: statistics.fmean(values) for device, values in seconds.items()},
    )


def _data(sweep: Sweep, paper: Paper) -> str:
    source, classes = sweep.parameters.get("source"), sweep.parameters.get("classes")
    fits = (n for n, d in paper.data.items() if d.source == source and d.classes in (None, int(classes or 0)))
    return next(fits, "")


def _features(sweep: Sweep, paper: Paper) -> str:
    return next((n for n, known in paper.features.items() if sweep.parameters.get("frontend") in known), "")
