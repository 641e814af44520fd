"""Plots of the chosen variant's decisions: ROC curves, calibration, confusion."""

import numpy as np
from plotly.graph_objects import Figure, Scatter

from stages.core.artifacts.dataset import indicators
from stages.core.project.palette import COLOURS
from stages.core.scoring import logits
from stages.core.scoring.curves import roc_points
from stages.core.scoring.thresholds import predict
from stages.report import drawing
from stages.report.facts import Facts, Scored
from stages.report.text import count

POINTS = 400
"""Corners of a ROC curve at most."""


def roc(facts: Facts) -> Figure:
    """Draw ROC curves: the chosen variant's on both sides of the split, and the baseline's on the test side."""
    figure = drawing.figure("false positive rate", "true positive rate", height=420)
    figure.add_trace(drawing.diagonal("chance"))
    curves = {
        "chosen, test": facts.winner["test"],
        "chosen, validation": facts.winner["validation"],
        "float32 baseline, test": facts.baseline["test"],
    }
    for i, (name, scored) in enumerate(curves.items()):
        x, y = _roc(scored)
        figure.add_trace(drawing.line(x, y, i, name, "false positive rate %{x:.3f}<br>true positive rate %{y:.3f}"))
    return drawing.unit_square(figure)


def reliability(facts: Facts) -> Figure:
    """Draw how often the chosen variant was right on the test side, over how sure it was."""
    scored = facts.winner["test"]
    if scored.y.ndim == 2:
        axes = ("mean score", "fraction that is there")
    elif scored.scores.ndim == 1:
        axes = ("mean score", f"fraction that is {facts.labels[-1]}")
    else:
        axes = ("mean of the highest score", "fraction decided rightly")
    figure = drawing.figure(
        *axes,
        height=420,
    )
    figure.add_trace(drawing.diagonal("perfectly calibrated"))
    curves = {"chosen, test": scored}
    folded = facts.selection.variant.score_calibration
    measured = facts.calibration.get(facts.winner_row["name"], {}).get("test")
    if folded.changes_scores and measured is not None and measured.before["brier"].value is not None:
        raw = logits.before(folded, scored.scores, multi_label=scored.y.ndim == 2)
        curves["before calibration"] = Scored(scored.y, raw)
    for i, (name, each) in enumerate(curves.items()):
        points = calibration(each, bins=facts.shown.calibration_bins)
        figure.add_trace(
            Scatter(
                x=[p[0] for p in points],
                y=[p[1] for p in points],
                mode="lines+markers",
                line={"color": COLOURS[i], "dash": drawing.DASHES[i]},
                marker={"symbol": drawing.marker(i), "size": [min(8 + n**0.5, 24) for *_, n in points]},
                name=name,
                text=[f"{count(n, 'clip')}<br>mean score {x:.3f}<br>fraction {y:.3f}" for x, y, n in points],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return drawing.unit_square(figure)


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


def _roc(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve; with more classes, of all one-against-rest decisions together."""
    y, scores = scored.y, scored.scores
    if scores.ndim > 1:
        y, scores = indicators(y, scores.shape[1]).ravel(), scores.ravel()
    x, height = roc_points(y, scores)
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))
    return x[keep], height[keep]
