"""Tables 3-6 of EDAC's paper beside a sweep in MLflow: one row per sparsity, the published figures in brackets."""

from dataclasses import dataclass

from stages.core.artifacts.estimates import Estimate
from stages.core.scoring import interval
from stages.core.scoring.interval import DASH
from stages.core.tracking.records import Logged
from stages.report import results
from stages.report.document import Document, Section
from stages.report.paper import Paper, Table
from stages.report.results import Quantity, Results, Spread

MARGIN = 0.02  # as `select.margin`


@dataclass(frozen=True)
class Column:
    """A quantity that a table shows for every scheme.

    Attributes
    ----------
    name, title : str
        For CSV and for people.
    ours : Quantity
    published : str
        Quantity of the paper's tables; empty if they have none.
    digits : int
        Digits after the point.
    """

    name: str
    title: str
    ours: Quantity
    published: str
    digits: int


@dataclass(frozen=True)
class Cell:
    """Our figure and the paper's.

    Attributes
    ----------
    column : Column
    scheme : str
    ours : Spread or None
        None if nothing was measured.
    published : tuple[float, float or None] or None
        Mean and standard deviation; a ratio, which the paper's sizes imply, has no standard deviation.
    in_paper : bool
        True if the paper has the scheme.
    """

    column: Column
    scheme: str
    ours: Spread | None
    published: tuple[float, float | None] | None
    in_paper: bool

    @property
    def text(self) -> str:
        """Ours, and the published in brackets."""
        ours = self._shown(self.ours.mean, self.ours.sd) if self.ours else DASH
        return f"{ours} ({self._shown(*self.published)})" if self.published else ours

    @property
    def record(self) -> dict[str, float | None]:
        """Both in columns of their own."""
        name = f"{self.column.name}.{self.scheme}"
        mean, sd = (self.ours.mean, self.ours.sd) if self.ours else (None, None)
        found = {name: _short(mean), f"{name}.sd": _short(sd)}
        if self.column.published and self.in_paper:
            mean, sd = self.published or (None, None)
            found |= {f"{name}.published": mean, f"{name}.published_sd": sd}
        return found

    def _shown(self, mean: float, sd: float | None) -> str:
        digits = self.column.digits
        return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def document(found: Results, paper: Paper, model: str, *, margin: float = MARGIN) -> Document:
    """Put a model's tables together, with every sparsity and scheme that we or the paper have.

    Parameters
    ----------
    found : Results
    paper : Paper
    model : str
        Name in the paper.
    margin : float
        See `results.smallest_nearly_best`.
    """
    published = {table.title: table for table in paper.of(model)}
    schemes = [*paper.schemes, *(scheme for scheme in found.schemes if scheme not in paper.schemes)]
    sections, records = [], []
    for schedule in sorted({*found.schedules, *published}):
        table = published.get(schedule)
        sparsities = {v.sparsity for v in found.variants if v.schedule in ("", schedule)}
        lines: list[list[str]] = []
        cells: list[Cell] = []
        for sparsity in sorted(sparsities.union(table.sparsities if table else ())):
            members = {scheme: found.cell(schedule, sparsity, scheme) for scheme in schemes}
            seeds = max(map(len, members.values()))
            cells = [
                Cell(each, scheme, results.spread(variants, each.ours), theirs, scheme in paper.schemes)
                for each in _columns(found)
                for scheme, variants in members.items()
                for theirs in [_published(table, sparsity, each, scheme)]
            ]
            lines.append([f"{100 * sparsity:.1f}", str(seeds or DASH), *(cell.text for cell in cells)])
            record: dict[str, object] = {"schedule": schedule, "sparsity": sparsity, "seeds": seeds}
            records.append(record | {name: value for cell in cells for name, value in cell.record.items()})
        head = ["sparsity %", "seeds", *(f"{c.column.title} {title(paper, c.scheme)}" for c in cells)]
        beside = f", beside Table {table.table}" if table else ""
        sections.append(Section(head, lines, text_columns=0, title=f"{schedule}{beside}"))
    notes = [*_notes(found, paper, model), *_picks(found, margin)]
    return Document(f"{model}: ours (published)", "", sections, notes, records)


def title(paper: Paper, scheme: str) -> str:
    """Return the name of a scheme in tables and figures: the paper's if it has one."""
    return paper.schemes.get(scheme, scheme)


def _columns(found: Results) -> list[Column]:
    """Return the columns in the paper's order, and after them the ratios."""
    reference = found.reference.figures

    def ratio(name: str) -> Quantity:
        return lambda variant: reference[name] / variant.figures[name]

    return [
        Column("auc", "AUC", results.auc, "auc", 3),
        Column("deflated_mb", "MB deflated", results.deflated_mb, "size", 3),
        Column("latency_ms", "ms", results.latency_ms, "time", 3),
        Column("deflated_ratio", "ratio deflated", ratio("deflated_bytes"), "ratio", 1),
        Column("raw_ratio", "ratio raw", ratio("raw_bytes"), "", 1),
    ]


def _published(table: Table | None, sparsity: float, column: Column, scheme: str) -> tuple[float, float | None] | None:
    if table is None:
        return None
    if column.published != "ratio":
        return table.cell(sparsity, column.published, scheme)
    whole, part = table.cell(0.0, "size", "float32"), table.cell(sparsity, "size", scheme)
    return (whole[0] / part[0], None) if whole and part else None


def _notes(found: Results, paper: Paper, model: str) -> list[str]:
    """Return what a reader must know about the tables, a sentence or two each."""
    seen, published = found.reference.figures, paper.of(model)
    n, groups, positives = (_count(seen.get(f"test.{name}")) for name in ("n", "groups", "positives"))
    thresholded = published[0].auc_is == "balanced_accuracy"
    return [
        f"Ours: {found.sweep.name} in MLflow, {len(found.variants)} variants; test set of {n} clips of {groups} groups,"
        f" {positives} positive. Mean ± sample standard deviation over the seeds of fine-tuning; the baseline was "
        f"trained once. {DASH} is not measured.",
        f"Published, in brackets: {paper.title}, {paper.link}, Tables "
        f"{' and '.join(str(table.table) for table in published)}; over {published[0].seeds} seeds, on other "
        "recordings: compare shapes, not levels. Its ratios follow from its mean sizes.",
        "AUC: ours is the area under the ROC curve of scores; the published column is "
        + ("a balanced accuracy of decisions at 0.5." if thresholded else "that too."),
        "MB deflated: ours is the .tflite after deflate at level 6; the published, a ZIP of it. Ratio deflated: "
        "the float32 baseline's deflated size to the variant's, as the paper has it. Ratio raw: the same of the bytes "
        "that a device stores.",
        "ms: ours is the median of single clips through LiteRT on one thread; the published, the mean of a Python loop "
        "on another machine.",
        "32, 8 and 16 bits are the schemes " + ", ".join(paper.schemes) + ".",
    ]


def _picks(found: Results, margin: float) -> list[str]:
    """Return which variants two rules would choose on validation."""
    nearly_best = f"Validation would pick (smallest deflated within {margin:g} of the best validation AUC)"
    overlapping = "The smallest whose validation interval overlaps that of the float32 baseline (which is no test)"
    return [
        _picked(found, nearly_best, results.smallest_nearly_best(found, margin=margin)),
        _picked(found, overlapping, results.smallest_overlapping(found)),
    ]


def _picked(found: Results, rule: str, variant: Logged | None) -> str:
    if variant is None:
        return f"{rule}: none, as no validation AUC is known."
    mine, reference = variant.figures, found.reference.figures
    return (
        f"{rule}: {variant.name}, {reference['deflated_bytes'] / mine['deflated_bytes']:.1f}x deflated, "
        f"{reference['raw_bytes'] / mine['raw_bytes']:.1f}x raw; test AUC {_interval(mine)}, the baseline's "
        f"{_interval(reference)}."
    )


def _interval(figures: dict[str, float]) -> str:
    value, low, high = (figures.get(f"test.roc_auc{end}") for end in ("", ".low", ".high"))
    return interval.text(Estimate(value, low, high))


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _count(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f}"
