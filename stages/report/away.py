"""The report's tables of conditions that home is not: other places, and disturbed recordings."""

from stages.core.artifacts.estimates import Estimate
from stages.core.scoring import interval
from stages.core.scoring.interval import DASH
from stages.report.facts import Facts
from stages.report.tables import Table, table
from stages.report.text import title


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
    heads = ("place", "", "n", "groups", f"{title(metric)} at home (test)", "elsewhere", "drop")
    cost = ("cost of compression at home", "elsewhere", "difference")
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


def _estimate(estimate: Estimate) -> str:
    return interval.text_or_reason(estimate, undefined="undefined")
