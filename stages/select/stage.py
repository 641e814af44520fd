"""Compare the variants of a sweep, choose one by `stages.select.rules`, and write its release.

Everything is decided on the validation split. The test figures travel with the winner and decide nothing.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset, pull_report
from stages.core.artifacts import evaluation as evaluation_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.evaluation import EvaluatedVariant, Row, StreamResult
from stages.core.artifacts.naive import Naive
from stages.core.artifacts.selection import DataFacts, Drops, Measured, Refusal, Rule, Selection, VariantComparison
from stages.core.artifacts.split import SplitName
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import errors, files
from stages.core.project.errors import DataError
from stages.core.scoring.baseline import baseline
from stages.core.scoring.metrics import OF_THRESHOLD
from stages.core.scoring.thresholds import Threshold, crossfit_thresholds
from stages.runtime.drift import NAME as PROFILE
from stages.runtime.events import EventRule
from stages.select import compare, describe, golden, profile, rules
from stages.select.params import DETECTED, SIZES, SelectParams, device_of
from stages.select.standing import standing

_COMPARISON = ("name", *compare.COLUMNS)


def events_of(
    variant: Variant, streams: Sequence[StreamResult], labels: Sequence[str], *, rate: float | None = None
) -> EventRule | None:
    """Return the rule by which the windows of a release become events; None leaves it to the decision threshold.

    Parameters
    ----------
    variant : Variant
    streams : Sequence[StreamResult]
        Results on the variant's streams, one per target rate of false alarms.
    labels : Sequence[str]
    rate : float or None
        Target whose rule takes precedence; None is the first.
    """
    for result in streams:
        if rate is None or np.isclose(result.target, rate):
            if result.rule is not None:
                return result.rule
            break
    limits = variant.metrics["validation"].class_thresholds
    if limits is None:
        return None
    return EventRule({label: limit for label, limit in zip(labels, limits, strict=True) if 0 < limit <= 1})


@dataclass(frozen=True)
class Inputs:
    """Outputs of the stages before.

    Attributes
    ----------
    evaluation, sweep, features : Path
        Folders.
    report : Path
        ``pull_report.json``.
    naive : Naive or None
        Naive reference that a release is compared with.
    latencies : Mapping
        Variant to device to the latency measured there (ms).
    """

    evaluation: Path
    sweep: Path
    features: Path
    report: Path
    naive: Naive | None = None
    latencies: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """The chosen variants, and all that their releases need.

    Attributes
    ----------
    params : SelectParams
    inputs : Inputs
    table : list[Row]
        One row per variant.
    variants : tuple[Variant, ...]
        Every variant of the sweep.
    compared : Comparison
        Every variant against the baseline on validation.
    """

    params: SelectParams
    inputs: Inputs
    table: list[Row]
    variants: tuple[Variant, ...]
    compared: compare.Comparison

    @property
    def winner(self) -> Row:
        """Row of the variant chosen by `rules.choose`."""
        return self._smallest(SIZES[self.params.prefer])

    @property
    def others(self) -> list[tuple[str, Row, str]]:
        """Aliases beside the winner's, with the row of each and the column that it is smallest in."""
        columns = {"smallest": self.params.size, "fastest": SIZES["latency_ms"]}
        return [(alias, self._smallest(column), column) for alias, column in columns.items()]

    @cached_property
    def _sounds(self) -> profile.Sounds | None:
        return profile.sounds(self.inputs.features)

    def _smallest(self, column: str) -> Row:
        return rules.smallest(rules.eligible(self.table, self.params), column, self.params)

    def reason(self, row: Row, column: str = "") -> str:
        """Return in words why a row was chosen: it is the smallest in `column`, or in what the parameters prefer."""
        found = rules.reason(row, self.table, self.params, column or SIZES[self.params.prefer])
        chance = self.chance_of_worse(row)
        told = "" if chance is None else f"; that it truly lies further below has a chance of at least {chance:.0%}"
        return found + told

    def _evaluated(self, name: str) -> EvaluatedVariant:
        return next(each for each in evaluation_file.read(self.inputs.evaluation) if each.name == name)

    def chance_of_worse(self, row: Row) -> float | None:
        """Return how likely a row truly lies more than the margin below the best in the budget; None for streams."""
        if self.params.false_alarms_per_hour is not None:
            return None
        affordable = [each["name"] for each in rules.affordable(self.table, self.params)]
        return self.compared.chance_of_worse(row["name"], affordable, self.params.margin)

    def release(self, row: Row, target: Path, reason: str) -> tuple[Variant, Selection]:
        """Write the release of a variant into `target`; see `select`."""
        params, sweep, features = self.params, self.inputs.sweep, self.inputs.features
        variant = {v.name: v for v in self.variants}.get(row["name"])
        model = sweep / f"{row['name']}.tflite"
        if variant is None or not files.sha256(model) == variant.sha256 == row["sha256"]:
            raise DataError(f"{model} is not the file that {self.inputs.evaluation} speaks of. Run `dvc repro` again.")
        stored = sweep / "scores" / f"{variant.name}.npz"
        front, reference = rules.pareto_front(self.table, params), baseline(self.variants)
        pair = [variant] if variant.name == reference.name else [reference, variant]
        on_test = _compared(pair, "test", params, self.inputs)
        frontend, clips = (
            frontend_file.read(features),
            golden.choose(features, params.golden_recordings, stored),
        )
        drops, evaluated = self.compared.drops(), self._evaluated(variant.name)
        selection = Selection(
            variant=variant.file,
            registered_name=params.registered_name,
            labels=frontend.labels,
            threshold=variant.threshold,
            validation=variant.metrics["validation"],
            test=variant.metrics["test"],
            drop=Drops(drops[variant.name], on_test.drops()[variant.name]),
            data=DataFacts.of(pull_report.read(self.inputs.report)),
            measured=Measured(**{each.name: row[each.name] for each in fields(Measured) if each.name in row}),
            rule=Rule(
                metric=params.metric,
                margin=params.margin,
                confidence=params.sure,
                decided_by=rules.rule_of(self.table, params),
                chance_of_worse=self.chance_of_worse(row),
            ),
            reason=reason,
            n_variants=len(self.table),
            n_front=len(front),
            golden=tuple(clip.clip_id for clip in clips),
            golden_scores=golden.scores(clips, features, stored),
            rejection=variant.rejection,
            events=events_of(variant, evaluated.streams, frontend.labels, rate=params.false_alarms_per_hour),
            standing=standing(variant, reference, self.inputs.naive, params.metric) if self.inputs.naive else None,
            elsewhere=evaluated.elsewhere,
        )
        comparison = VariantComparison(front=tuple(each["name"] for each in front), drops=drops)
        with files.growing_folder(target, files.digest(asdict(selection))) as folder:
            shutil.copyfile(model, folder / "model.tflite")
            for name in ("frontend.tflite", "frontend.json"):
                shutil.copyfile(features / name, folder / name)
            golden.write(folder / "golden", clips, frontend)
            if self._sounds is not None:
                profile.write(folder / PROFILE, self._sounds, stored)
            widest = max(self.table, key=len)  # some variants have columns of their own
            files.write_csv(folder / "front.csv", list(widest), front)
            files.write_json(folder / "metrics.json", describe.headlines(selection, reference))
            files.write_csv(
                folder / "comparison.csv",
                _COMPARISON,
                [{c: r[c] for c in _COMPARISON} for r in sorted(self.table, key=lambda r: r["name"])],
            )
            selection_file.write_comparison(folder, comparison)
            selection_file.write(folder, selection)
        return variant, selection


def select(params: SelectParams, inputs: Inputs, target: Path) -> tuple[Variant, Selection]:
    """Choose a variant and write its release: `judge`, and `Choice.release` of the winner.

    Parameters
    ----------
    params : SelectParams
    inputs : Inputs
    target : Path
        Becomes a folder of `model.tflite`, `frontend.tflite`, `frontend.json`, `golden/*.wav`, `selection.json` and
        `comparison.json` (every variant against the float32 baseline on validation): a release can be built from it
        alone. `front.csv` and `comparison.csv` are exports for people.

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
    choice = judge(params, inputs)
    return choice.release(choice.winner, target, choice.reason(choice.winner))


def judge(params: SelectParams, inputs: Inputs) -> Choice:
    """Compare all variants and choose, without writing anything; parameters and errors as of `select`."""
    evaluated = evaluation_file.read(inputs.evaluation)
    table = [each.row() for each in evaluated]
    if params.false_alarms_per_hour is not None:
        for row, each in zip(table, evaluated, strict=True):
            row[DETECTED] = _detected(each, params.false_alarms_per_hour)
    for limit in filter(device_of, params.budget):
        for row in table:
            row[limit] = inputs.latencies.get(row["name"], {}).get(device_of(limit))
    variants = tuple(read_variants(inputs.sweep / "variants.json"))
    compared = _compared(variants, "validation", params, inputs)
    drops = compared.drops()
    for row in table:
        row.update(asdict(drops[row["name"]]) if row["name"] in drops else dict.fromkeys(compare.COLUMNS))
    rules.eligible(table, params)
    return Choice(params, inputs, table, variants, compared)


def _detected(evaluated: EvaluatedVariant, rate: float) -> float | None:
    """Return the fraction of events detected in the validation stream at a rate; None where no rule keeps within it.

    Raises
    ------
    DataError
        If the streams were not measured at this rate.
    """
    found = [result for result in evaluated.streams if np.isclose(result.target, rate)]
    if not found:
        rates = ", ".join(f"{result.target:g}" for result in evaluated.streams) or "none"
        raise DataError(
            f"select.false_alarms_per_hour must be among evaluate.stream.false_alarms_per_hour; got {rate:g}, "
            f"measured: {rates}. Add it there, with minutes above 0."
        )
    figures = found[0].figures.get("validation")
    missed = None if figures is None else figures.misses.value
    return None if missed is None else round(1 - missed, 6)


def _compared(variants: Sequence[Variant], side: SplitName, params: SelectParams, inputs: Inputs) -> compare.Comparison:
    """Compare variants by the scores that the sweep has kept."""
    scores, truth = {}, dataset.read_labels(inputs.features, side)
    thresholds: dict[str, Threshold | None] = {}
    for variant in variants:
        with np.load(inputs.sweep / "scores" / f"{variant.name}.npz") as stored:
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
        bootstrap=compare.Bootstrap(params.sure),
    )


REFUSED_NEXT = (
    "`dvc repro` writes models/report.html, where every variant stands with what it misses, and stops before the "
    "devices. Change select.budget, or the sweep."
)


def refuse(params: SelectParams, refused: rules.RefusedError, target: Path) -> None:
    """Write and say why no variant is chosen: a result, from which the report is made; the stage `push` fails on it.

    Parameters
    ----------
    params : SelectParams
    refused : RefusedError
        Raised by `judge`.
    target : Path
        Becomes a folder of ``refusal.json``.
    """
    why = Refusal(params.registered_name, params.metric, str(refused), refused.misses)
    with files.growing_folder(target, files.digest(asdict(why))) as folder:
        selection_file.write_refusal(folder, why)
    errors.warning(why.sentence)
    errors.warning(REFUSED_NEXT)
