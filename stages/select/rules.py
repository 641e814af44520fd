"""Rules that choose a variant: the smallest in the budget that is nearly as good as the best in the budget.

A table has one row per variant (`stages.core.artifacts.evaluation`), joined with its drop below the baseline
(`stages.select.compare`). Only validation figures are read.
"""

from collections.abc import Mapping, Sequence

from stages.core.artifacts.evaluation import Row
from stages.core.project.errors import DataError, EdacError
from stages.core.scoring import pareto
from stages.select.params import SIZES, SelectParams, device_of

_ROUNDING = 1e-9  # the figures have six decimals

SHOWN, ESTIMATES = "shown not to be inferior", "estimates as they came out"
"""The rules of `eligible`: by bounds of the drop, or by the validation figures alone."""


LATENCY_TOLERANCE = 0.05
"""Fraction by which two latencies may differ and count as equal, as do those of one file that is measured twice."""


class RefusedError(EdacError):
    """No variant may be chosen; `misses` says of each variant what it misses."""

    def __init__(self, message: str, misses: dict[str, str]) -> None:
        super().__init__(message)
        self.misses = misses


def choose(table: Sequence[Row], params: SelectParams) -> Row:
    """Return the winner's row.

    The winner has the smallest `params.prefer` among the variants that keep within the budget and whose validation
    metric, or share of detected events, is at most `params.margin` below the best in the budget. Among equals it is
    the one with the higher metric, then the first by name. With `params.confidence`, only variants shown not to be
    inferior to the baseline count.

    Parameters
    ----------
    table : Sequence[dict]
        Rows of `stages.core.artifacts.evaluation`, joined with `stages.select.compare.drops` for `params.confidence`.
    params : SelectParams

    Raises
    ------
    RefusedError
        If no variant keeps within the budget; names the closest and by how much it misses. If none that does is shown
        not to be inferior.
    """
    return smallest(eligible(table, params), SIZES[params.prefer], params)


def eligible(table: Sequence[Row], params: SelectParams) -> list[Row]:
    """Return the rows among which `choose` takes the smallest; errors as of `choose`."""
    metric, in_budget = params.quality, affordable(table, params)
    if rule_of(table, params) == ESTIMATES:
        candidates = in_budget
    else:
        candidates = [row for row in in_budget if _not_inferior(row, params)]
    if not candidates:
        raise _nothing_is_shown(in_budget, params)
    floor = max(row[metric] for row in in_budget) - params.margin
    return [row for row in candidates if row[metric] >= floor - _ROUNDING] or candidates


def rule_of(table: Sequence[Row], params: SelectParams) -> str:
    """Return the rule that `eligible` follows: `SHOWN` or `ESTIMATES`.

    With `params.confidence` "auto", `SHOWN` needs a variant in the budget, other than the baseline, that is shown not
    to be inferior.
    """
    if params.false_alarms_per_hour is not None:
        return ESTIMATES
    if params.confidence != "auto":
        return ESTIMATES if params.confidence is None else SHOWN
    bounds = [row.get("drop_bound") for row in affordable(table, params) if _not_inferior(row, params)]
    return SHOWN if any(bounds) else ESTIMATES  # a bound of 0 is the baseline's alone


def affordable(table: Sequence[Row], params: SelectParams) -> list[Row]:
    """Return the rows that have what variants are ranked by and keep within the budget.

    Raises
    ------
    DataError
        If no variant has it.
    RefusedError
        If no variant keeps within the budget.
    """
    judged = [row for row in table if row[params.quality] is not None]
    if not judged and params.false_alarms_per_hour is not None:
        raise DataError(
            f"No variant has an event rule for select.false_alarms_per_hour {params.false_alarms_per_hour:g}; "
            "models/evaluation/evaluation.json says why. Lengthen evaluate.stream.minutes, or allow more false alarms."
        )
    if not judged:
        raise DataError(
            f"No variant has a validation_{params.metric}. The validation split must hold every class; run "
            "`dvc repro split`."
        )
    found = [row for row in judged if not excess(row, params.budget)]
    if not found:
        raise _nothing_fits(judged, params.budget)
    return found


def smallest(rows: Sequence[Row], column: str, params: SelectParams) -> Row:
    """Return the row smallest in a column; among equals the one with the higher metric, then the first by name."""
    return min(rows, key=lambda row: (row[column], -row[params.quality], row["name"]))


def pareto_front(table: Sequence[Row], params: SelectParams) -> list[Row]:
    """Return the Pareto front of bytes, validation metric and latency, smallest first.

    Parameters
    ----------
    table : Sequence[dict]
    params : SelectParams
        The bytes are those it prefers, those sent if it prefers latency.
    """
    metric = params.quality
    bytes_column = params.size
    judged = sorted((row for row in table if row[metric] is not None), key=lambda row: str(row["name"]))
    front = pareto.pareto_front(
        judged,
        lambda row: (row[bytes_column], -row[metric], row[SIZES["latency_ms"]]),
        tolerances=(0.0, 0.0, LATENCY_TOLERANCE),
    )
    return sorted(front, key=lambda row: (row[bytes_column], row["name"]))


def excess(row: Row, budget: Mapping[str, float]) -> dict[str, float]:
    """Return by how much a variant breaks each limit of the budget, as a fraction of the limit; {} if it keeps it."""
    found = {}
    for name, limit in budget.items():
        value = _figure(row, name)
        if value is None and device_of(name):
            continue  # not measured there yet, which the reason tells
        over = float("inf") if value is None else (value - limit if _is_cost(name) else limit - value)
        if over > 0:
            found[name] = over / limit if limit else over
    return found


def _figure(row: Row, name: str) -> float | None:
    return row.get(SIZES.get(name, name if device_of(name) else f"validation_{name}"))


def _is_cost(name: str) -> bool:
    return name in SIZES or name == "calibration_error" or device_of(name) != ""


def _not_inferior(row: Row, params: SelectParams) -> bool:
    bound = row.get("drop_bound")
    return bound is not None and bound <= params.margin + _ROUNDING


def _nothing_is_shown(in_budget: Sequence[Row], params: SelectParams) -> RefusedError:
    closest = min(in_budget, key=lambda row: float("inf") if row["drop_bound"] is None else row["drop_bound"])
    return RefusedError(
        f"None of the {len(in_budget)} variants in the budget is shown to lie at most select.margin {params.margin:g} "
        f"below the baseline's validation {params.metric} with select.confidence {params.confidence}; the closest, "
        f"{closest['name']}, may lie {closest['drop_bound']} below. Allow a wider margin, get more validation "
        "recordings, or set select.confidence: null.",
        {row["name"]: f"may lie {row['drop_bound']} below the baseline" for row in in_budget},
    )


def _nothing_fits(table: Sequence[Row], budget: Mapping[str, float]) -> RefusedError:
    closest = min(table, key=lambda row: (max(excess(row, budget).values()), row["name"]))
    limits = ", ".join(f"{name} {'at most' if _is_cost(name) else 'at least'} {budget[name]:.12g}" for name in budget)

    def missed(row: Row) -> str:
        return " and ".join(
            f"has no {name}"
            if _figure(row, name) is None
            else f"has {name} {_figure(row, name)}, {over:.1%} {'over' if _is_cost(name) else 'under'}"
            for name, over in excess(row, budget).items()
        )

    advice = "Widen the budget, or add sparsities or schemes to the sweep."
    if "arena_bytes" in budget and all(row.get("arena_bytes") is None for row in table):
        advice = (
            "No file has run in TensorFlow Lite Micro: install the extra `micro`, add an 8-bit scheme to the sweep, "
            "and run `dvc repro --force --single-item evaluate`."
        )
    return RefusedError(
        f"None of the {len(table)} variants keeps within select.budget ({limits}); the closest, {closest['name']}, "
        f"{missed(closest)}. {advice}",
        {row["name"]: missed(row) for row in table},
    )


def reason(row: Row, table: Sequence[Row], params: SelectParams, column: str) -> str:
    """Return in words why a row was chosen: it is the smallest in `column` among the eligible."""
    metric = params.quality
    in_budget = affordable(table, params)
    best = max(r[metric] for r in in_budget)
    unmeasured = ", ".join(device_of(limit) for limit in params.budget if device_of(limit) and row[limit] is None)
    value = f"{row[column]:,}" if isinstance(row[column], int) else f"{row[column]:.4g}"
    shown = (
        f"shown with {params.sure:.0%} confidence to lie at most {params.margin:g} below the baseline's"
        if rule_of(table, params) == SHOWN
        else "by the estimates as they came out"
    )
    return (
        f"{column} of {value}, the least among the variants within select.budget ({len(in_budget)} of {len(table)}) "
        f"whose {params.quality_in_words} is at most {params.margin:g} below their best: {row[metric]:.6f} (best "
        f"{best:.6f}), {shown}{f'; not measured yet on {unmeasured}' if unmeasured else ''}"
    )
