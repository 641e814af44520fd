"""Plots of the sweep, drawn by plotly in the reader's browser. Colour is never alone: marker or dash repeats it."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from plotly.graph_objects import Figure, Scatter

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Row
from stages.core.project.palette import COLOURS, GREY
from stages.core.scoring import interval
from stages.report import drawing
from stages.report.facts import Facts
from stages.report.text import count, scheme_of, schemes, size, title

SHOWN = 1500
"""Points of the front's plot at most, those of the front not counted: more would slow a telephone down."""


def front(facts: Facts) -> Figure:
    """Draw every variant's validation metric over the bytes to send, with the front as a line."""
    metric = f"validation_{facts.metric}"
    rows = [row for row in facts.rows if row[metric] is not None]
    figure = drawing.figure("bytes to send, front end and model", f"validation {title(facts.metric)}", height=460)
    on_front = [row for row in rows if row["name"] in set(facts.front)]
    steps = sorted(on_front, key=lambda row: row["sent_bytes"])
    figure.add_trace(
        Scatter(
            x=[row["sent_bytes"] for row in steps],
            y=[row[metric] for row in steps],
            mode="lines",
            line={"color": GREY, "width": 1},
            name="front",
            hoverinfo="skip",
        )
    )
    shown = _thinned(rows, keep={*facts.front, facts.winner_row["name"]})
    for i, scheme in enumerate(schemes(rows)):
        members = [row for row in shown if scheme_of(row) == scheme]
        figure.add_trace(
            Scatter(
                x=[row["sent_bytes"] for row in members],
                y=[row[metric] for row in members],
                mode="markers",
                marker={
                    "color": COLOURS[i % len(COLOURS)],
                    "symbol": [drawing.marker(i) + ("" if row["schedule"] else "-open") for row in members],
                    "size": 9,
                    "line": {"width": [0.5 if row["schedule"] else 2 for row in members]},
                },
                name=scheme,
                text=[_hover(row, facts.metric) for row in members],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    winner = facts.winner_row
    figure.add_trace(
        Scatter(
            x=[winner["sent_bytes"]],
            y=[winner[metric]],
            mode="markers",
            marker={"symbol": "circle-open", "size": 22, "color": "#000000", "line": {"width": 2}},
            name="chosen",
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(type="log", dtick="D2", exponentformat="SI", tickformat="~s")
    return figure


def against_sparsity(rows: Sequence[Row], column: str, axis: str, *, log: bool = False) -> Figure:
    """Draw a column over the sparsity, a line per scheme: the mean over seeds, in a band of one standard deviation.

    Parameters
    ----------
    rows : Sequence[Row]
        Variants of one criterion and schedule, and the baselines as their sparsity 0.
    column : str
    axis : str
        Title of the vertical axis.
    log : bool
        Use a logarithmic axis.
    """
    figure = drawing.figure("sparsity", axis, height=340)
    for i, scheme in enumerate(schemes(rows)):
        cells: dict[float, list[float]] = {}
        for row in rows:
            if scheme_of(row) == scheme and row[column] is not None:
                cells.setdefault(row["sparsity"], []).append(row[column])
        x = sorted(cells)
        mean = [statistics.fmean(cells[s]) for s in x]
        sd = [statistics.stdev(cells[s]) if len(cells[s]) > 1 else 0.0 for s in x]
        colour = COLOURS[i % len(COLOURS)]
        if any(sd):
            high = [m + d for m, d in zip(mean, sd, strict=True)]
            low = [max(m - d, m / 10 if log else m - d) for m, d in zip(mean, sd, strict=True)]
            figure.add_trace(
                Scatter(
                    x=[*x, *reversed(x)],
                    y=drawing.rounded([*high, *reversed(low)]),
                    fill="toself",
                    fillcolor=drawing.pale(colour),
                    mode="none",
                    hoverinfo="skip",
                    showlegend=False,
                    legendgroup=scheme,
                )
            )
        figure.add_trace(
            Scatter(
                x=x,
                y=drawing.rounded(mean),
                mode="lines+markers",
                line={"color": colour, "dash": drawing.DASHES[i % len(drawing.DASHES)], "width": 2},
                marker={"symbol": drawing.marker(i), "size": 8},
                name=scheme,
                legendgroup=scheme,
                text=[
                    f"{scheme}, sparsity {s:.4g}<br>{axis} {m:.5g}"
                    + (f" ± {d:.2g}" if d else "")
                    + f"<br>{count(len(cells[s]), 'seed')}"
                    for s, m, d in zip(x, mean, sd, strict=True)
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    if log:
        figure.update_yaxes(type="log", dtick="D2", exponentformat="SI", tickformat="~s")
    return figure


def drops(facts: Facts, rows: Sequence[Row]) -> Figure:
    """Draw how far variants lie below the baseline on validation, with their intervals and simultaneous bounds."""
    rows = [row for row in rows if row.get("drop") is not None]
    figure = drawing.figure(f"drop of the validation {title(facts.metric)}", "", height=150 + 26 * len(rows))
    names = [_cut(row["name"]) for row in rows]
    figure.add_trace(
        Scatter(
            x=[row["drop"] for row in rows],
            y=names,
            mode="markers",
            marker={"symbol": drawing.marker(0), "color": COLOURS[0], "size": 9},
            error_x={
                "array": drawing.rounded([_or(row["drop_high"], row["drop"]) - row["drop"] for row in rows]),
                "arrayminus": drawing.rounded([row["drop"] - _or(row["drop_low"], row["drop"]) for row in rows]),
                "color": COLOURS[0],
                "thickness": 1.5,
            },
            name="drop with its interval",
        )
    )
    figure.add_trace(
        Scatter(
            x=[row["drop_bound"] for row in rows],
            y=names,
            mode="markers",
            marker={"symbol": "line-ns-open", "color": COLOURS[5], "size": 14, "line": {"width": 3}},
            name="bound for all at once",
        )
    )
    for x, dash in ((0.0, "solid"), (facts.selection.rule.margin, "dash")):
        figure.add_vline(x=x, line={"color": "#666666", "width": 1, "dash": dash})
    figure.update_yaxes(autorange="reversed", type="category", automargin=True, tickfont={"size": 11})
    return figure


def _thinned(rows: Sequence[Row], keep: set[str]) -> list[Row]:
    """Return `keep`, the baselines, and of the rest, by size, every n-th: `SHOWN` at most."""
    kept = [row for row in rows if row["name"] in keep or not row["schedule"]]
    rest = [row for row in rows if row["name"] not in keep and row["schedule"]]
    rest.sort(key=lambda row: (row["sent_bytes"], row["name"]))
    places = np.unique(np.linspace(0, len(rest) - 1, min(len(rest), SHOWN)).astype(int)) if rest else ()
    return [*kept, *(rest[i] for i in places)]


def _hover(row: Row, metric: str) -> str:
    """Return what is said of a variant where the pointer hovers."""
    value, low, high = (row[f"validation_{metric}{end}"] for end in ("", "_low", "_high"))
    pruned = f"{row['criterion']} {row['schedule']}, sparsity {row['sparsity']:.4g}, seed {row['seed']:.0f}".strip()
    return "<br>".join(
        (
            f"<b>{_cut(row['name'], 60)}</b>",
            pruned if row["schedule"] else "not pruned",
            f"{scheme_of(row)}, {row['bit_width']:.0f} bits",
            f"{title(metric)} {interval.text(Estimate(value, low, high))}",
            f"{size(row['sent_bytes'])} to send, {size(row['release_bytes'])} stored, {row['latency_p50_ms']:.3g} ms",
        )
    )


def _or(value: Any, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def _cut(name: str, longest: int = 44) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
