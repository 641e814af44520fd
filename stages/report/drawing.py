"""Shared parts of the report's plots: the frame of a figure, markers, dashes and number formats."""

from collections.abc import Iterable

import numpy as np
from plotly.graph_objects import Figure, Scatter

from stages.core.project.palette import COLOURS, GREY

MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def figure(x: str, y: str, *, height: int) -> Figure:
    """Make an empty figure with titled axes."""
    axis = {"showgrid": True, "gridcolor": "#e2e2e2", "zeroline": False, "linecolor": "#444444", "showline": True}
    return Figure(
        layout={
            "template": None,
            "height": height,
            "margin": {"l": 64, "r": 12, "t": 30, "b": 56},
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222222"},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "xaxis": {"title": {"text": x}, "automargin": True} | axis,
            "yaxis": {"title": {"text": y}, "automargin": True} | axis,
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
            "hovermode": "closest",
            "dragmode": False,
        }
    )


def unit_square(figure: Figure) -> Figure:
    """Set both axes to [0, 1] with a small margin."""
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.02, 1.02])
    return figure


def line(x: Iterable[float], y: Iterable[float], i: int, name: str, hover: str) -> Scatter:
    """Make a line in the i-th colour and dash."""
    style = {"color": COLOURS[i], "dash": DASHES[i], "width": 2}
    return Scatter(x=rounded(x), y=rounded(y), mode="lines", line=style, name=name, hovertemplate=hover)


def diagonal(name: str) -> Scatter:
    """Make the diagonal of the unit square."""
    return Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "width": 1}, name=name, hoverinfo="skip")


def marker(i: int) -> str:
    """Return the i-th marker; they repeat."""
    return MARKERS[i % len(MARKERS)]


def pale(colour: str) -> str:
    """Return a colour at a fifth of its opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def rounded(values: Iterable[float]) -> list[float | None]:
    """Return six significant digits; NaN, which JSON lacks, is None."""
    return [None if np.isnan(value) else float(f"{value:.6g}") for value in map(float, values)]
