"""Tables 1-5 of Mou and Milanova, `published/mou.yaml`, with what sweeps in MLflow measured under each row.

Ours are means over test folds, each the mean over seeds, and the sample standard deviation over folds. Nothing is
chosen here: whatever fits a row is shown, with every sparsity.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stages.core.scoring.interval import DASH
from stages.core.tracking.connection import Tracker
from stages.core.tracking.records import Logged, Sweep
from stages.report.document import Document, Section
from stages.report.paper import Column, Paper, Row, Table
from stages.report.text import count

LEARNED_ON = "fine-tuned as long, unpruned"
_RUN = ("source", "classes", "frontend", "architecture", "fold", "train_seed")


@dataclass(frozen=True, order=True)
class Kind:
    """Variants that differ in fold and seed alone; `data` and `features` are the paper's names.

    `criterion` is empty for the baseline and `LEARNED_ON` for what pruned networks are to be compared with.
    """

    data: str
    features: str
    frontend: str
    architecture: str
    criterion: str
    scheme: str
    sparsity: float


@dataclass(frozen=True)
class Measured:
    """Figures of one kind of variant.

    Attributes
    ----------
    kind : Kind
    accuracies : tuple[float, ...]
        Mean over seeds on each test fold.
    seeds : int
        Number of seeds, the fewest of any fold.
    raw_bytes : float
        Mean.
    seconds : dict[str, float]
        Device to the median time of one clip, the mean over variants.
    """

    kind: Kind
    accuracies: tuple[float, ...]
    seeds: int
    raw_bytes: float
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        """Name that differs between kinds."""
        kind = self.kind
        pruned = f"{kind.criterion} {kind.sparsity:.3g}" if kind.sparsity else kind.criterion
        n = (count(len(self.accuracies), "fold"), count(self.seeds, "seed"))
        return ", ".join([kind.data, kind.frontend, kind.architecture, *filter(None, [pruned]), *n])


def collect(trackers: Iterable[Tracker], paper: Paper) -> list[Measured]:
    """Read from MLflow what was measured on the paper's recordings and features.

    Only sweeps that test a published fold count. Where several sweeps made the same variant, with the same fold and
    seeds, the newest counts.

    Parameters
    ----------
    trackers : Iterable of Tracker
        One per experiment.
    paper : Paper
    """
    found: dict[Kind, list[tuple[str, Logged]]] = defaultdict(list)
    seen = set()
    for tracker in trackers:
        for sweep in tracker.sweeps():
            run = tuple(sweep.parameters.get(name, "") for name in _RUN)
            data, features = _data(sweep, paper), _features(sweep, paper)
            if not data or not features or sweep.parameters.get("fold", "none") == "none":
                continue
            if sweep.parameters.get("teacher", "none") != "none":
                continue
            network = sweep.parameters["frontend"], sweep.parameters.get("architecture", "")
            for variant in filter(lambda each: each.plain, tracker.variants(sweep.run_id)):
                criterion = variant.criterion if variant.sparsity else LEARNED_ON
                pruned_by = criterion if variant.schedule else ""
                kind = Kind(data, features, *network, pruned_by, variant.scheme, variant.sparsity)
                if (run, kind, variant.seed) not in seen:
                    seen.add((run, kind, variant.seed))
                    found[kind].append((sweep.parameters["fold"], variant))
    return [measured for kind, variants in sorted(found.items()) if (measured := _measured(kind, variants))]


def document(paper: Paper, measured: Sequence[Measured]) -> Document:
    """Put the tables together, the published rows with ours under them."""
    intro = (
        "Ours: mean ± standard deviation over the test folds; of each, the mean over seeds. Checkpoints and thresholds "
        "are chosen on validation recordings, of other groups than those tested; nothing is left out. "
        f"{DASH} is not measured. Published: {paper.title}, {paper.link}."
    )
    title = f"{paper.authors} ({paper.year}), Tables 1-5: as published, and ours"
    records = [record for table in paper.tables for record in _records(table, measured)]
    return Document(title, intro, [_section(table, measured) for table in paper.tables], (), records)


def _section(table: Table, measured: Sequence[Measured]) -> Section:
    lines: list[list[str]] = []
    for row in table.rows:
        printed = any(cell != DASH for cell in row.published)
        lines += [[row.name, "published", *row.published]] if printed else []
        lines += [[row.name, each.name, *cells] for each, cells in _under(row, table, measured)]
    head = ["", "", *(column.name for column in table.columns)]
    how = f"How the published were obtained: {table.how}"
    return Section(head, lines, title=f"Table {table.table}. {table.title}", after=how)


def _records(table: Table, measured: Sequence[Measured]) -> Iterator[dict[str, object]]:
    """Yield one record per cell; `published` is empty in ours, `ours` in the published."""
    for row in table.rows:
        for variant, cells in [
            ("", row.published),
            *((each.name, cells) for each, cells in _under(row, table, measured)),
        ]:
            for column, cell in zip(table.columns, cells, strict=True):
                place: dict[str, object] = {"table": table.table, "row": row.name, "column": column.name}
                published, ours = ("", cell) if variant else (cell, "")
                yield place | {"published": published, "variant": variant, "ours": ours}


def _under(row: Row, table: Table, measured: Sequence[Measured]) -> Iterator[tuple[Measured, list[str]]]:
    """Yield what of ours belongs under a row, with its cells."""
    for each in measured:
        kind = each.kind
        fits = kind.criterion in (row.criteria or ("", LEARNED_ON))
        if row.ours and fits and kind.scheme == row.scheme and row.data in ("", kind.data):
            cells = [_cell(each, column) for column in table.columns]
            if any(cell != DASH for cell in cells):
                yield each, cells


def _cell(each: Measured, column: Column) -> str:
    if column.data not in ("", each.kind.data) or column.features not in ("", each.kind.features):
        return DASH
    if column.quantity == "accuracy":
        spread = f" ± {100 * statistics.stdev(each.accuracies):.1f}" if len(each.accuracies) > 1 else ""
        return f"{100 * statistics.fmean(each.accuracies):.1f}{spread} %"
    if column.quantity == "bytes":
        return f"{each.raw_bytes / 1e3:,.1f} kB"
    if column.quantity == "seconds" and each.seconds:
        return ", ".join(f"{seconds:.3g} s on {device}" for device, seconds in sorted(each.seconds.items()))
    return DASH


def _measured(kind: Kind, variants: Sequence[tuple[str, Logged]]) -> Measured | None:
    """Average over seeds, fold by fold; None if no variant was scored on the test split."""
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
        kind,
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
