"""Write the report of a sweep: one HTML file without any dependency, not even on the network.

The same facts give the same bytes. The commit of the code is not in it: MLflow has that, with the sweep's run.
"""

import base64
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import plotly.offline
from plotly.graph_objects import Figure

from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.selection import Drop
from stages.core.project import files, pages
from stages.core.scoring import interval
from stages.core.scoring.resampling import few_groups
from stages.report import away, judgement, plots, tables
from stages.report.facts import Facts
from stages.report.text import size, title

MAX_PANELS = 24
"""Pairs of criterion and schedule that are drawn."""
MAX_CLASSES = 30
"""Classes up to which the confusion matrix is shown."""
MAX_DROPS = 40
"""Variants in the plot of drops."""
HEADINGS = {
    "front": "The front: size against quality",
    "sparsity": "Against sparsity: metric, size, latency",
    "chosen": "The chosen variant",
    "drop": "What compression costs",
    "sites": "By recording site",
    "elsewhere": "Elsewhere: recordings from other places",
    "robustness": "Under stress: noise, rooms, codecs and attacks",
    "data": "The data, and what was excluded",
    "split": "The split, and its leakage audit",
    "environment": "Environment",
}


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    title: str
    value: str
    note: str


def write(facts: Facts, target: Path, *, picture: Path | None = None) -> None:
    """Write the report.

    Parameters
    ----------
    facts : Facts
    target : Path
        The HTML file.
    picture : Path or None
        PNG that stands for the plots where scripts are off.
    """
    figures = {key: figure.to_plotly_json() for key, figure in _figures(facts).items()}
    text = pages.template("stages.report", "report.html.j2").render(
        _content(facts),
        picture=base64.b64encode(picture.read_bytes()).decode() if picture and picture.is_file() else "",
        library=plotly.offline.get_plotlyjs(),
        figures=_json(figures),
    )
    files.write_text(target, text + "\n")


def _figures(facts: Facts) -> dict[str, Figure]:
    drawn = {"front": plots.front(facts)}
    metric = f"validation_{facts.metric}"
    for i, (_, rows) in enumerate(_panels(facts)):
        drawn[f"metric-{i}"] = plots.against_sparsity(rows, metric, f"validation {title(facts.metric)}")
        drawn[f"size-{i}"] = plots.against_sparsity(rows, "sent_bytes", "bytes to send", log=True)
        drawn[f"latency-{i}"] = plots.against_sparsity(rows, "latency_p50_ms", "latency of one clip (ms)")
    drawn |= {"roc": judgement.roc(facts), "reliability": judgement.reliability(facts)}
    return drawn | {"drops": plots.drops(facts, tables.on_front(facts)[:MAX_DROPS])}


def _content(facts: Facts) -> dict[str, object]:
    """Return what the templates show, by name."""
    panels, robustness, elsewhere = _panels(facts), away.robustness(facts), away.elsewhere(facts)
    absent = {"robustness": robustness is None, "elsewhere": elsewhere is None}
    confusion = judgement.confusion(facts)
    return {
        "contents": [(a, h) for a, h in HEADINGS.items() if not absent.get(a)],
        "selection": facts.selection,
        "few_groups": [
            f"{name.capitalize()} split: {few}"
            for name, split in facts.selection.splits.items()
            if (few := few_groups(split.groups))
        ],
        "shown": facts.shown,
        "labels": facts.labels,
        "metric": title(facts.metric),
        "tiles": _tiles(facts),
        "standing": tables.standing(facts),
        "n_variants": len(facts.rows),
        "n_drawn": plots.SHOWN,
        "front": tables.front(facts),
        "panels": [name for name, _ in panels],
        "n_pairs": len({(row["criterion"], row["schedule"]) for row in facts.rows if row["schedule"]}) or 1,
        "several_seeds": any(len({r["seed"] for r in rows if r["schedule"]}) > 1 for _, rows in panels),
        "metrics": tables.metrics(facts),
        "decisions": tables.decisions(facts),
        "calibration": tables.calibration(facts),
        "rejection": tables.rejection(facts),
        "rejects": facts.selection.rejection,
        "streams": tables.streams(facts),
        "misses_by_snr": tables.misses_by_snr(facts),
        "score_calibration": facts.selection.variant.score_calibration,
        "confusion": confusion.tolist() if len(facts.labels) <= MAX_CLASSES else None,
        "largest": max(int(confusion.max()), 1),
        "n_correct": int(confusion.trace()) if confusion.ndim == 2 else 0,
        "n_test": int(confusion.sum()),
        "drops": tables.drops(facts),
        "validation_drop": _drop(facts.selection.drop.validation),
        "test_drop": _drop(facts.selection.drop.test),
        "sites": tables.sites(facts),
        "robustness": robustness,
        "heat_map": away.heat_map(facts),
        "elsewhere": elsewhere,
        "left_out_elsewhere": away.left_out(facts),
        "pull": facts.pull,
        "source": tables.source(facts),
        "classes": tables.classes(facts),
        "reasons": tables.reasons(facts),
        "excluded": tables.excluded(facts),
        "audit": facts.split.audit,
        "splits": tables.splits(facts),
        "environment": tables.environment(facts),
    }


def _tiles(facts: Facts) -> list[Tile]:
    selection, row, reference = facts.selection, facts.winner_row, facts.baseline_row
    estimates = {split: metrics.pooled[facts.metric] for split, metrics in selection.splits.items()}
    return [
        *(
            Tile(
                f"{split} {title(facts.metric)}",
                interval.number(estimate.value, undefined="undefined"),
                interval.bracket(estimate.low, estimate.high, undefined=""),
            )
            for split, estimate in estimates.items()
        ),
        Tile("to send, with front end", size(row["sent_bytes"]), f"float32: {row['sent_ratio']:.3g} times that"),
        Tile("on the device, with it", size(row["release_bytes"]), f"float32: {row['release_ratio']:.3g} times that"),
        Tile("for one clip", f"{row['latency_p50_ms']:.3g} ms", f"float32 {reference['latency_p50_ms']:.3g} ms"),
        Tile("variants compared", str(selection.n_variants), f"{len(facts.front)} on the front"),
    ]


def _drop(drop: Drop) -> str:
    return f"{interval.number(drop.drop)} {interval.bracket(drop.drop_low, drop.drop_high)}"


def _panels(facts: Facts) -> list[tuple[str, list[Row]]]:
    """Return the rows of each pair of criterion and schedule, with the baselines."""
    baselines = [row for row in facts.rows if not row["schedule"]]

    def pair(row: Row) -> tuple[str, str]:
        return row["criterion"], row["schedule"]

    pruned = sorted((row for row in facts.rows if row["schedule"]), key=pair)
    panels = [(" / ".join(filter(None, both)), [*baselines, *members]) for both, members in groupby(pruned, key=pair)]
    return panels[:MAX_PANELS] or [("not pruned", baselines)]


def _json(figures: dict[str, object]) -> str:
    """Return figures as JSON that can stand in a page."""
    return json.dumps(figures, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
