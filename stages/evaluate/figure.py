"""Plot accuracy against size: the gain and the cost of pruning and quantisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.project.palette import COLOURS

STYLES = tuple(zip(COLOURS, "os^DvP", strict=False))
Dash = Literal["-"] | tuple[float, tuple[float, ...]]
"""Line style of matplotlib: solid, or an offset and lengths."""
LINES: tuple[Dash, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
TITLES = {"roc_auc": "ROC-AUC", "accuracy": "Accuracy", "pr_auc": "Mean average precision"}


@dataclass(frozen=True)
class Point:
    """A variant in the plot: its size, and a metric of the test split with its interval."""

    name: str
    schedule: str
    sparsity: float
    scheme: str
    seed: int
    raw_bytes: int
    deflated_bytes: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, variant: Variant, metric: str) -> "Point":
        """Return the point of a variant."""
        estimate = variant.metrics["test"].pooled[metric]
        return cls(
            variant.name,
            variant.schedule,
            variant.sparsity,
            variant.scheme,
            variant.seed,
            variant.raw_bytes,
            variant.deflated_bytes,
            estimate.value,
            estimate.low,
            estimate.high,
        )


@dataclass(frozen=True)
class _Place:
    """Coordinates of a point that has a value."""

    point: Point
    x: int
    y: float


def draw(points: Sequence[Point], ax: Axes, *, metric: str, confidence: float = 0.95) -> Axes:
    """Draw the points onto axes.

    Colour and marker tell the scheme, the line's style the schedule; a line leads from the baseline through the
    growing sparsities of one seed. Hollow markers are baselines.

    Parameters
    ----------
    points : Sequence[Point]
        Points without a value are left out.
    ax : matplotlib.axes.Axes
    metric : str
    confidence : float
        Confidence of the intervals, for the caption.
    """
    places = [_Place(point, point.deflated_bytes, point.value) for point in points if point.value is not None]
    widest = {scheme: max(p.point.raw_bytes for p in places if p.point.scheme == scheme) for scheme in _schemes(places)}
    schemes = sorted(widest, key=lambda scheme: -widest[scheme])
    schedules = sorted({place.point.schedule for place in places} - {""})
    styles = {scheme: STYLES[i % len(STYLES)] for i, scheme in enumerate(schemes)}
    lines = {schedule: LINES[i % len(LINES)] for i, schedule in enumerate(schedules)}
    baselines = {place.point.scheme: place for place in places if not place.point.schedule}
    pruned = [place for place in places if place.point.schedule]

    def path_of(place: _Place) -> tuple[str, str, int]:
        return place.point.scheme, place.point.schedule, place.point.seed

    for (scheme, schedule, _), members in groupby(sorted(pruned, key=path_of), key=path_of):
        colour, marker = styles[scheme]
        marked = sorted(members, key=lambda place: place.point.sparsity)
        path = [baselines[scheme], *marked] if scheme in baselines else marked
        x, y = [place.x for place in path], [place.y for place in path]
        ax.plot(x, y, color=colour, linestyle=lines[schedule], linewidth=1.4, alpha=0.85, zorder=2)
        ax.plot(
            [place.x for place in marked],
            [place.y for place in marked],
            color=colour,
            marker=marker,
            markersize=5.5,
            linestyle="",
            zorder=3,
        )
    for place in places:
        point, (colour, marker) = place.point, styles[place.point.scheme]
        if point.low is not None and point.high is not None:
            ends = [[max(place.y - point.low, 0)], [max(point.high - place.y, 0)]]
            ax.errorbar(place.x, place.y, yerr=ends, color=colour, elinewidth=0.8, alpha=0.3, fmt="none", zorder=1)
        if not point.schedule:
            ax.plot(
                place.x,
                place.y,
                color=colour,
                marker=marker,
                markersize=8,
                markerfacecolor="white",
                markeredgewidth=1.8,
                linestyle="",
                zorder=4,
            )

    for place in pruned:
        if place.point.scheme == schemes[0] and place.point.schedule == schedules[0]:
            ax.annotate(
                f"{place.point.sparsity:.0%}",
                (place.x, place.y),
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


def save(points: Sequence[Point], path: Path, *, metric: str, confidence: float = 0.95) -> None:
    """Draw the picture into a PNG file whose bytes depend on the points alone."""
    picture = Figure(figsize=(9, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(picture)
    draw(points, picture.subplots(), metric=metric, confidence=confidence)
    with files.atomic(path) as temporary:
        picture.savefig(temporary, format="png", metadata={"Software": None})


def _schemes(places: Sequence[_Place]) -> set[str]:
    return {place.point.scheme for place in places}


def _bytes(size: float, _: float | None = None) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size /= 1000
    return f"{size:g} {unit}"


def _legend(ax: Axes, styles: dict[str, tuple[str, str]], lines: dict[str, Dash]) -> None:
    entries = [Line2D([], [], color=c, marker=m, linestyle="", label=scheme) for scheme, (c, m) in styles.items()]
    entries += [Line2D([], [], color="0.3", linestyle=style, label=schedule) for schedule, style in lines.items()]
    entries.append(
        Line2D([], [], color="0.3", marker="o", markerfacecolor="white", markersize=8, linestyle="", label="not pruned")
    )
    ax.legend(handles=entries, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
