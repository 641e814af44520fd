"""`edac tune`: what it may see, how it spends its budget, that it resumes, and what it claims."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from ruamel.yaml import YAML

import flows
from flows.cli.main import parser
from flows.execution.executor import Job
from flows.start import sizes
from flows.sweep.grid import Sources
from flows.tune import outcome, run, training
from flows.tune.params import TuneParams, seconds
from flows.tune.search import Search
from flows.tune.space import Space, changes, space
from flows.tune.training import Result, Spec
from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.estimates import Estimate
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import files, params, plugins
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.tracking import connection
from stages.core.tracking.trials import Candidate, log_search
from stages.core.training.params import SpectrogramAugment
from stages.train.params import TrainParams
from tests.messages import line_with

RECIPE = TrainParams(architecture="ds_cnn", epochs=30, mixup=0.3, options={"ds_cnn": {"width": 0.2}})
SPACE = Space(RECIPE, {"ds_cnn": 0.5, "strided_cnn": 0.4})
UNIT_S = 10.0


class InterruptedSearchError(Exception):
    """Stands for kill -9."""


class FakeExecutor:
    """Writes the results that trainings would: a candidate is as good as its mixup is close to `best`."""

    workers = 2

    def __init__(
        self, best: float, *, stop_after: int | None = None, failing: float | None = None, start_s: float = 0.0
    ) -> None:
        self.best, self.stop_after, self.failing, self.start_s = best, stop_after, failing, start_s
        self.specs: list[Spec] = []

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, str | None]]:
        for job in jobs:
            if self.stop_after is not None and len(self.specs) >= self.stop_after:
                raise InterruptedSearchError
            spec = params.load(Spec, files.read_json(Path(job.arguments[-1])), "spec")
            self.specs.append(spec)
            if self.failing is not None and spec.train.learning_rate > self.failing:
                yield job, "the loss is not finite"
                continue
            noise = np.random.default_rng((spec.part, spec.seed)).normal(scale=0.01)
            value = 0.9 - abs(spec.train.mixup - self.best) + noise
            job.commits[0].mkdir(parents=True)
            files.write_json(job.commits[0] / "result.json", asdict(Result(value, 25, 5, 75, UNIT_S, self.start_s)))
            yield job, None


def search(folder: Path, **settings: Any) -> Search:
    tune = TuneParams(**{"budget_s": 360.0, "folder": folder, **settings})
    base = Spec(RECIPE, Path("/features"), "accuracy", 0, tune.parts, tune.seed, 1)
    return Search(tune, SPACE, base, "data")


def test_it_keeps_to_its_budget_halves_and_finds_what_is_better(tmp_path: Path) -> None:
    executor = FakeExecutor(best=0.1)
    searched = search(tmp_path)
    found = searched.run(executor)  # type: ignore[arg-type]
    assert searched.spent(executor) <= 360  # type: ignore[arg-type]
    states = [each.state for each in found.tried]
    assert states.count("pruned") > states.count("complete") > 0
    assert found.best is not None
    assert found.best.mean == max(each.mean for each in found.tried if each.state == "complete")
    assert found.best.mean > np.mean(found.recipe)
    assert found.beats
    assert max(found.importance, key=lambda name: found.importance[name]) == "mixup"
    text = outcome.report(found, minutes=16)
    assert line_with(text, "100 clips of 20 groups")
    assert "It beats the recipe." in text
    last = executor.specs[-8:]
    assert {(spec.seed, spec.train.seed, spec.train.epochs) for spec in last} == {(2, RECIPE.seed + 1, 30)}
    assert {(spec.seed, spec.train.epochs) for spec in executor.specs[:-8]} == {(1, 10)}


@pytest.mark.thorough
def test_where_nothing_is_better_it_says_so(tmp_path: Path) -> None:
    found = search(tmp_path).run(FakeExecutor(best=RECIPE.mixup))  # type: ignore[arg-type]
    same = replace(found, gain=Estimate(0.0, -0.1, 0.1), compared=([Result(0.8, 25, 5, 75, UNIT_S)] * 4,) * 2)
    assert not same.beats
    assert line_with(outcome.report(same, minutes=16), "not shown to beat", "stays")


def test_no_candidate_is_compared_that_was_worse_on_the_parts(tmp_path: Path) -> None:
    executor = FakeExecutor(best=RECIPE.mixup)
    found = search(tmp_path).run(executor)  # type: ignore[arg-type]
    assert found.gain is None
    assert {(spec.seed, spec.train.epochs) for spec in executor.specs} == {(1, 10)}  # no comparison
    assert [each.state for each in found.tried[:2]] == ["pruned", "pruned"]  # halved against the recipe itself
    assert "The recipe stays." in outcome.report(found, minutes=16)
    worse = replace(found, best=replace(found.tried[0], values=(0.5, 0.5), state="complete"), recipe=(0.7, 0.8))
    assert line_with(outcome.report(worse, minutes=16), "better than the recipe", "0.500", "0.750", "stays")


def test_time_that_is_kept_for_a_comparison_is_searched_if_there_is_nothing_to_compare(tmp_path: Path) -> None:
    executor = FakeExecutor(best=0.1)
    short = search(tmp_path, budget_s=150.0)  # what the recipe and one comparison take
    found = short.run(executor)  # type: ignore[arg-type]
    assert 130 < short.spent(executor) <= 150  # type: ignore[arg-type]
    assert found.best is not None
    assert found.best.mean > np.mean(found.recipe)
    assert (found.gain, found.lacking_s) == (None, short.spent(executor) + 120 - 150)  # type: ignore[arg-type]
    assert line_with(
        outcome.report(found, minutes=3), "too late to compare", "the recipe stays", "Give --budget 2 more"
    )
    before = len(executor.specs)
    found = search(tmp_path, budget_s=280.0).run(executor)  # type: ignore[arg-type]
    assert found.gain is not None
    assert len({str(spec) for spec in executor.specs}) == len(executor.specs) > before


def test_a_recipe_outside_the_ranges_is_the_nearest_within_them() -> None:
    nearest = replace(SPACE, recipe=replace(RECIPE, learning_rate=1e-5, mixup=0.9)).of_recipe()
    assert nearest is not None
    assert (nearest["learning_rate"], nearest["mixup"]) == (3e-4, 0.6)
    assert replace(SPACE, recipe=replace(RECIPE, architecture="edac_cnn")).of_recipe() is None


@pytest.mark.parametrize("killed_after", ["enqueue", "ask", "report"])
def test_the_recipe_is_tried_once_wherever_a_search_is_killed(tmp_path: Path, killed_after: str) -> None:
    begun = search(tmp_path)
    asked = SPACE.of_recipe()
    assert asked == {
        "architecture": "ds_cnn",
        "size": 0.6,
        "dropout": 0.3,
        "learning_rate": 1e-3,
        "label_smoothing": 0.0,
        "mixup": 0.3,
        "time_shift": 0.0,
    }
    begun.study.enqueue_trial(asked, user_attrs={"recipe": True})
    if killed_after != "enqueue":
        trial = begun.study.ask()
    if killed_after == "report":
        trial.report(0.7, 1)
    found = search(tmp_path).run(FakeExecutor(best=0.1))  # type: ignore[arg-type]
    trials = search(tmp_path).study.get_trials()
    assert [trial.number for trial in trials if "recipe" in trial.user_attrs] == [0]
    assert trials[0].state.is_finished()
    assert all(each.number > 0 for each in found.tried)


@pytest.mark.thorough
def test_a_killed_search_goes_on_and_repeats_no_training(tmp_path: Path) -> None:
    whole = FakeExecutor(best=0.1)
    search(tmp_path / "whole").run(whole)  # type: ignore[arg-type]
    first = FakeExecutor(best=0.1, stop_after=11)
    with pytest.raises(InterruptedSearchError):
        search(tmp_path / "killed").run(first)  # type: ignore[arg-type]
    again = FakeExecutor(best=0.1)
    found = search(tmp_path / "killed").run(again)  # type: ignore[arg-type]
    done = {spec.key("data") for spec in first.specs}
    assert not done & {spec.key("data") for spec in again.specs}
    assert found.best is not None
    candidates = [tuple(sorted(each.changes.items())) for each in found.tried]
    assert len(set(map(str, candidates))) == len(candidates)
    assert abs(len(first.specs) + len(again.specs) - len(whole.specs)) <= 2


def test_a_budget_that_is_too_small_names_the_least(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"--budget .*3 minutes .*10 s"):
        search(tmp_path, budget_s=60.0).run(FakeExecutor(best=0.1))  # type: ignore[arg-type]


def test_what_a_training_needs_to_start_is_not_kept_for_every_epoch(tmp_path: Path) -> None:
    assert Result(0.5, 25, 5, 75, 10.0, 9.0).lasting(1 / 3) == pytest.approx(12.0)
    search(tmp_path, budget_s=90.0).run(FakeExecutor(best=0.1, start_s=9.0))  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_candidate_that_fails_is_counted_and_the_recipe_that_fails_is_an_error(tmp_path: Path) -> None:
    found = search(tmp_path / "a").run(FakeExecutor(best=0.1, failing=4e-3))  # type: ignore[arg-type]
    states = [each.state for each in found.tried]
    assert states.count("failed") > 0
    assert states.count("complete") > 0
    with pytest.raises(EdacError, match=r"part 1 .*not finite"):
        search(tmp_path / "b").run(FakeExecutor(best=0.1, failing=1e-4))  # type: ignore[arg-type]


def test_parts_hold_each_group_once_and_every_class() -> None:
    rng = np.random.default_rng(3)
    groups = np.array([f"g{i}" for i in rng.integers(17, size=400)])
    y = rng.integers(3, size=400)
    parts = [training.held_out(groups, y, part=part, parts=4, seed=5) for part in range(4)]
    assert sorted(group for part in parts for group in part) == sorted(set(groups))
    assert all(set(y[np.isin(groups, list(part))]) == {0, 1, 2} for part in parts)
    others = [training.held_out(groups, y, part=part, parts=4, seed=6) for part in range(4)]
    assert parts != others
    several = np.stack([y == 0, y == 1], axis=1).astype(int)
    assert sum(len(training.held_out(groups, several, part=p, parts=4, seed=5)) for p in range(4)) == len(set(groups))
    with pytest.raises(DataError, match=r"18 groups, .*it has 17"):
        training.held_out(groups, y, part=0, parts=18, seed=5)


@pytest.mark.thorough
def test_only_the_training_side_is_read(sources: Sources, tmp_path: Path) -> None:
    train = replace(RECIPE, epochs=2, batch_size=4, mixup=0.0, batch_norm_clips=0)
    spec = Spec(train, sources.features, "accuracy", 0, 4, 1, 1)
    found = training.compute(spec)
    assert (found.n, found.groups, found.n_train) == (4, 4, 12)
    assert 0 < found.start_s < found.seconds
    spoilt = tmp_path / "features"
    spoilt.mkdir()
    for path in sources.features.iterdir():
        (spoilt / path.name).write_bytes(path.read_bytes())
    x = np.load(spoilt / "features.npy")
    x[[clip.split != "train" for clip in clips_file.read(spoilt)]] = np.nan
    np.save(spoilt / "features.npy", x)
    again = training.compute(replace(spec, features=spoilt))
    assert replace(again, seconds=0, start_s=0) == replace(found, seconds=0, start_s=0)


def test_the_interval_of_a_gain_is_nadeau_and_bengio_s() -> None:
    theirs = [Result(value, 20, 2, 60, 1.0) for value in (0.80, 0.70, 0.90, 0.60)]
    ours = [
        replace(result, value=result.value + more)
        for result, more in zip(theirs, (0.05, 0.01, 0.03, 0.03), strict=True)
    ]
    differences = np.array([0.05, 0.01, 0.03, 0.03])
    half = scipy.stats.t(3).ppf(0.975) * np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1))
    gain = outcome.gain_of(theirs, ours)
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.03, 0.03 - half, 0.03 + half), abs=1e-6)


@pytest.mark.thorough
def test_every_architecture_of_the_space_keeps_within_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    names, few = plugins.names, ["ds_cnn", "edac_cnn", "strided_cnn"]  # to build others takes long
    monkeypatch.setattr(plugins, "names", lambda registry: few if registry == ARCHITECTURES else names(registry))
    shape = sizes.Shape((32, 24, 1), 3)
    found = space(RECIPE, shape, raw_bytes=35_000, scheme="static_wi8_ai8")
    assert {"ds_cnn", "strided_cnn"} <= set(found.widest)
    assert "edac_cnn" not in found.widest
    for name in ("ds_cnn", "strided_cnn"):
        model = sizes.build(name, {"width": found.widest[name]}, shape)
        assert sizes.measure(model, ["static_wi8_ai8"])["static_wi8_ai8"].raw_bytes <= 35_000
    with pytest.raises(ParameterError, match="must leave room for an architecture"):
        space(RECIPE, shape, raw_bytes=1000, scheme="static_wi8_ai8")


def test_changes_name_only_what_differs() -> None:
    recipe = replace(RECIPE, vary=SpectrogramAugment())
    other = replace(recipe, mixup=0.1, vary=replace(SpectrogramAugment(), warp=0.2))
    assert changes(recipe, other) == {"mixup": 0.1, "vary.warp": 0.2}


def test_what_beats_the_recipe_is_written_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "train:\n  architecture: ds_cnn # why\n  options: {ds_cnn: {width: 0.2}}\n  mixup: 0.3\n  epochs: 30\n"
        "prune:\n  mixup: 0.3 # as in train\n"
    )
    best = replace(RECIPE, mixup=0.1, architecture="strided_cnn", options={"strided_cnn": {"width": 0.4}})
    run._write(best, path)
    text = path.read_text()
    assert "# why" in text
    assert "# as in train" in text
    document = YAML(typ="safe").load(path)
    assert params.load(TrainParams, document["train"], "train") == best
    assert document["prune"]["mixup"] == 0.1


def test_durations() -> None:
    assert [seconds(text) for text in ("45s", "30m", "1.5h", "60")] == [45, 1800, 5400, 60]
    for wrong in ("", "m", "half an hour", "-5m", "0s"):
        with pytest.raises(ParameterError, match=r"--budget .*90s, 30m or 2h"):
            seconds(wrong)


def test_a_search_is_logged_once(tmp_path: Path) -> None:
    tracker = connection.connect(tmp_path / "mlruns", "words")
    opened = [
        Candidate("recipe", {}, {"accuracy": 0.8}, "complete"),
        Candidate("candidate-0", {"mixup": 0.1}, {}, "open"),
    ]
    first = log_search(tracker, "0123456789", opened, {"gain": 0.01}, "report")
    closed = [opened[0], replace(opened[1], figures={"accuracy": 0.9}, state="pruned")]
    assert log_search(tracker, "0123456789", closed, {"gain": 0.02}, "report") == first
    runs = tracker._runs(f"tags.`mlflow.parentRunId` = '{first}'")
    assert sorted(each.data.tags["edac.tune.candidate"] for each in runs) == ["candidate-0", "recipe"]
    (candidate,) = [each for each in runs if each.data.tags["edac.tune.candidate"] == "candidate-0"]
    assert (candidate.data.params, candidate.data.metrics) == ({"mixup": "0.1"}, {"accuracy": 0.9})
    assert tracker.sweeps() == []


@pytest.mark.thorough
@pytest.mark.usefixtures("prefect_server")
def test_from_the_command_line(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(flows.__file__).parents[1]))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/features").symlink_to(sources.features)
    YAML().dump(
        {
            "features": {
                "frontend": "log_mel",
                "options": {
                    "log_mel": {
                        "sample_rate": 8000,
                        "clip_samples": 2432,
                        "n_fft": 256,
                        "hop_length": 128,
                        "n_mels": 8,
                    }
                },
            },
            "train": {
                "architecture": "ds_cnn",
                "options": {"ds_cnn": {"width": 0.2}},
                "epochs": 3,
                "batch_size": 4,
                "batch_norm_clips": 0,
            },
            "sweep": {"schemes": ["float32"], "workers": 2, "retry_delay_s": 0.1},
            "select": {"metric": "accuracy", "budget": {"raw_bytes": 40000}, "registered_name": "words"},
        },
        tmp_path / "params.yaml",
    )
    given = parser().parse_args(["tune", "--budget", "2h", "--candidates", "2", "--parts", "2"])
    given.run(given)
    told = capsys.readouterr().out
    assert line_with(told, "16 clips of 16 groups")
    assert told.startswith("2 candidates in")
    assert (tmp_path / "data/tune/report.md").read_text().count("recipe") >= 1
