"""Tables of cross-validation, as Markdown and as rows of a CSV file."""

from collections.abc import Sequence

import numpy as np

from flows.studies.folds.figures import Figures
from flows.studies.folds.summary import Gain, Row
from stages.core.artifacts.estimates import Estimate
from stages.core.project import tables
from stages.core.scoring import interval

COLUMNS = (
    *("name", "mean", "sd", "low", "high", "drop", "drop_low", "drop_high"),
    *("raw_bytes", "deflated_bytes", "flops", "latency_ms", "front"),
)
GAIN_COLUMNS = ("name", "site", "mean", "other", "gain", "low", "high", "clips_low", "clips_high", "n_folds", "n_seeds")


def table(rows: Sequence[Row], figures: Figures) -> str:
    """Return the rows as Markdown."""
    folds, seeds = len({run.fold for run in figures.runs}), len({run.seed for run in figures.runs})
    sure = f"{100 * figures.confidence:g} %"
    head = [
        "variant",
        f"{figures.metric} on the test folds [{sure} interval]",
        "sd over folds",
        f"below the baseline [{sure}]",
    ]
    head += ["raw bytes", "deflated bytes", "MFLOPs", "latency in ms"]
    lines = [
        [
            f"**{row.name}**" if row.front else row.name,
            interval.text(Estimate(row.mean, row.low, row.high)),
            "" if row.sd is None else f"{row.sd:.3f}",
            ""
            if row.name == figures.baseline
            else interval.text(Estimate(row.drop, row.drop_low, row.drop_high), sign=True),
            f"{row.raw_bytes:,.0f}",
            f"{row.deflated_bytes:,.0f}",
            f"{row.flops / 1e6:.1f}",
            "" if row.latency_ms is None else f"{row.latency_ms:.3f}",
        ]
        for row in rows
    ]
    clips = len(figures.groups) // seeds
    caption = f"{clips} clips, each tested once by {seeds} seed{'s' if seeds > 1 else ''}"
    caption += f", in {folds} folds." if folds > 1 else "."
    if figures.refusal():
        caption += f" No intervals: {figures.refusal()}."
    caption += (
        f" In bold the front over {len(rows)} means: no other is both as small, in raw bytes, and as good in the mean. "
        "The test folds chose it, so that it is no prediction of which would lead on other clips."
    )
    return f"{tables.markdown(head, lines)}\n\n{caption}"


def gains_table(gains: Sequence[Gain], figures: Figures, against: str) -> str:
    """Return the gains as Markdown."""
    several = len(figures.folds) > 1
    over = "folds" if several else "seeds"
    sure = f"{100 * figures.confidence:g} %"
    head = ["variant", "site", figures.metric, against, f"gain [{sure} over {over}]", f"[{sure} over clips]"]
    lines = [
        [
            gain.name,
            gain.site or "all",
            f"{gain.mean:.3f}",
            f"{gain.other:.3f}",
            interval.text(Estimate(gain.gain, gain.low, gain.high), sign=True),
            interval.bracket(gain.clips_low, gain.clips_high, sign=True, undefined="too few groups"),
        ]
        for gain in gains
    ]
    if not gains:
        return "No variant is in both."
    seeds = f"{gains[0].n_seeds} seed{'s' if gains[0].n_seeds > 1 else ''}"
    caption = (
        f"{gains[0].n_folds} folds, the mean of {seeds} each; corrected for overlapping training sets (Nadeau and "
    )
    caption += "Bengio)." if several else ""
    return f"{tables.markdown(head, lines)}\n\n{caption if several else f'One split, {seeds}.'}"


def records(rows: Sequence[Row | Gain], columns: Sequence[str]) -> list[dict[str, str | float | None]]:
    """Return rows for a CSV file, six decimals."""
    return [{name: _rounded(getattr(row, name)) for name in columns} for row in rows]


def _rounded(value: str | float | None) -> str | float | None:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return value
