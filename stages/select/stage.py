"""Which variant goes to the devices: the smallest in the budget that is nearly as good as the best there.

Everything is decided on the validation split. The test figures travel with the winner and decide nothing.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stages.core.artifacts import dataset, pull_report
from stages.core.artifacts import evaluation as evaluation_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.evaluation import Row, StreamResult
from stages.core.artifacts.naive import Naive
from stages.core.artifacts.selection import DataFacts, Drop, Drops, Measured, Rule, Selection, VariantComparison
from stages.core.artifacts.split import SplitName
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import files
from stages.core.project.errors import DataError, EdacError
from stages.core.scoring import pareto
from stages.core.scoring.baseline import baseline
from stages.core.scoring.metrics import OF_THRESHOLD
from stages.core.scoring.thresholds import Threshold, crossfit_thresholds
from stages.runtime.events import EventRule
from stages.select import compare, golden
from stages.select.params import SIZES, SelectParams, device_of
from stages.select.standing import standing

_COMPARISON = ("name", *compare.COLUMNS)
_ROUNDING = 1e-9  # the figures have six decimals

SHOWN, ESTIMATES = "shown not to be inferior", "estimates as they came out"
"""The rules of `eligible`: by bounds of the drop, or by the validation figures alone."""


def choose(table: Sequence[Row], params: SelectParams) -> Row:
    """Return the winner's row.

    Of the variants that keep within the budget and whose validation metric is at most `params.margin` below the best
    of them, it is the one with the smallest `params.prefer`; of equals the one with the higher metric, then the first
    by name. With `params.confidence`, only variants shown not to be inferior to the baseline are considered.

    Parameters
    ----------
    table : Sequence[dict]
        Rows of `stages.core.artifacts.evaluation`, joined with `stages.select.compare.drops` for `params.confidence`.
    params : SelectParams

    Raises
    ------
    EdacError
        If no variant keeps within the budget; names the closest and by how much it misses. If none that does is shown
        not to be inferior.
    """
    return _smallest(eligible(table, params), SIZES[params.prefer], params)


def eligible(table: Sequence[Row], params: SelectParams) -> list[Row]:
    """Return the rows that `choose` takes the smallest of; raises as that does."""
    metric, affordable = f"validation_{params.metric}", _affordable(table, params)
    if rule_of(table, params) == ESTIMATES:
        candidates = affordable
    else:
        candidates = [row for row in affordable if _not_inferior(row, params)]
    if not candidates:
        raise _nothing_is_shown(affordable, params)
    floor = max(row[metric] for row in affordable) - params.margin
    return [row for row in candidates if row[metric] >= floor - _ROUNDING] or candidates


def rule_of(table: Sequence[Row], params: SelectParams) -> str:
    """Return the rule that `eligible` follows: `SHOWN` or `ESTIMATES`.

    With `params.confidence` "auto", `SHOWN` needs a variant in the budget, other than the baseline, that is shown not
    to be inferior.
    """
    if params.confidence != "auto":
        return ESTIMATES if params.confidence is None else SHOWN
    bounds = [row.get("drop_bound") for row in _affordable(table, params) if _not_inferior(row, params)]
    return SHOWN if any(bounds) else ESTIMATES  # a bound of 0 is the baseline's alone


def _affordable(table: Sequence[Row], params: SelectParams) -> list[Row]:
    judged = [row for row in table if row[f"validation_{params.metric}"] is not None]
    if not judged:
        raise DataError(
            f"No variant has a validation_{params.metric}. The validation split must hold every class; run "
            "`dvc repro split`."
        )
    affordable = [row for row in judged if not excess(row, params.budget)]
    if not affordable:
        raise _nothing_fits(judged, params.budget)
    return affordable


def _smallest(rows: Sequence[Row], column: str, params: SelectParams) -> Row:
    return min(rows, key=lambda row: (row[column], -row[f"validation_{params.metric}"], row["name"]))


def pareto_front(table: Sequence[Row], params: SelectParams) -> list[Row]:
    """Return the Pareto front of bytes, validation metric and latency, smallest first.

    Parameters
    ----------
    table : Sequence[dict]
    params : SelectParams
        The bytes are those it prefers, those sent if it prefers latency.
    """
    metric = f"validation_{params.metric}"
    bytes_column = params.size
    judged = sorted((row for row in table if row[metric] is not None), key=lambda row: str(row["name"]))
    front = pareto.pareto_front(judged, lambda row: (row[bytes_column], -row[metric], row[SIZES["latency_ms"]]))
    return sorted(front, key=lambda row: (row[bytes_column], row["name"]))


def events_of(variant: Variant, streams: Sequence[StreamResult], labels: Sequence[str]) -> EventRule | None:
    """Return the rule by which the windows of a release become events; None leaves it to the decision threshold.

    Parameters
    ----------
    variant : Variant
    streams : Sequence[StreamResult]
        Of the variant; the first one's rule goes first.
    labels : Sequence[str]
    """
    if streams and streams[0].rule is not None:
        return streams[0].rule
    limits = variant.metrics["validation"].class_thresholds
    if limits is None:
        return None
    return EventRule({label: limit for label, limit in zip(labels, limits, strict=True) if 0 < limit <= 1})


@dataclass(frozen=True)
class Choice:
    """What was chosen, and how to make a release of it.

    Attributes
    ----------
    variants : tuple[Variant, ...]
        All of the sweep.
    winner, smallest, fastest : Row
        The winner by `choose`, and of the same rows the one of fewest bytes and the one of lowest latency.
    naive : Naive or None
        What a release is compared with besides.
    """

    params: SelectParams
    table: list[Row]
    variants: tuple[Variant, ...]
    compared: compare.Comparison
    _: KW_ONLY
    winner: Row
    smallest: Row
    fastest: Row
    evaluation: Path
    sweep: Path
    features: Path
    report: Path
    naive: Naive | None = None

    @property
    def others(self) -> list[tuple[str, Row, str]]:
        """Aliases beside the winner's, with the row of each and the column that it is smallest in."""
        return [("smallest", self.smallest, self.params.size), ("fastest", self.fastest, SIZES["latency_ms"])]

    def reason(self, row: Row, column: str = "") -> str:
        """Say why a row was chosen: it is the smallest in `column`, or in what the params prefer."""
        found = _reason(row, self.table, self.params, column or SIZES[self.params.prefer])
        chance = self.chance_of_worse(row)
        return found if chance is None else f"{found}; the chance that it truly is not is at least {chance:.0%}"

    def _streams(self, name: str) -> tuple[StreamResult, ...]:
        return next((e.streams for e in evaluation_file.read(self.evaluation) if e.name == name), ())

    def chance_of_worse(self, row: Row) -> float | None:
        """Return how likely a row truly lies more than the margin below the best in the budget."""
        affordable = [each["name"] for each in _affordable(self.table, self.params)]
        return self.compared.chance_of_worse(row["name"], affordable, self.params.margin)

    def release(self, row: Row, target: Path, reason: str) -> tuple[Variant, Selection]:
        """Put together all that a release needs of a variant; see `select`."""
        params, sweep, features = self.params, self.sweep, self.features
        variant = {v.name: v for v in self.variants}.get(row["name"])
        model = sweep / f"{row['name']}.tflite"
        if variant is None or not files.sha256(model) == variant.sha256 == row["sha256"]:
            raise DataError(f"{model} is not the file that {self.evaluation} speaks of. Run `dvc repro` again.")
        front, reference = pareto_front(self.table, params), baseline(self.variants)
        pair = [variant] if variant.name == reference.name else [reference, variant]
        on_test = _compared(pair, "test", params, sweep=sweep, features=features)
        frontend, clips = (
            frontend_file.read(features),
            golden.choose(features, params.golden_recordings, sweep / "scores" / f"{variant.name}.npz"),
        )
        drops = self.compared.drops()
        selection = Selection(
            variant=variant.file,
            registered_name=params.registered_name,
            labels=frontend.labels,
            threshold=variant.threshold,
            validation=variant.metrics["validation"],
            test=variant.metrics["test"],
            drop=Drops(Drop(**drops[variant.name]), Drop(**on_test.drops()[variant.name])),
            data=DataFacts.of(pull_report.read(self.report)),
            measured=Measured(**{each.name: row[each.name] for each in fields(Measured)}),
            rule=Rule(
                metric=params.metric,
                margin=params.margin,
                confidence=params.sure,
                decided_by=rule_of(self.table, params),
                chance_of_worse=self.chance_of_worse(row),
            ),
            reason=reason,
            n_variants=len(self.table),
            n_front=len(front),
            golden=tuple(clip.clip_id for clip in clips),
            golden_scores=golden.scores(clips, features, sweep / "scores" / f"{variant.name}.npz"),
            rejection=variant.rejection,
            events=events_of(variant, self._streams(variant.name), frontend.labels),
            standing=standing(variant, reference, self.naive, params.metric) if self.naive else None,
        )
        comparison = VariantComparison(
            front=tuple(each["name"] for each in front), drops={name: Drop(**drop) for name, drop in drops.items()}
        )
        with files.growing_folder(target, files.digest(asdict(selection))) as folder:
            shutil.copyfile(model, folder / "model.tflite")
            for name in ("frontend.tflite", "frontend.json"):
                shutil.copyfile(features / name, folder / name)
            golden.write(folder / "golden", clips, frontend)
            files.write_csv(folder / "front.csv", list(self.table[0]), front)
            files.write_csv(
                folder / "comparison.csv",
                _COMPARISON,
                [{c: r[c] for c in _COMPARISON} for r in sorted(self.table, key=lambda r: r["name"])],
            )
            selection_file.write_comparison(folder, comparison)
            selection_file.write(folder, selection)
        return variant, selection


def select(
    params: SelectParams,
    *,
    evaluation: Path,
    sweep: Path,
    features: Path,
    report: Path,
    target: Path,
    latencies: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> tuple[Variant, Selection]:
    """Choose a variant and put together all that a release needs of it: `judge`, and `Choice.release` of the winner.

    Parameters
    ----------
    params : SelectParams
    evaluation, sweep, features : Path
        Folders of the stages before.
    report : Path
        ``pull_report.json``.
    target : Path
        Becomes a folder of `model.tflite`, `frontend.tflite`, `frontend.json`, `golden/*.wav`, `selection.json` and
        `comparison.json` (every variant against the float32 baseline on validation): a release can be built from it
        alone. `front.csv` and `comparison.csv` are exports for people.
    latencies : Mapping
        Variant to device to what was measured there, ms.

    Returns
    -------
    variant : Variant
    selection : Selection

    Raises
    ------
    EdacError
        If no variant keeps within the budget.
    DataError
        If the folders do not belong together, or a golden recording cannot be decoded.
    """
    places = {"evaluation": evaluation, "sweep": sweep, "features": features, "report": report}
    choice = judge(params, **places, latencies=latencies)
    return choice.release(choice.winner, target, choice.reason(choice.winner))


def judge(
    params: SelectParams,
    *,
    evaluation: Path,
    sweep: Path,
    features: Path,
    report: Path,
    latencies: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> Choice:
    """Compare all variants and choose; as `select`, but nothing is written."""
    table = [each.row() for each in evaluation_file.read(evaluation)]
    for limit in filter(device_of, params.budget):
        for row in table:
            row[limit] = latencies.get(row["name"], {}).get(device_of(limit))
    variants = tuple(read_variants(sweep / "variants.json"))
    compared = _compared(variants, "validation", params, sweep=sweep, features=features)
    drops = compared.drops()
    for row in table:
        row.update(drops.get(row["name"]) or dict.fromkeys(compare.COLUMNS))
    rows = eligible(table, params)
    columns = {"winner": SIZES[params.prefer], "smallest": params.size, "fastest": SIZES["latency_ms"]}
    chosen: dict[str, Any] = {name: _smallest(rows, column, params) for name, column in columns.items()}
    return Choice(
        params,
        table,
        variants,
        compared,
        **chosen,
        evaluation=evaluation,
        sweep=sweep,
        features=features,
        report=report,
    )


def _compared(
    variants: Sequence[Variant], side: SplitName, params: SelectParams, *, sweep: Path, features: Path
) -> compare.Comparison:
    """Compare variants by the scores that the sweep has kept."""
    scores, truth = {}, dataset.read_labels(features, side)
    thresholds: dict[str, Threshold | None] = {}
    for variant in variants:
        with np.load(sweep / "scores" / f"{variant.name}.npz") as stored:
            scores[variant.name] = stored[side].astype(np.float64)
        given = thresholds[variant.name] = variant.threshold
        if side == "validation" and given is not None and params.metric in OF_THRESHOLD:
            rule = variant.metrics[side].rule
            apart = crossfit_thresholds(truth.y, scores[variant.name], truth.groups, rule)
            thresholds[variant.name] = given if apart is None else apart
    return compare.measure(
        params.metric,
        scores,
        baseline(variants).name,
        truth,
        thresholds=thresholds,
        confidence=params.sure,
    )


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


def _nothing_is_shown(affordable: Sequence[Row], params: SelectParams) -> EdacError:
    closest = min(affordable, key=lambda row: float("inf") if row["drop_bound"] is None else row["drop_bound"])
    return EdacError(
        f"None of the {len(affordable)} variants in the budget is shown to lie at most select.margin {params.margin:g} "
        f"below the baseline's validation {params.metric} with select.confidence {params.confidence}; the closest, "
        f"{closest['name']}, may lie {closest['drop_bound']} below. Allow a wider margin, get more validation "
        "recordings, or set select.confidence: null."
    )


def _nothing_fits(table: Sequence[Row], budget: Mapping[str, float]) -> EdacError:
    closest = min(table, key=lambda row: (max(excess(row, budget).values()), row["name"]))
    limits = ", ".join(f"{name} {'at most' if _is_cost(name) else 'at least'} {budget[name]:.12g}" for name in budget)
    misses = " and ".join(
        f"has {name} {_figure(closest, name)}, {over:.1%} {'over' if _is_cost(name) else 'under'}"
        for name, over in excess(closest, budget).items()
    )
    return EdacError(
        f"None of the {len(table)} variants keeps within select.budget ({limits}); the closest, {closest['name']}, "
        f"{misses}. Widen the budget, or add sparsities or schemes to the sweep."
    )


def _reason(row: Row, table: Sequence[Row], params: SelectParams, column: str) -> str:
    metric = f"validation_{params.metric}"
    affordable = _affordable(table, params)
    best = max(r[metric] for r in affordable)
    unmeasured = ", ".join(device_of(limit) for limit in params.budget if device_of(limit) and row[limit] is None)
    which = (
        f"whose validation {params.metric} is within {params.margin:g} of their best ({best:.6f}): {row[metric]:.6f}"
    )
    if rule_of(table, params) == SHOWN:
        which += f", and shown with {params.sure:.0%} confidence to lie at most {params.margin:g} below the baseline's"
    else:
        which += ", by the estimates as they came out"
    return (
        f"smallest {column} ({row[column]}) of the {len(affordable)} of {len(table)} variants in the budget "
        f"{which}{f'; not measured yet on {unmeasured}' if unmeasured else ''}"
    )
