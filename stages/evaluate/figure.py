"""Plot accuracy against size: the gain and the cost of pruning and quantisation."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.project.palette import COLOURS

Point = dict[str, Any]
STYLES = tuple(zip(COLOURS, "os^DvP", strict=False))
LINES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
TITLES = {"roc_auc": "ROC-AUC", "accuracy": "Accuracy", "pr_auc": "Mean average precision"}


def points(variants: Sequence[Variant], metric: str) -> list[Point]:
    """Return one row per variant: where it lies in the picture, and how sure that is.

    Returns
    -------
    list[dict]
        `name`, `schedule`, `sparsity`, `scheme`, `seed`, `raw_bytes`, `deflated_bytes`, and the test split's
        `value`, `low`, `high`.
    """
    return [
        {
            key: getattr(v, key)
            for key in ("name", "schedule", "sparsity", "scheme", "seed", "raw_bytes", "deflated_bytes")
        }
        | {end: getattr(v.metrics["test"].pooled[metric], end) for end in ("value", "low", "high")}
        for v in variants
    ]


def draw(rows: Sequence[Point], ax: Axes, *, metric: str, confidence: float = 0.95) -> Axes:
    """Draw the points onto axes.

    Colour and marker tell the scheme, the line's style the schedule; a line leads from the baseline through the
    growing sparsities of one seed. Hollow markers are baselines.

    Parameters
    ----------
    rows : Sequence[dict]
        From `points`; those without a value are left out.
    ax : matplotlib.axes.Axes
    metric : str
    confidence : float
        Confidence of the intervals, for the caption.
    """
    rows = [row for row in rows if row["value"] is not None]
    schemes = sorted(
        {row["scheme"] for row in rows}, key=lambda s: -max(r["raw_bytes"] for r in rows if r["scheme"] == s)
    )
    schedules = sorted({row["schedule"] for row in rows} - {""})
    styles = {scheme: STYLES[i % len(STYLES)] for i, scheme in enumerate(schemes)}
    lines = {schedule: LINES[i % len(LINES)] for i, schedule in enumerate(schedules)}
    baselines = {row["scheme"]: row for row in rows if not row["schedule"]}

    def path_of(row: Point) -> tuple[str, str, int]:
        return row["scheme"], row["schedule"], row["seed"]

    for (scheme, schedule, _), members in groupby(sorted(filter(_pruned, rows), key=path_of), key=path_of):
        colour, marker = styles[scheme]
        path = sorted(members, key=lambda row: row["sparsity"])
        path = [baselines[scheme], *path] if scheme in baselines else path
        x, y = [row["deflated_bytes"] for row in path], [row["value"] for row in path]
        ax.plot(x, y, color=colour, linestyle=lines[schedule], linewidth=1.4, alpha=0.85, zorder=2)
        pruned = [row for row in path if row["schedule"]]
        ax.plot(
            [row["deflated_bytes"] for row in pruned],
            [row["value"] for row in pruned],
            color=colour,
            marker=marker,
            markersize=5.5,
            linestyle="",
            zorder=3,
        )
    for row in rows:
        colour, marker = styles[row["scheme"]]
        if row["low"] is not None:
            x, y = row["deflated_bytes"], row["value"]
            ends = [[max(y - row["low"], 0)], [max(row["high"] - y, 0)]]
            ax.errorbar(x, y, yerr=ends, color=colour, elinewidth=0.8, alpha=0.3, fmt="none", zorder=1)
        if not row["schedule"]:
            ax.plot(
                row["deflated_bytes"],
                row["value"],
                color=colour,
                marker=marker,
                markersize=8,
                markerfacecolor="white",
                markeredgewidth=1.8,
                linestyle="",
                zorder=4,
            )

    for row in filter(_pruned, rows):
        if row["scheme"] == schemes[0] and row["schedule"] == schedules[0]:
            ax.annotate(
                f"{row['sparsity']:.0%}",
                (row["deflated_bytes"], row["value"]),
                xytext=(0, -14),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=styles[schemes[0]][0],
            )

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(_bytes)
    ax.xaxis.set_minor_formatter("")
    ax.set_title("Each line starts at the unpruned model and moves left as sparsity grows", fontsize=10, color="0.25")
    ax.set_xlabel("model size after deflate")
    ax.set_ylabel(f"{TITLES.get(metric, metric)} on the test split, {confidence:.0%} interval")
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    _legend(ax, styles, lines)
    return ax


def save(rows: Sequence[Point], path: Path, *, metric: str, confidence: float = 0.95) -> None:
    """Draw the picture into a PNG file whose bytes depend on the rows alone."""
    picture = Figure(figsize=(9, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    draw(rows, picture.subplots(), metric=metric, confidence=confidence)
    with files.atomic(path) as temporary:
        picture.savefig(temporary, format="png", metadata={"Software": None})


def _pruned(row: Point) -> bool:
    return bool(row["schedule"])


def _bytes(size: float, _: Any = None) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size /= 1000
    return f"{size:g} {unit}"


def _legend(ax: Axes, styles: dict[str, tuple[str, str]], lines: dict[str, Any]) -> None:
    entries = [Line2D([], [], color=c, marker=m, linestyle="", label=scheme) for scheme, (c, m) in styles.items()]
    entries += [Line2D([], [], color="0.3", linestyle=style, label=schedule) for schedule, style in lines.items()]
    entries.append(
        Line2D([], [], color="0.3", marker="o", markerfacecolor="white", markersize=8, linestyle="", label="not pruned")
    )
    ax.legend(handles=entries, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
