"""What a search found, and how it compares with the recipe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from flows.tune.training import Result
from stages.core.artifacts.estimates import Estimate
from stages.core.project.params import Options
from stages.core.scoring import interval
from stages.core.scoring.folds import corrected_interval
from stages.push import fleet

CONFIDENCE = 0.95
_FEW = 6  # trials, below which importances are noise


@dataclass(frozen=True)
class Tried:
    """A candidate.

    Attributes
    ----------
    number : int
    changes : dict
        What it changes in the recipe.
    values : tuple of float
        The metric on each part that it was tried on.
    state : {"complete", "pruned", "failed", "open"}
    """

    number: int
    changes: Options
    values: tuple[float, ...]
    state: str

    @property
    def mean(self) -> float:
        """Mean of the metric over the parts; NaN if it has none."""
        return sum(self.values) / len(self.values) if self.values else math.nan


@dataclass(frozen=True)
class Outcome:
    """All that a search found.

    Attributes
    ----------
    metric : str
    recipe : tuple of float
        The recipe's metric on each part.
    tried : tuple of Tried
    importance : dict[str, float]
        Parameter to its share of the variance; empty if there are too few trials.
    best : Tried or None
        Best candidate that was tried on all parts.
    gain : Estimate or None
        Its gain over the recipe in the comparison that chose nothing; None if it was not better on the parts.
    compared : tuple of Sequence of Result
        Results of recipe and best in that comparison, part by part.
    lacking_s : float
        Time that the comparison needs beyond the budget (seconds), if the best was better on the parts too late.
    n, groups : int
        Clips and groups of the training side.
    """

    metric: str
    recipe: tuple[float, ...]
    tried: tuple[Tried, ...]
    importance: Mapping[str, float]
    best: Tried | None
    gain: Estimate | None
    compared: tuple[Sequence[Result], Sequence[Result]]
    lacking_s: float
    n: int
    groups: int

    @property
    def recipe_tried(self) -> Tried:
        """The recipe, as a candidate that changes nothing."""
        return Tried(-1, {}, self.recipe, "complete")

    @property
    def beats(self) -> bool:
        """Whether the best candidate is shown to be better than the recipe."""
        return self.gain is not None and self.gain.low is not None and self.gain.low > 0


def gain_of(recipe: Sequence[Result], best: Sequence[Result]) -> Estimate:
    """Return the mean gain over parts with a 95 % interval, which counts that the trainings share clips.

    Parameters
    ----------
    recipe, best : sequence of Result
        Results of the same parts.

    Examples
    --------
    >>> one = [Result(0.8, 10, 1, 30, 1.0)] * 4
    >>> gain_of(one, one).value
    0.0
    """
    differences = np.array([ours.value - theirs.value for theirs, ours in zip(recipe, best, strict=True)])
    ratio = sum(result.n for result in recipe) / sum(result.n_train for result in recipe)
    low, high = corrected_interval(differences, test_to_train=ratio, confidence=CONFIDENCE)
    return Estimate(round(float(differences.mean()), 6), round(low, 6), round(high, 6))


def importance(trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, float]:
    """Return each parameter's share of the variance of the metric on the first part, on which all trials were tried.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial

    References
    ----------
    Hutter, Hoos, Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014 (fANOVA).
    """
    scored = [trial for trial in trials if 1 in trial.intermediate_values]
    if len(scored) < _FEW:
        return {}
    study = optuna.create_study(direction="maximize")
    for trial in scored:
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=trial.intermediate_values[1]
            )
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(share, 3) for name, share in found.items()}


def report(outcome: Outcome, *, minutes: float, most: int = 8) -> str:
    """Return an outcome as text for a terminal.

    Parameters
    ----------
    outcome : Outcome
    minutes : float
        Wall time of all trainings.
    most : int
        Candidates shown.
    """
    counts = {state: sum(each.state == state for each in outcome.tried) for state in ("complete", "pruned", "failed")}
    recipe = outcome.recipe_tried
    ranked = sorted((each for each in outcome.tried if each.values), key=lambda t: (-len(t.values), -t.mean))
    rows = [("recipe", f"{recipe.mean:.3f}", str(len(recipe.values)), "")]
    rows += [
        (str(each.number), f"{each.mean:.3f}", str(len(each.values)), _shown(each.changes)) for each in ranked[:most]
    ]
    lines = [
        f"{len(outcome.tried)} candidates in {minutes:.0f} minutes: {counts['complete']} on all {len(recipe.values)} "
        f"parts, {counts['pruned']} pruned, {counts['failed']} failed; {outcome.n} clips of {outcome.groups} groups, "
        "all of the training side",
        fleet.table(("candidate", outcome.metric, "parts", "what it changes in train"), rows),
        _mattered(outcome.importance),
        _verdict(outcome),
    ]
    return "\n".join(lines)


def _shown(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items())


def _mattered(shares: Mapping[str, float]) -> str:
    if not shares:
        return "Too few candidates to say what mattered."
    return "What mattered, by its share of the variance: " + ", ".join(f"{k} {v:.0%}" for k, v in shares.items())


def _verdict(outcome: Outcome) -> str:
    if outcome.best is None:
        return "No candidate was tried on all parts: the recipe stays. A larger --budget tries more."
    if outcome.gain is None:
        where = (
            f"candidate {outcome.best.number}, the best on all parts, has {outcome.best.mean:.3f} and the recipe "
            f"{outcome.recipe_tried.mean:.3f} there"
        )
        if outcome.lacking_s:
            more = math.ceil(outcome.lacking_s / 60)
            return (
                f"{where.capitalize()}, too late to compare them with all epochs: the recipe stays. Give --budget "
                f"{more} more minutes; no training is repeated."
            )
        return f"No candidate was better than the recipe: {where}. The recipe stays. A larger --budget tries more."
    theirs, ours = (sum(result.value for result in results) / len(results) for results in outcome.compared)
    found = f"candidate {outcome.best.number} has {ours:.3f} and the recipe {theirs:.3f}"
    gain = interval.text(outcome.gain, sign=True)
    where = f"With all epochs, other parts and another seed, {found}: {outcome.metric} {gain}"
    if outcome.beats:
        return f"{where}. It beats the recipe."
    return f"{where}. It is not shown to beat the recipe, which stays."
