"""The report's plots, by plotly: Okabe and Ito's colours, and marker and dash say the same a second time."""

import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.artifacts.dataset import indicators
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Row
from stages.core.scoring import interval
from stages.core.scoring.curves import roc_points
from stages.core.scoring.thresholds import predict
from stages.report.facts import Facts, Scored, scheme_of, schemes

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SHOWN = 1500
"""Points of the front's plot at most, those of the front not counted: more slow a telephone down and show no more."""
POINTS = 400
"""Corners of a ROC curve at most."""
TITLES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "f1": "F1"}


def title(metric: str) -> str:
    """Return what people call a metric."""
    return TITLES.get(metric, metric.replace("_", " "))


def front(facts: Facts) -> "Figure":
    """Draw every variant's validation metric over its deflated size, with the front as a line."""
    from plotly.graph_objects import Scatter

    metric = f"validation_{facts.metric}"
    rows = [row for row in facts.rows if row[metric] is not None]
    figure = _figure("size after deflate (bytes)", f"validation {title(facts.metric)}", height=460)
    on_front = [row for row in rows if row["name"] in set(facts.front)]
    steps = sorted(on_front, key=lambda row: row["deflated_bytes"])
    figure.add_trace(
        Scatter(
            x=[row["deflated_bytes"] for row in steps],
            y=[row[metric] for row in steps],
            mode="lines",
            line={"color": "#999999", "width": 1},
            name="front",
            hoverinfo="skip",
        )
    )
    shown = _thinned(rows, keep={*facts.front, facts.winner_row["name"]})
    for i, scheme in enumerate(schemes(rows)):
        members = [row for row in shown if scheme_of(row) == scheme]
        figure.add_trace(
            Scatter(
                x=[row["deflated_bytes"] for row in members],
                y=[row[metric] for row in members],
                mode="markers",
                marker={
                    "color": COLOURS[i % len(COLOURS)],
                    "symbol": [_marker(i) + ("" if row["schedule"] else "-open") for row in members],
                    "size": 9,
                    "line": {"width": [0.5 if row["schedule"] else 2 for row in members]},
                },
                name=scheme,
                text=[_told(row, facts.metric) for row in members],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    winner = facts.winner_row
    figure.add_trace(
        Scatter(
            x=[winner["deflated_bytes"]],
            y=[winner[metric]],
            mode="markers",
            marker={"symbol": "circle-open", "size": 22, "color": "#000000", "line": {"width": 2}},
            name="chosen",
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(type="log", dtick="D2", exponentformat="SI", tickformat="~s")
    return figure


def against_sparsity(rows: Sequence[Row], column: str, axis: str, *, log: bool = False) -> "Figure":
    """Draw a column over the sparsity, a line per scheme: the mean over seeds, in a band of one standard deviation.

    Parameters
    ----------
    rows : Sequence[dict]
        Of one criterion and schedule, and the baselines, which are their sparsity 0.
    column : str
    axis : str
        What the column is called.
    log : bool
        Whether the axis is logarithmic.
    """
    from plotly.graph_objects import Scatter

    figure = _figure("sparsity", axis, height=340)
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
                    y=_short([*high, *reversed(low)]),
                    fill="toself",
                    fillcolor=_pale(colour),
                    mode="none",
                    hoverinfo="skip",
                    showlegend=False,
                    legendgroup=scheme,
                )
            )
        figure.add_trace(
            Scatter(
                x=x,
                y=_short(mean),
                mode="lines+markers",
                line={"color": colour, "dash": DASHES[i % len(DASHES)], "width": 2},
                marker={"symbol": _marker(i), "size": 8},
                name=scheme,
                legendgroup=scheme,
                text=[
                    f"{scheme}, sparsity {s:.4g}<br>{axis} {m:.5g}"
                    + (f" ± {d:.2g}" if d else "")
                    + f"<br>{_count(len(cells[s]), 'seed')}"
                    for s, m, d in zip(x, mean, sd, strict=True)
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    if log:
        figure.update_yaxes(type="log", dtick="D2", exponentformat="SI", tickformat="~s")
    return figure


def roc(facts: Facts) -> "Figure":
    """Draw ROC curves: the chosen variant's on both sides of the split, and the baseline's on the test side."""
    figure = _figure("false positive rate", "true positive rate", height=420)
    figure.add_trace(_diagonal("chance"))
    curves = {
        "chosen, test": facts.winner["test"],
        "chosen, validation": facts.winner["validation"],
        "float32 baseline, test": facts.baseline["test"],
    }
    for i, (name, scored) in enumerate(curves.items()):
        x, y = _roc(scored)
        figure.add_trace(_line(x, y, i, name, "false positive rate %{x:.3f}<br>true positive rate %{y:.3f}"))
    return _square(figure)


def reliability(facts: Facts) -> "Figure":
    """Draw how often the chosen variant was right on the test side, over how sure it was."""
    from plotly.graph_objects import Scatter

    scored = facts.winner["test"]
    if scored.y.ndim == 2:
        told = ("mean score", "fraction that is there")
    elif scored.scores.ndim == 1:
        told = ("mean score", f"fraction that is {facts.labels[-1]}")
    else:
        told = ("mean of the highest score", "fraction decided rightly")
    figure = _figure(
        *told,
        height=420,
    )
    figure.add_trace(_diagonal("perfectly calibrated"))
    points = calibration(facts.winner["test"], bins=facts.shown.calibration_bins)
    figure.add_trace(
        Scatter(
            x=[p[0] for p in points],
            y=[p[1] for p in points],
            mode="lines+markers",
            line={"color": COLOURS[0]},
            marker={"symbol": _marker(0), "size": [min(8 + n**0.5, 24) for *_, n in points]},
            name="chosen, test",
            text=[f"{_count(n, 'clip')}<br>mean score {x:.3f}<br>fraction {y:.3f}" for x, y, n in points],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    return _square(figure)


def calibration(scored: Scored, *, bins: int) -> list[tuple[float, float, int]]:
    """Return mean score, fraction and number of clips of every equal bin over [0, 1] that has clips.

    The fraction is that of the positive class, of a multi-label task over all answers; of a multi-class task that of
    right decisions, by the highest score.
    """
    if scored.scores.ndim == 1 or scored.y.ndim == 2:
        sure, right = scored.scores.ravel(), scored.y.ravel() == 1
    else:
        sure, right = scored.scores.max(axis=1), scored.y == scored.scores.argmax(axis=1)
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], sure)
    held = [place == i for i in range(bins)]
    return [(round(float(sure[h].mean()), 6), round(float(right[h].mean()), 6), int(h.sum())) for h in held if h.any()]


def confusion(facts: Facts) -> np.ndarray:
    """Return the chosen variant's confusion matrix of the test side, truth by row, int.

    Its shape is (n_classes, n_classes); of a multi-label task (n_classes, 2, 2), one matrix for each class.
    """
    scored, n = facts.winner["test"], len(facts.labels)
    decided = predict(scored.scores, facts.selection.threshold)
    if scored.y.ndim == 2:
        counts = [np.bincount(2 * truth + said, minlength=4) for truth, said in zip(scored.y.T, decided.T, strict=True)]
        return np.stack(counts).reshape(n, 2, 2)
    return np.bincount(scored.y * n + decided, minlength=n * n).reshape(n, n)


def drops(facts: Facts, rows: Sequence[Row]) -> "Figure":
    """Draw how far variants lie below the baseline on validation, with their intervals and simultaneous bounds."""
    from plotly.graph_objects import Scatter

    rows = [row for row in rows if row.get("drop") is not None]
    figure = _figure(f"drop of the validation {title(facts.metric)}", "", height=150 + 26 * len(rows))
    names = [_cut(row["name"]) for row in rows]
    figure.add_trace(
        Scatter(
            x=[row["drop"] for row in rows],
            y=names,
            mode="markers",
            marker={"symbol": _marker(0), "color": COLOURS[0], "size": 9},
            error_x={
                "array": _short([_or(row["drop_high"], row["drop"]) - row["drop"] for row in rows]),
                "arrayminus": _short([row["drop"] - _or(row["drop_low"], row["drop"]) for row in rows]),
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


def _figure(x: str, y: str, *, height: int) -> "Figure":
    from plotly.graph_objects import Figure

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


def _square(figure: "Figure") -> "Figure":
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.02, 1.02])
    return figure


def _line(x: Iterable[float], y: Iterable[float], i: int, name: str, hover: str) -> "Scatter":
    from plotly.graph_objects import Scatter

    style = {"color": COLOURS[i], "dash": DASHES[i], "width": 2}
    return Scatter(x=_short(x), y=_short(y), mode="lines", line=style, name=name, hovertemplate=hover)


def _diagonal(name: str) -> "Scatter":
    from plotly.graph_objects import Scatter

    return Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": "#999999", "width": 1}, name=name, hoverinfo="skip")


def _roc(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve; with more classes, of all one-against-rest decisions together."""
    y, scores = scored.y, scored.scores
    if scores.ndim > 1:
        y, scores = indicators(y, scores.shape[1]).ravel(), scores.ravel()
    x, height = roc_points(y, scores)
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))
    return x[keep], height[keep]


def _thinned(rows: Sequence[Row], keep: set[str]) -> list[Row]:
    """Return `keep`, the baselines, and of the rest, by size, every n-th: `SHOWN` at most."""
    kept = [row for row in rows if row["name"] in keep or not row["schedule"]]
    rest = [row for row in rows if row["name"] not in keep and row["schedule"]]
    rest.sort(key=lambda row: (row["deflated_bytes"], row["name"]))
    places = np.unique(np.linspace(0, len(rest) - 1, min(len(rest), SHOWN)).astype(int)) if rest else ()
    return [*kept, *(rest[i] for i in places)]


def _told(row: Row, metric: str) -> str:
    """Return what is said of a variant where the pointer hovers."""
    value, low, high = (row[f"validation_{metric}{end}"] for end in ("", "_low", "_high"))
    pruned = f"{row['criterion']} {row['schedule']}, sparsity {row['sparsity']:.4g}, seed {row['seed']:.0f}".strip()
    return "<br>".join(
        (
            f"<b>{_cut(row['name'], 60)}</b>",
            pruned if row["schedule"] else "not pruned",
            f"{scheme_of(row)}, {row['bit_width']:.0f} bits",
            f"{title(metric)} {interval.text(Estimate(value, low, high))}",
            f"{size(row['deflated_bytes'])} deflated, {size(row['raw_bytes'])} raw, {row['latency_p50_ms']:.3g} ms",
        )
    )


def size(n_bytes: float) -> str:
    """Return a size for people."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000 or unit == "MB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.3g} {unit}"


def _marker(i: int) -> str:
    return MARKERS[i % len(MARKERS)]


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def _short(values: Iterable[float]) -> list[float | None]:
    """Return six significant digits; NaN, which JSON lacks, is None."""
    return [None if np.isnan(value) else float(f"{value:.6g}") for value in map(float, values)]


def _or(value: Any, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def _cut(name: str, longest: int = 44) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
