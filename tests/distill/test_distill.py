"""The stage: what a teacher is given, what it may not see, and what is written of it."""

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import teacher as teacher_file
from stages.core.artifacts.teacher import TeacherReport
from stages.core.nn.keras import keras
from stages.core.project import files
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.distill import stage as stage
from stages.distill.material import TeacherInputs, TeacherOutputs, parts, read_inputs
from stages.distill.params import DistillParams
from stages.distill.stage import distill
from stages.distill.teachers import ensemble
from stages.runtime.audio import fit_length, resample

FIT = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2}
MEMBERS = {"architecture": "ds_cnn", "options": {"ds_cnn": {"stem": 4, "widths": [6]}}, "members": 2, "fit": FIT}
PARAMS = DistillParams(teacher="ensemble", threads=1, options={"ensemble": MEMBERS})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def clips_of(features: Path) -> list[dict[str, str]]:
    return files.read_csv(features / "clips.csv")


def test_without_a_teacher_the_folder_says_so(tmp_path: Path) -> None:
    assert distill(DistillParams(), tmp_path / "nothing", tmp_path / "teacher") == TeacherReport(teacher=None)
    assert contents(tmp_path / "teacher") == {"teacher.json": b'{\n  "teacher": null\n}\n'}


def test_waveforms_are_those_of_the_front_end_in_the_order_of_the_clips(features: Path) -> None:
    material = read_inputs(features)
    assert (len(material.train), len(material.validation), material.n_outputs) == (30 + 5 + 11, 12, 3)
    assert material.labels == ("high", "low", "middle")
    for name, side in material.sides():
        rows = [clip for clip in clips_of(features) if clip["split"] == name]
        waveforms = list(side.waveforms(16000))
        assert len(waveforms) == len(rows) == len(side.split)
        assert {w.shape for w in waveforms} == {(4000,)}
        for row, waveform in zip(rows, waveforms, strict=True):
            samples, rate = soundfile.read(row["path"], dtype="float32")
            np.testing.assert_array_equal(waveform, fit_length(resample(samples, rate, 16000), 4000))
        np.testing.assert_array_equal(next(side.waveforms(16000, 7)), waveforms[7])
        assert list(side.split.clip_ids) == [row["clip_id"] for row in rows]


@pytest.fixture(scope="module")
def teacher(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the ensemble's answers."""
    target = tmp_path_factory.mktemp("distilled") / "teacher"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "make_deterministic", lambda seed, _threads: keras.utils.set_random_seed(seed))
        distill(PARAMS, features, target)
    return target


@pytest.mark.thorough
def test_the_test_split_may_be_unreadable(features: Path, teacher: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(features, tmp_path / "features")
    rows = clips_of(folder)
    poisoned = np.load(folder / "features.npy")
    for i, row in enumerate(rows):
        if row["split"] == "test":
            poisoned[i], row["path"] = np.nan, "/nowhere.wav"
    np.save(folder / "features.npy", poisoned)
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    material = read_inputs(folder)
    assert not {"/nowhere.wav"} & {str(path) for _, side in material.sides() for path in side.paths}
    distill(PARAMS, folder, tmp_path / "poisoned")
    whole, without = contents(teacher), contents(tmp_path / "poisoned")
    assert set(whole) == {"logits_train.npy", "logits_validation.npy", "teacher.json"}
    assert {name for name in whole if whole[name] != without[name]} == {"teacher.json"}, "whose key knows the inputs"


def test_a_group_on_two_sides_is_refused(features: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(features, tmp_path / "features")
    rows = clips_of(folder)
    next(row for row in rows if row["split"] == "validation")["group"] = rows[0]["group"]
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    with pytest.raises(DataError, match=r"A teacher must .*got 'g00' in both"):
        distill(PARAMS, folder, tmp_path / "teacher")
    assert not (tmp_path / "teacher").exists()


def test_parts_are_whole_groups_of_every_class(features: Path) -> None:
    split = read_inputs(features).train.split
    dealt = parts(split, 5, seed=1, owner="it")
    assert sorted(np.concatenate(dealt)) == list(range(len(split)))
    for part in dealt:
        assert set(split.y[part]) == {0, 1, 2}
        assert not set(split.groups[part]) & set(np.delete(split.groups, part))
    with pytest.raises(DataError, match=r"it must .*got 6, and 'high' has 5"):
        parts(split, 6, seed=1, owner="it")


def answers(material: TeacherInputs, **changes: Any) -> TeacherOutputs:
    logits = {name: np.zeros((len(side), 3), np.float32) for name, side in material.sides()}
    return replace(TeacherOutputs(dict(logits), material.labels, "0" * 64, {"kind": "made up"}), **changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"labels": ("high", "middle", "low")},
            DataError,
            r"'ensemble' .*high, low, middle, .*high, middle, low\.",
        ),
        (
            {"logits": {"train": np.zeros((46, 2))}},
            ModelError,
            r"train split .*\(46, 3\)",
        ),
        ({"logits": {"train": np.full((46, 3), np.nan)}}, ModelError, r"with finite logits of shape \(46, 3\); got"),
        ({"embeddings": {"train": np.zeros((3, 2))}}, ModelError, "an embedding of each clip of the train"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ensemble, "learn", lambda _config, material, _folder, **_: answers(material, **changes))
    with pytest.raises(error, match=message):
        distill(PARAMS, features, tmp_path / "teacher")
    assert not (tmp_path / "teacher").exists()


def test_what_a_teacher_leaves_becomes_part_of_its_folder_and_is_not_made_twice(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def learn(_config: Any, material: TeacherInputs, folder: Path, *, seed: int, threads: int) -> TeacherOutputs:
        calls.append((seed, threads, sorted(path.name for path in folder.iterdir())))
        (folder / "begun").touch()
        if len(calls) == 1:
            raise KeyboardInterrupt
        files.write_text(folder / "output" / "checkpoint" / "config.json", "{}")
        embeddings = {name: np.ones((len(side), 2)) for name, side in material.sides()}
        return answers(material, embeddings=embeddings)

    monkeypatch.setattr(ensemble, "learn", learn)
    with pytest.raises(KeyboardInterrupt):
        distill(PARAMS, features, tmp_path / "teacher")
    taught = distill(PARAMS, features, tmp_path / "teacher")
    assert calls == [(1234, 1, []), (1234, 1, ["begun"])], "the folder outlives a kill"
    arrays = {f"{kind}_{side}.npy" for kind in ("logits", "embeddings") for side in ("train", "validation")}
    assert set(contents(tmp_path / "teacher")) == {"teacher.json", "checkpoint/config.json", *arrays}
    assert np.load(tmp_path / "teacher" / "embeddings_train.npy").dtype == np.float32
    again = distill(replace(PARAMS, alpha=0.9, temperature=5.0, train=False), features, tmp_path / "teacher")
    assert again == teacher_file.read(tmp_path / "teacher")
    assert again.key == taught.key
    assert len(calls) == 2, "how students learn does not matter"
    distill(replace(PARAMS, seed=3), features, tmp_path / "teacher")
    assert len(calls) == 3


def test_a_file_is_known_by_what_it_holds_and_not_by_where_it_lies(tmp_path: Path) -> None:
    for name in ("here", "there"):
        files.write_text(tmp_path / name / "config.json", "{}")
        files.write_text(tmp_path / name / "deep" / "weights", "1")

    def key() -> list[str]:
        kinds = ({"checkpoint": tmp_path / name, "threshold": 3} for name in ("here", "there"))
        return [files.digest(stage._by_content(options)) for options in kinds]

    first = key()
    assert first[0] == first[1]
    files.write_text(tmp_path / "there" / "deep" / "weights", "2")
    assert key()[0] == first[0] != key()[1]
    one = tmp_path / "here" / "config.json"
    assert stage._by_content({"model": one}) == {"model": [(".", files.sha256(one))]}
    assert stage._by_content({"model": None, "other": Path("absent")}) == {"model": None, "other": Path("absent")}


def test_the_teacher_is_judged_on_validation(features: Path, teacher: Path) -> None:
    told = files.read_json(teacher / "teacher.json")
    y = read_inputs(features).validation.split.y
    found = np.load(teacher / "logits_validation.npy").argmax(axis=1)
    accuracy = told["validation"]["pooled"]["accuracy"]
    assert accuracy["value"] == pytest.approx(np.mean(found == y), abs=1e-6)
    assert (accuracy["low"], accuracy["reason"]) == (None, "6 groups; an interval needs 10")
    assert (told["validation"]["n"], told["validation"]["groups"]) == (12, 6)
    assert told["about"] == {
        "kind": "2 ds_cnn over seeds",
        "parameters": told["about"]["parameters"],
        "bytes": 4 * told["about"]["parameters"],
        "out_of_fold": False,
    }


def test_an_unknown_teacher_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"distill.teacher must .*got 'x'"):
        DistillParams(teacher="x").configure()
    assert "test" not in {field.name for field in dataclasses.fields(TeacherInputs)}
