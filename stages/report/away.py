"""The report's tables of conditions that home is not: other places, and disturbed recordings."""

from dataclasses import dataclass

from stages.core.artifacts.estimates import Estimate
from stages.core.scoring import interval
from stages.core.scoring.interval import DASH
from stages.report import tables
from stages.report.facts import Facts
from stages.report.tables import Table, table
from stages.report.text import title

MAX_COLUMNS = 12
"""Variants in the heat map."""
LEAST_FULL_SHADE = 0.1
"""Loss that has the full shade at least, so that small losses look small."""


@dataclass(frozen=True)
class Shade:
    """A figure's text, and its loss against the variant's own clean figure: 0 none, 1 the most in the map."""

    text: str
    lost: float


@dataclass(frozen=True)
class HeatMap:
    """One metric of several variants under several conditions.

    Attributes
    ----------
    columns : tuple[str, ...]
        Variants.
    rows : tuple[tuple[str, tuple[Shade, ...]], ...]
        Condition, and its cell of each variant.
    n_variants : int
        Variants that were measured.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Shade, ...]], ...]
    n_variants: int


def elsewhere(facts: Facts) -> Table | None:
    """Return every place's figures of baseline and chosen variant beside those at home; None without a place."""
    metric, rows = "", []
    for who, name in (("float32 baseline", facts.baseline_name), ("chosen", facts.winner_row["name"])):
        at_home = facts.row(name)
        for place, found in facts.elsewhere.get(name, {}).items():
            metric = found.metric
            home = Estimate(*(at_home[f"test_{metric}{end}"] for end in ("", "_low", "_high")))
            costs = (found.compression_at_home, found.compression, found.excess)
            figures = (home, found.figures[metric], found.drop)
            rows.append((place, who, str(found.n), str(found.groups), *map(_estimate, (*figures, *costs))))
    heads = ("place", "", "n", "groups", f"{title(metric)} at home", "there", "drop")
    cost = ("cost at home", "cost there", "difference")
    return table((*heads, *cost), sorted(rows, key=lambda row: row[0]), text_columns=2) if rows else None


def left_out(facts: Facts) -> dict[str, str]:
    """Return in words, by place, how many recordings were left out and why."""
    return {
        place: ", ".join(f"{n} ({reason})" for reason, n in found.left_out.items())
        for place, found in facts.elsewhere.get(facts.winner_row["name"], {}).items()
        if found.left_out
    }


def robustness(facts: Facts) -> Table | None:
    """Return baseline and chosen variant on disturbed test recordings; None if there are no conditions."""
    names = {"baseline": facts.baseline_name, "chosen": facts.winner_row["name"]}
    columns = [(who, metric) for metric in (facts.metric, "agreement") for who in names]

    def cell(who: str, condition: str, metric: str) -> str:
        found = facts.robustness.get(names[who], {}).get(condition, {}).get(metric)
        return _estimate(found) if found else DASH

    conditions = facts.robustness.get(names["chosen"], {})
    rows = [(condition, *(cell(who, condition, metric) for who, metric in columns)) for condition in conditions]
    return table(("condition", *(f"{title(metric)}, {who}" for who, metric in columns)), rows) if rows else None


def heat_map(facts: Facts) -> HeatMap | None:
    """Return the metric of baselines and front under every condition; None without conditions."""
    wanted = [row["name"] for row in facts.rows if not row["schedule"]]
    wanted += [row["name"] for row in tables.on_front(facts)]
    shown = [name for name in dict.fromkeys(wanted) if name in facts.robustness][:MAX_COLUMNS]
    if not shown:
        return None
    figures = {
        name: {condition: found[facts.metric].value for condition, found in facts.robustness[name].items()}
        for name in shown
    }
    drops = {
        (name, condition): max((found.get("clean") or 0.0) - value, 0.0)
        for name, found in figures.items()
        for condition, value in found.items()
        if value is not None
    }
    most = max(max(drops.values(), default=0.0), LEAST_FULL_SHADE)

    def shade(name: str, condition: str) -> Shade:
        return Shade(interval.number(figures[name].get(condition)), round(drops.get((name, condition), 0.0) / most, 2))

    conditions = tuple(figures[shown[0]])
    rows = tuple(
        (condition.replace("_", " "), tuple(shade(name, condition) for name in shown)) for condition in conditions
    )
    return HeatMap(tuple(shown), rows, len(facts.robustness))


def _estimate(estimate: Estimate) -> str:
    return interval.text_or_reason(estimate, undefined="undefined")
