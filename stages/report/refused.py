"""The report where no variant may be chosen: why, and what each of them misses."""

import base64
from collections.abc import Sequence
from pathlib import Path

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.selection import Refusal
from stages.core.project import files, pages
from stages.core.scoring import interval
from stages.report.tables import Table, table
from stages.report.text import size, title


def write(refusal: Refusal, rows: Sequence[Row], target: Path, *, picture: Path | None = None) -> None:
    """Write the page.

    Parameters
    ----------
    refusal : Refusal
    rows : sequence of dict
        Every variant as flat columns.
    target : Path
        The HTML file.
    picture : Path or None
        PNG of metric against size.
    """
    embedded = base64.b64encode(picture.read_bytes()).decode() if picture and picture.is_file() else ""
    text = pages.template("stages.report", "refused.html.j2").render(
        refusal=refusal, variants=variants(refusal, rows), picture=embedded
    )
    files.write_text(target, text + "\n")


def variants(refusal: Refusal, rows: Sequence[Row]) -> Table:
    """Return every variant with its validation metric, best first, its size and latency, and what it misses."""
    metric = f"validation_{refusal.metric}"
    ordered = sorted(rows, key=lambda row: (-(row[metric] or 0.0), row["raw_bytes"], row["name"]))
    found = [
        (
            row["name"],
            refusal.misses.get(row["name"], "outside the budget"),
            interval.text(Estimate(row[metric], row[f"{metric}_low"], row[f"{metric}_high"]), undefined="undefined"),
            size(row["raw_bytes"]),
            size(row["deflated_bytes"]),
            f"{row['latency_p50_ms']:.3g}",
        )
        for row in ordered
    ]
    head = ("variant", "what it misses", f"validation {title(refusal.metric)}", "raw", "deflated", "latency, ms")
    return table(head, found, text_columns=2)
