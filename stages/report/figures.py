"""Figures 1, 2, 5 and 6 of EDAC's paper from a sweep in MLflow: AUC, size and latency against sparsity.

Colour, marker and line style say the same thing. Filled markers with a line are ours, the band one standard deviation
over seeds; hollow markers are published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from stages.core.project import files
from stages.core.project.palette import COLOURS
from stages.report import edac, results
from stages.report.paper import Figure, Paper
from stages.report.results import Quantity, Results, Spread

LINES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
STYLES = tuple(zip(COLOURS, "os^D", LINES, strict=False))
PANELS: tuple[tuple[str, str, Quantity], ...] = (
    ("auc", "AUC on the test split", results.auc),
    ("size", "MB after deflate", results.deflated_mb),
    ("time", "ms for one clip", results.latency_ms),
)


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes
    ----------
    label : str
    ours : list of (float, Spread)
        Sparsity and our figure.
    published : list of (float, float)
        Sparsity and mean.
    """

    label: str
    ours: list[tuple[float, Spread]]
    published: list[tuple[float, float]]


def lines(found: Results, paper: Paper, figure: Figure, quantity: str, ours: Quantity) -> list[Line]:
    """Return a panel's lines: the schedules at 32 bits, or the bit-widths of a figure of one schedule.

    Parameters
    ----------
    found : Results
    paper : Paper
    figure : Figure
    quantity : {"auc", "size", "time"}
        Quantity of the paper's tables.
    ours : Quantity
    """
    tables = [t for t in paper.of(figure.model) if t.table in figure.tables]
    if len(tables) > 1:
        shown = [(t, "float32", t.title) for t in tables]
    else:
        extra = [scheme for scheme in found.schemes if scheme not in paper.schemes]
        shown = [(tables[0], scheme, edac.title(paper, scheme)) for scheme in [*paper.schemes, *extra]]
    made = []
    for published, scheme, label in shown:
        members = [(s, results.spread(found.cell(published.title, s, scheme), ours)) for s in found.sparsities]
        cells = [(s, published.cell(s, quantity, scheme)) for s in published.sparsities]
        made.append(Line(label, [(s, v) for s, v in members if v], [(s, c[0]) for s, c in cells if c]))
    return made


def draw(found: Results, paper: Paper, figure: Figure, axes: Sequence[Axes]) -> None:
    """Draw a figure's three panels onto axes.

    Parameters
    ----------
    found : Results
    paper : Paper
    figure : Figure
    axes : sequence of matplotlib.axes.Axes
        As many as `PANELS`.
    """
    for ax, (quantity, title, ours) in zip(axes, PANELS, strict=True):
        for line, (colour, marker, style) in zip(lines(found, paper, figure, quantity, ours), STYLES, strict=False):
            x = [100 * s for s, _ in line.ours]
            mean, sd = [v.mean for _, v in line.ours], [v.sd or 0.0 for _, v in line.ours]
            ax.plot(
                x, mean, color=colour, marker=marker, markersize=4, linestyle=style, linewidth=1.3, label=line.label
            )
            low, high = [m - d for m, d in zip(mean, sd, strict=True)], [m + d for m, d in zip(mean, sd, strict=True)]
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
            ax.plot(
                [100 * s for s, _ in line.published],
                [value for _, value in line.published],
                color=colour,
                marker=marker,
                markersize=5,
                markerfacecolor="none",
                linestyle="",
                alpha=0.7,
            )
        ax.set_xlabel("sparsity, %")
        ax.set_ylabel(title)
        ax.grid(alpha=0.25, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        if quantity != "auc":
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("")
    if paper.of(figure.model)[0].auc_is != "roc_auc":
        axes[0].set_ylabel(f"{PANELS[0][1]}\n(published: balanced accuracy)")
    axes[-1].legend(handles=_legend(axes[0]), frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def save(found: Results, paper: Paper, model: str, folder: Path, *, suffix: str = "png") -> list[Path]:
    """Write a model's figures: ``figure1.png`` and so on, whose bytes depend on the figures alone.

    Parameters
    ----------
    found : Results
    paper : Paper
    model : str
        Name in the paper.
    folder : Path
    suffix : {"png", "svg"}

    Returns
    -------
    list[Path]
        The files.

    Raises
    ------
    ParameterError
        If the paper has no such model.
    """
    paper.of(model)
    written = []
    for figure in (f for f in paper.figures if f.model == model):
        picture = Picture(figsize=(13, 3.8), dpi=150, layout="constrained")
        FigureCanvasAgg(picture)
        draw(found, paper, figure, picture.subplots(1, len(PANELS)))
        picture.suptitle(f"As figure {figure.figure} of EDAC, {figure.model}: {figure.shows}", fontsize=11)
        path = folder / f"figure{figure.figure}.{suffix}"
        metadata = {"Software": None} if suffix == "png" else {"Date": None}
        with files.atomic(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "edac"}):
            picture.savefig(temporary, format=suffix, metadata=metadata)
        written.append(path)
    return written


def _legend(ax: Axes) -> list[Any]:
    handles: list[Any] = list(ax.get_legend_handles_labels()[0])
    hollow = Line2D([], [], color="0.3", marker="o", markersize=5, markerfacecolor="none", linestyle="")
    hollow.set_label("published")
    return [*handles, hollow]
