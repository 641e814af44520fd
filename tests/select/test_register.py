"""Versions in the registry, what is said of them, and who may be the champion."""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
import tiny  # type: ignore[import-not-found]

from flows.cli import main
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.selection import Measured, Selection, Standing
from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.project.errors import DataError, EdacError, ModelError
from stages.core.tracking import connection
from stages.core.tracking.connection import Tracker
from stages.runtime.audio import read_wav
from stages.runtime.litert import Model
from stages.select import describe, register
from stages.select.params import SelectParams

PARAMS = SelectParams(registered_name="tiny", metric="accuracy")


@dataclass(frozen=True)
class Registry:
    """Two versions of `tiny`: 1, the candidate, and 2, the champion and better by 0.1."""

    tracker: Tracker
    folders: tuple[Path, Path]


def selection_of(folder: Path, accuracy: float) -> Selection:
    """Complete what `tiny` writes by what the select stage says beside."""
    frontend, model = Model(folder / "frontend.tflite"), Model(folder / "model.tflite")
    scores = [model.run(frontend.run(read_wav(folder / "golden" / f"{i}.wav")[0][None]))[0].tolist() for i in range(4)]
    written = selection_file.read(folder)
    pooled = {"accuracy": replace(written.validation.pooled["accuracy"], value=accuracy)}
    selection = replace(
        written,
        variant=replace(written.variant, criterion="magnitude", schedule="constant", measured_sparsity=0.1),
        measured=Measured(raw_bytes=1234567, deflated_bytes=400, latency_p50_ms=1.25),
        validation=replace(written.validation, pooled=pooled),
        reason="smallest of all",
        n_variants=16,
        golden_scores=tuple(map(tuple, scores)),
    )
    selection_file.write(folder, selection)
    return selection


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("registry")
    frontend, *models, _ = tiny.tflites()
    (folder / "features").mkdir()
    features, folders = tiny.write_features(folder / "features"), []
    tracker = connection.connect(folder / "mlruns", "tiny")
    for i, (model, alias, accuracy) in enumerate(zip(models, ("candidate", "champion"), (0.7, 0.8), strict=True)):
        (folder / f"selected{i}").mkdir()
        selected = tiny.write_selection(folder / f"selected{i}", features, frontend, model, i)
        selection = selection_of(selected, accuracy)
        register.register(tracker, variant_of(selection), selection, selected, [alias])
        folders.append(selected)
    return Registry(tracker, (folders[0], folders[1]))


def variant_of(selection: Selection) -> Variant:
    return Variant(**vars(selection.variant), operators={}, metrics={})


def champion(registry: Registry) -> int:
    return registry.tracker.find_version("tiny", "champion").number


def promote(registry: Registry, which: str, params: SelectParams = PARAMS, **changes: Any) -> int:
    return register.promote(registry.tracker, which, **{"to": "champion"} | changes, params=params)


def test_one_file_of_front_end_and_model_lies_beside_the_variant(registry: Registry, tmp_path: Path) -> None:
    registry.tracker.download("tiny", "champion", tmp_path / "release")
    waveform = read_wav(tmp_path / "release/golden/1.wav")[0][np.newaxis]
    frontend, model, single = (Model(tmp_path / f"release/{name}.tflite") for name in ("frontend", "model", "single"))
    assert np.array_equal(single.run(waveform), model.run(frontend.run(waveform)))


def test_a_version_tells_what_it_is_how_good_and_what_it_is_not(registry: Registry) -> None:
    version = registry.tracker.find_version("tiny", "champion")
    assert version.tags["sha256"] == files.sha256(registry.folders[1] / "model.tflite")
    expected = {"sparsity": "0.1", "bit_width": "32", "raw_bytes": "1234567", "latency_p50_ms": "1.25"}
    expected |= {"metric": "accuracy", "validation.accuracy": "0.8", "validation.accuracy.low": "0.5"}
    assert expected.items() <= version.tags.items()
    for told in ("validation: accuracy 0.800 [0.500, 0.875] (n = 8)", "among 16 variants", "no medical device", "CC0"):
        assert told in version.description.replace("Validation", "validation").replace("No", "no")
    assert version.description == describe.description(
        selection_file.read(registry.folders[1]), frontend_file.read(registry.folders[1])
    )


def test_the_champion_is_moved_by_hand_after_checks_and_listed(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(registry.tracker.client.tracking_uri))
    (tmp_path / "params.yaml").write_text("select: {registered_name: tiny, metric: accuracy, margin: 0.15}\n")
    for command, told in ((["candidate"], "tiny version 1 is champion now"), (["2", "--to", "fallback"], "fallback")):
        with pytest.raises(SystemExit) as ended:
            main.main(["promote", *command])
        assert ended.value.code == 0
        assert told in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main.main(["models"])
    head, second, first = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["version", "aliases", "variant"]
    assert first.startswith("1        candidate, champion  constant-s0.00-float32-seed1234")
    assert second.split()[:2] == ["2", "fallback"]
    assert second.endswith("1,234,567  400       accuracy 0.800 [0.500, 0.875]  1.25 ms")
    assert promote(registry, "fallback") == 2


def test_what_is_worse_or_beyond_the_budget_needs_force(registry: Registry) -> None:
    assert champion(registry) == 2
    with pytest.raises(EdacError, match=r"version 1 .*validation.accuracy 0.7, .*select.margin 0.05"):
        promote(registry, "1", SelectParams(registered_name="tiny", metric="accuracy", margin=0.05))
    for budget, over in (
        ({"raw_bytes": 1e6}, r"raw_bytes 1000000 by 23.5%"),
        ({"accuracy": 0.9}, r"accuracy 0.9 by 22.2%"),
    ):
        with pytest.raises(EdacError, match=rf"tiny version 1 breaks select.budget.{over}"):
            promote(registry, "1", SelectParams(registered_name="tiny", metric="accuracy", margin=0.5, budget=budget))
    assert champion(registry) == 2
    budget = {"device.attic.latency_ms": 5.0}
    limited = SelectParams(registered_name="tiny", metric="accuracy", margin=0.5, budget=budget)
    assert promote(registry, "1", limited) == 1, "what no device has measured yet breaks nothing"
    registry.tracker.add_device_metrics("tiny", 2, "attic", {"together_ms": {"p50": 10.0}})
    with pytest.raises(EdacError, match=r"breaks select.budget.device.attic.latency_ms 5 by 100.0%"):
        promote(registry, "2", limited)
    assert promote(registry, "2", limited, force=True) == champion(registry) == 2


@pytest.mark.parametrize(
    "which, sentence", [("3", "tiny has no version or alias '3'"), ("champoin", "Did you mean 'champion'")]
)
def test_a_version_that_is_not_there_is_refused(registry: Registry, which: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        promote(registry, which)
    with pytest.raises(DataError, match="The registry has no model 'other'"):
        promote(registry, which, SelectParams(registered_name="other"))


def claim(folder: Path, selection: Selection) -> str:
    """Have the selection name the model file that is there; returns its digest."""
    sha256 = files.sha256(folder / "model.tflite")
    selection_file.write(folder, replace(selection, variant=replace(selection.variant, sha256=sha256)))
    return sha256


def test_a_release_that_is_not_what_it_was_is_refused_even_by_force(registry: Registry, tmp_path: Path) -> None:
    good = registry.folders[1]
    sha256 = files.sha256(good / "model.tflite")
    selection = selection_file.read(good)
    assert register.check_release(good, "it", sha256) == selection

    other = shutil.copytree(good, tmp_path / "other")
    shutil.copyfile(registry.folders[0] / "model.tflite", other / "model.tflite")
    with pytest.raises(ModelError, match=r"another model.tflite"):
        register.check_release(other, "it", sha256)
    sha256 = claim(other, selection)
    with pytest.raises(ModelError, match=r"golden/\d.wav .*0.05"):
        register.check_release(other, "it", sha256)
    (other / "model.tflite").write_bytes(b"no model")
    sha256 = claim(other, selection)
    with pytest.raises(ModelError, match=r"model.tflite is not a model"):
        register.check_release(other, "it", sha256)


def test_no_better_than_chance_is_promoted_by_force_alone(registry: Registry, tmp_path: Path) -> None:
    estimate = {side: Estimate(0.5, 0.4, 0.6) for side in ("validation", "test")}
    chance = Standing("accuracy", "trees", estimate, estimate, {"validation": 0.5, "test": 0.5}, False, "like chance.")
    selected = tmp_path / "selected"
    shutil.copytree(registry.folders[1], selected)
    selection = replace(selection_file.read(selected), standing=chance)
    selection_file.write(selected, selection)
    version = register.register(registry.tracker, variant_of(selection), selection, selected, ["chancy"])
    params = replace(PARAMS, margin=0.5)
    with pytest.raises(EdacError, match=f"tiny version {version} .*chance.*--force"):
        register.promote(registry.tracker, "chancy", to="other", params=params)
    assert register.promote(registry.tracker, "chancy", to="other", params=params, force=True) == version
    text = describe.description(selection, frontend_file.read(selected))
    assert "**Warning**: like chance." in text
    assert "chance 0.500" in text
