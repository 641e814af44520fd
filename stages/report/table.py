"""Tables 3-6 of EDAC's paper from a sweep in MLflow: a row per sparsity, the published figure beside ours."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stages.core.artifacts.estimates import Estimate
from stages.core.project import tables
from stages.core.scoring import interval
from stages.core.scoring.interval import DASH
from stages.core.tracking.records import Logged
from stages.report import results
from stages.report.paper import BIT_WIDTHS, Paper, Table
from stages.report.results import Quantity, Results, Spread

SCHEMES = {"float32": 32, "dynamic_wi8_afp32": 8, "float16": 16}
"""Of ours, those that the paper has, and its name for them."""
MARGIN = 0.02  # as `select.margin`


@dataclass(frozen=True)
class Column:
    """What a table shows of every scheme.

    Attributes
    ----------
    name, title : str
        For CSV and for people.
    ours : Quantity
    published : str
        Quantity of the paper's table; empty if it has none.
    digits : int
        After the point.
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
    scheme : str
    column : Column
    ours : Spread or None
        None if missing.
    published : tuple[float, float or None] or None
        Mean and standard deviation; of a ratio, which the paper's sizes imply, no standard deviation.
    """

    scheme: str
    column: Column
    ours: Spread | None
    published: tuple[float, float | None] | None


@dataclass(frozen=True)
class Row:
    """One sparsity of a schedule."""

    schedule: str
    sparsity: float
    seeds: int
    cells: tuple[Cell, ...]


def columns(found: Results) -> list[Column]:
    """Return what is shown of every scheme, in the paper's order, and after that the ratios."""
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


def rows(found: Results, paper: Paper, model: str, schedule: str) -> list[Row]:
    """Return a schedule's rows: every sparsity that we or the paper have.

    Parameters
    ----------
    found : Results
    paper : Paper
    model : str
        Of the paper.
    schedule : str
    """
    table = next((table for table in paper.of(model) if table.schedule == schedule), None)
    ours = {v.sparsity for v in found.variants if v.schedule in ("", schedule)}
    extra = [scheme for scheme in found.schemes if scheme not in SCHEMES]
    made = []
    for sparsity in sorted(ours.union(paper.sparsities(table) if table else ())):
        members = {scheme: found.cell(schedule, sparsity, scheme) for scheme in [*SCHEMES, *extra]}
        cells = tuple(
            Cell(scheme, each, results.spread(variants, each.ours), _published(paper, table, sparsity, each, scheme))
            for each in columns(found)
            for scheme, variants in members.items()
        )
        made.append(Row(schedule, sparsity, max(len(variants) for variants in members.values()), cells))
    return made


def markdown(found: Results, paper: Paper, model: str, *, margin: float = MARGIN) -> str:
    """Return a model's tables and what must be known to read them, as Markdown.

    Parameters
    ----------
    found : Results
    paper : Paper
    model : str
        Of the paper.
    margin : float
        For the variant that validation would pick; see `results.smallest_nearly_best`.
    """
    parts = [f"# {model}: ours (published)"]
    for schedule, made in _tables(found, paper, model).items():
        number = next((f", beside Table {t.table}" for t in paper.of(model) if t.schedule == schedule), "")
        heads = [f"{cell.column.title} {title(cell.scheme)}" for cell in made[0].cells]
        rows = [[f"{100 * row.sparsity:.1f}", row.seeds or DASH, *map(_text, row.cells)] for row in made]
        parts += [f"## {schedule}{number}", tables.markdown(["sparsity %", "seeds", *heads], rows, text_columns=0)]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(found, paper, model, margin=margin))]) + "\n"


def as_csv(found: Results, paper: Paper, model: str) -> str:
    """Return a model's tables as one CSV: full precision, ours and the paper's in columns of their own."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for made in _tables(found, paper, model).values():
        for row in made:
            record: dict[str, Any] = {"schedule": row.schedule, "sparsity": row.sparsity, "seeds": row.seeds}
            for cell in row.cells:
                name, ours, theirs = f"{cell.column.name}.{cell.scheme}", cell.ours, cell.published
                record |= {name: ours and _short(ours.mean), f"{name}.sd": ours and _short(ours.sd)}
                if cell.column.published and cell.scheme in SCHEMES:
                    record |= {f"{name}.published": theirs and theirs[0], f"{name}.published_sd": theirs and theirs[1]}
            if writer is None:
                writer = csv.DictWriter(stream, list(record), lineterminator="\n")
                writer.writeheader()
            writer.writerow(record)
    return stream.getvalue()


def notes(found: Results, paper: Paper, model: str, *, margin: float = MARGIN) -> list[str]:
    """Return what must be known to read a model's tables, a sentence or two each."""
    seen = found.reference.figures
    n, groups, positives = (_count(seen.get(f"test.{name}")) for name in ("n", "groups", "positives"))
    thresholded = paper.of(model)[0].auc_is == "balanced_accuracy"
    return [
        f"Ours: {found.sweep.name} in MLflow, {len(found.variants)} variants; test set of {n} clips of {groups} groups,"
        f" {positives} positive. Mean ± sample standard deviation over the seeds of fine-tuning; the baseline was "
        f"trained once. {DASH} is not measured.",
        f"Published, in brackets: {paper.title}, {paper.link}, {_tables_of(paper.of(model))}; over "
        f"{paper.of(model)[0].seeds} seeds, on other recordings: compare shapes, not levels. Its ratios follow from "
        "its mean sizes.",
        "AUC: ours is the area under the ROC curve of scores; the published column is "
        + ("a balanced accuracy of decisions at 0.5." if thresholded else "that too."),
        "MB deflated: ours is the .tflite after deflate; the published, a ZIP with it. Ratio deflated: the float32 "
        "baseline's deflated size to the variant's, as the paper has it. Ratio raw: the same of the bytes that a "
        "device stores.",
        "ms: ours is the median of single clips through LiteRT on one thread; the published, the mean of a Python loop "
        "on another machine.",
        "32, 8 and 16 bits are the schemes " + ", ".join(SCHEMES) + ".",
        _picked(
            found,
            f"Validation would pick (smallest deflated within {margin:g} of the best validation AUC)",
            results.smallest_nearly_best(found, margin=margin),
        ),
        _picked(
            found,
            "The smallest whose validation interval overlaps that of the float32 baseline (which is no test)",
            results.smallest_overlapping(found),
        ),
    ]


def _tables(found: Results, paper: Paper, model: str) -> dict[str, list[Row]]:
    schedules = sorted({*found.schedules, *(table.schedule for table in paper.of(model))})
    return {schedule: rows(found, paper, model, schedule) for schedule in schedules}


def _published(
    paper: Paper, table: Table | None, sparsity: float, column: Column, scheme: str
) -> tuple[float, float | None] | None:
    if table is None or scheme not in SCHEMES or not column.published:
        return None
    if column.published != "ratio":
        return paper.cell(table, sparsity, column.published, SCHEMES[scheme])
    whole = paper.cell(table, 0.0, "size", BIT_WIDTHS[0])
    part = paper.cell(table, sparsity, "size", SCHEMES[scheme])
    return (whole[0] / part[0], None) if whole and part else None


def _text(cell: Cell) -> str:
    def shown(mean: float, sd: float | None) -> str:
        digits = cell.column.digits
        return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")

    ours = shown(cell.ours.mean, cell.ours.sd) if cell.ours else DASH
    return f"{ours} ({shown(*cell.published)})" if cell.published else ours


def title(scheme: str) -> str:
    """Return what a table or figure calls a scheme."""
    return f"{SCHEMES[scheme]}-bit" if scheme in SCHEMES else scheme


def _tables_of(tables: Iterable[Table]) -> str:
    return "Tables " + " and ".join(str(table.table) for table in tables)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _count(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f}"


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
