"""Successive halving over candidates, a part of the groups at a time, by Optuna.

Each candidate is trained with one part of the training side's groups held out. Those in the better half go on to a
second part, the better half of these to a fourth; the others are pruned. The recipe is the first of them. If a
candidate was better than it on all parts, both are trained anew at the end, with all epochs, other parts and another
seed, so that the figures which compare them are not those that chose. A killed search resumes.

References
----------
Jamieson, Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import optuna
from tqdm import tqdm

from flows.execution.executor import Executor, Job
from flows.tune import outcome
from flows.tune.outcome import Outcome, Tried
from flows.tune.params import TuneParams
from flows.tune.space import Space, changes
from flows.tune.training import RESULT, Result, Spec
from stages.core.artifacts.estimates import Estimate
from stages.core.project import files, params
from stages.core.project.errors import EdacError, ParameterError
from stages.core.project.progress import track
from stages.train.params import TrainParams

_TRAIN, _RECIPE = "train", "recipe"  # user attributes of trials: the candidate; whether it is the recipe
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


class Search:
    """A search that is under way.

    Parameters
    ----------
    tune : TuneParams
    space : Space
    base : Spec
        The recipe's training; part, seed and parameters are replaced.
    data : str
        Digest of the features.
    """

    def __init__(self, tune: TuneParams, space: Space, base: Spec, data: str) -> None:
        self.tune, self.space, self.base, self.data = tune, space, base, data
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        tune.folder.mkdir(parents=True, exist_ok=True)
        self.study = optuna.create_study(
            storage=f"sqlite:///{(tune.folder / 'study.db').absolute()}",
            study_name=files.digest(base.key(data), asdict(space), tune.parts, tune.share, tune.seed)[:16],
            direction="maximize",
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
            load_if_exists=True,
        )
        self.trainings = (tune.folder / "trainings" / self.study.study_name).absolute()
        self._seconds = {
            path.parents[1].name: _read(path.parent).seconds for path in self.trainings.glob(f"*/done/{RESULT}")
        }
        begun = len(self.study.get_trials(deepcopy=False))  # a resumed search must not draw its first candidates again
        self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=8, seed=tune.seed + begun)

    def run(self, executor: Executor) -> Outcome:
        """Search until the budget is used up; call it inside `executor.in_flow`.

        Raises
        ------
        ParameterError
            If the budget is too small for the recipe and one comparison.
        EdacError
            If the recipe cannot be trained.
        """
        recipe = self._results([self._spec(self.space.recipe, part) for part in self._parts], executor)
        unit = sum(result.seconds for result in recipe) / len(recipe)
        whole = sum(result.lasting(self.tune.share) for result in recipe) / len(recipe)
        reserve = 2 * self.tune.parts * whole / executor.workers
        least = self.spent(executor) + reserve + unit
        if least > self.tune.budget_s:
            raise ParameterError(
                f"--budget must be at least {math.ceil(least / 60)} minutes here: a training takes {unit:.0f} s of "
                f"them, and the comparison with the recipe needs {2 * self.tune.parts} with all epochs, of "
                f"{whole:.0f} s. Raise it, or lower --parts."
            )
        values = tuple(result.value for result in recipe)
        self._tell_recipe(values)
        level, lacking = sum(values) / len(values), 0.0
        self._search(executor, until=self.tune.budget_s - reserve - unit)
        best = self._best
        if best is None or best.mean <= level:  # there is nothing to compare yet
            self._search(executor, until=self.tune.budget_s - unit)
            best = self._best
            if best is not None and best.mean > level:
                lacking = max(0.0, self.spent(executor) + reserve - self.tune.budget_s)
        gain: Estimate | None = None
        compared: tuple[Sequence[Result], Sequence[Result]] = ((), ())
        if best is not None and best.mean > level and not lacking:
            compared = self._compare(self.candidate(best.number), executor)
            gain = outcome.gain_of(*compared)
        return Outcome(
            metric=self.base.metric,
            recipe=values,
            tried=self._tried(),
            importance=outcome.importance(self.study.get_trials(deepcopy=False)),
            best=best,
            gain=gain,
            compared=compared,
            lacking_s=lacking,
            n=recipe[0].n + recipe[0].n_train,
            groups=sum(result.groups for result in recipe),
        )

    def spent(self, executor: Executor) -> float:
        """Return the wall time of the trainings so far (seconds), as if workers were never idle."""
        return sum(self._seconds.values()) / executor.workers

    def candidate(self, number: int) -> TrainParams:
        """Return the parameters of a trial."""
        stored = self.study.get_trials(deepcopy=False)[number].user_attrs[_TRAIN]
        return params.load(TrainParams, stored, "train")

    @property
    def _best(self) -> Tried | None:
        complete = [each for each in self._tried() if each.state == "complete"]
        return max(complete, key=lambda each: each.mean, default=None)

    @property
    def _parts(self) -> range:
        return range(self.tune.parts)

    def _tell_recipe(self, values: Sequence[float]) -> None:
        """Make the recipe the first trial, so that candidates are halved against it and the sampler knows it."""
        known = [trial for trial in self.study.get_trials() if _RECIPE in trial.user_attrs]
        asked = self.space.of_recipe()
        if asked is None or (known and known[0].state.is_finished()):
            return
        if not known:
            self.study.enqueue_trial(asked, user_attrs={_RECIPE: True})
        begun = [trial for trial in known if trial.state == optuna.trial.TrialState.RUNNING]
        trial = optuna.Trial(self.study, begun[0]._trial_id) if begun else self.study.ask()
        self.space.suggest(trial)
        reported = begun[0].intermediate_values if begun else {}
        means = [sum(values[:part]) / part for part in range(1, len(values) + 1)]
        for part, mean in enumerate(means, start=1):
            if part not in reported:
                trial.report(mean, part)
            trial.should_prune()  # enters it among those that are halved
        self.study.tell(trial, means[-1])

    def _search(self, executor: Executor, *, until: float) -> None:
        running = [trial for trial in self.study.get_trials() if trial.state == optuna.trial.TrialState.RUNNING]
        active = [optuna.Trial(self.study, trial._trial_id) for trial in running if _TRAIN in trial.user_attrs]
        bar: tqdm[None] = track((), "tune", total=round(until))
        while self.spent(executor) < until:
            while len(active) < max(2, executor.workers) and self._may_ask:
                active.append(self._asked())
            if not active:
                break
            active = list(self._advanced(active, executor))
            bar.n = min(round(self.spent(executor)), round(until))
            states = [trial.state.name for trial in self._candidates]
            bar.set_postfix(candidates=len(states), pruned=states.count("PRUNED"), complete=states.count("COMPLETE"))
        bar.close()

    @property
    def _may_ask(self) -> bool:
        most = self.tune.candidates
        return most is None or len(self._candidates) < most

    @property
    def _candidates(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if _RECIPE not in trial.user_attrs]

    def _asked(self) -> optuna.Trial:
        trial = self.study.ask()
        trial.set_user_attr(_TRAIN, asdict(self.space.suggest(trial)))
        return trial

    def _advanced(self, trials: Sequence[optuna.Trial], executor: Executor) -> Iterator[optuna.Trial]:
        """Train each candidate on its next part; yield those that go on."""
        known = self.study.get_trials(deepcopy=False)
        done = [len(known[trial.number].intermediate_values) for trial in trials]
        specs = [self._spec(self.candidate(t.number), part) for t, part in zip(trials, done, strict=True)]
        for trial, part, found in zip(trials, done, self._attempted(specs, executor), strict=True):
            if isinstance(found, str):
                trial.set_user_attr("failure", found)
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            values = [*known[trial.number].user_attrs.get("values", ()), found.value]
            trial.set_user_attr("values", values)
            mean = sum(values) / len(values)
            trial.report(mean, part + 1)
            if part + 1 == self.tune.parts:
                self.study.tell(trial, mean)
            elif trial.should_prune():
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                yield trial

    def _compare(self, best: TrainParams, executor: Executor) -> tuple[Sequence[Result], Sequence[Result]]:
        """Train recipe and best candidate with all epochs, on parts and from a seed that chose nothing."""
        both = [replace(train, seed=train.seed + 1, patience=None) for train in (self.space.recipe, best)]
        specs = [
            replace(self.base, train=train, part=part, seed=self.base.seed + 1)
            for train in both
            for part in self._parts
        ]
        found = self._results(specs, executor)
        return found[: self.tune.parts], found[self.tune.parts :]

    def _spec(self, train: TrainParams, part: int) -> Spec:
        short = replace(train, epochs=max(1, round(train.epochs * self.tune.share)), patience=None)
        return replace(self.base, train=short, part=part)

    def _results(self, specs: Sequence[Spec], executor: Executor) -> list[Result]:
        found = []
        for spec, result in zip(specs, self._attempted(specs, executor), strict=True):
            if isinstance(result, str):
                raise EdacError(f"part {spec.part + 1} cannot be trained: {result}")
            found.append(result)
        return found

    def _attempted(self, specs: Sequence[Spec], executor: Executor) -> list[Result | str]:
        """Return the result of each training, or why it failed; those that are finished already are not repeated."""
        keys = [spec.key(self.data) for spec in specs]
        missing = {key: spec for key, spec in zip(keys, specs, strict=True) if not self._done(key).is_dir()}
        failures: dict[str, str] = {}
        for job, failure in executor.run([self._job(key, spec) for key, spec in missing.items()]):
            if failure is not None:
                failures[job.key] = failure
        found: list[Result | str] = []
        for key in keys:
            if key in failures:
                found.append(failures[key])
                continue
            result = _read(self._done(key))
            self._seconds[key] = result.seconds
            found.append(result)
        return found

    def _done(self, key: str) -> Path:
        return self.trainings / key / "done"

    def _job(self, key: str, spec: Spec) -> Job:
        folder = self._done(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "spec.json", asdict(spec))
        title = f"{spec.train.architecture}, part {spec.part + 1} of {spec.parts}"
        arguments = ("-m", "flows.tune.training", str(folder / "spec.json"))
        return Job(key, title, arguments, folder / "training.log", (folder / "done",), ("tune",))

    def _tried(self) -> tuple[Tried, ...]:
        return tuple(
            Tried(
                trial.number,
                changes(self.space.recipe, params.load(TrainParams, trial.user_attrs[_TRAIN], "train")),
                tuple(trial.user_attrs.get("values", ())),
                _STATES.get(trial.state.name, "open"),
            )
            for trial in self.study.get_trials(deepcopy=False)
            if _TRAIN in trial.user_attrs
        )


def _read(done: Path) -> Result:
    return params.load(Result, files.read_json(done / RESULT), str(done))
