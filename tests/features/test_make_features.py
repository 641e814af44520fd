import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.recordings import Recording
from stages.core.audio.spec_augment import Masks, mask
from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.features.export import export, export_halves
from stages.features.frontends import log_mel, mfcc
from stages.features.params import FeatureParams
from stages.features.stage import Inputs, make_features
from stages.runtime.litert import Model

PARAMS = FeatureParams(
    "log_mel", {"log_mel": {"sample_rate": 8000, "clip_samples": 2000, "n_fft": 256, "hop_length": 200, "n_mels": 8}}
)
SPLITS = {"a": "train", "b": "validation", "c": "test"}


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recording]:
    made = []
    for i, (name, label) in enumerate((("c", "no"), ("a", "yes"), ("b", "no"), ("a+0", "yes"))):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.random.default_rng(i).uniform(-0.5, 0.5, 1500), 8000)
        made.append(Recording(name, path, label, f"group-{name[0]}", "site", "", "0" * 64, 0.2, 8000))
    return [*made[:3], replace(made[3], parent="a")]


def test_the_folder_is_what_the_dataset_module_reads(recordings: list[Recording], tmp_path: Path) -> None:
    target = tmp_path / "features"
    inputs = Inputs(recordings[:3], recordings[3:], SPLITS, ["no", "yes"])
    shape = make_features(PARAMS, inputs, target=target, workers=1)
    assert shape == (4, 11, 8, 1)
    assert {p.name for p in target.iterdir()} == {"features.npy", "clips.csv", "frontend.tflite", "frontend.json"}
    assert not list(tmp_path.glob(".features*"))
    train = dataset.read_split(target, "train")
    assert train.clip_ids.tolist() == ["a", "a+0"]
    assert train.y.tolist() == [1, 1]
    assert train.groups.tolist() == ["group-a", "group-a"]
    assert dataset.read_split(target, "test").y.tolist() == [0]
    clip = np.pad(soundfile.read(recordings[2].path, dtype="float32")[0], (0, 500))
    expected = Model(target / "frontend.tflite").run(clip[np.newaxis])
    np.testing.assert_array_equal(dataset.read_split(target, "validation").x, expected)


def test_recordings_of_another_length_lie_where_the_front_end_says(
    recordings: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_mel, "ALIGN", "middle")
    target = tmp_path / "features"
    make_features(PARAMS, Inputs(recordings[:3], [], SPLITS, ["no", "yes"]), target=target, workers=1)
    clip = np.pad(soundfile.read(recordings[2].path, dtype="float32")[0], 250)
    expected = Model(target / "frontend.tflite").run(clip[np.newaxis])
    np.testing.assert_array_equal(dataset.read_split(target, "validation").x, expected)
    assert frontend_file.read(target).align == "middle"


def test_the_description_is_complete_and_free_of_paths(recordings: list[Recording], tmp_path: Path) -> None:
    target = tmp_path / "features"
    make_features(PARAMS, Inputs(recordings[:3], [], SPLITS, ["no", "yes"]), target=target, workers=1)
    described = json.loads((target / "frontend.json").read_text())
    assert described["frontend"] == "log_mel"
    assert described["parameters"]["n_mels"] == 8
    assert described["parameters"]["fmax"] is None
    assert dataset.read_split(target, "train").bands == log_mel.bands(PARAMS.configure()[1]) == (*described["bands"],)
    keys = ("sample_rate", "clip_samples", "align", "feature_shape", "crops", "labels")
    assert {key: described[key] for key in keys} == {
        "sample_rate": 8000,
        "clip_samples": 2000,
        "align": "start",
        "feature_shape": [11, 8, 1],
        "crops": 1,
        "labels": ["no", "yes"],
    }
    assert str(tmp_path) not in (target / "frontend.json").read_text()


@pytest.mark.thorough
def test_the_same_input_gives_the_same_bytes(recordings: list[Recording], tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        target = tmp_path / "features"
        make_features(PARAMS, Inputs(recordings[:3], [], SPLITS, ["no", "yes"]), target=target, workers=1)
        contents.append({p.name: p.read_bytes() for p in target.iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.thorough
def test_training_clips_alone_are_masked_between_the_halves_of_the_front_end(
    recordings: list[Recording], tmp_path: Path
) -> None:
    masks = Masks(copies={"yes": 2, "no": 1}, frequency=4, time=5)
    contents = []
    for workers in (1, 2):
        target = tmp_path / str(workers)
        inputs = Inputs(recordings[:3], recordings[3:], SPLITS, ["no", "yes"], masks)
        make_features(PARAMS, inputs, target=target, workers=workers)
        contents.append({p.name: p.read_bytes() for p in target.iterdir()})
    assert contents[0] == contents[1]
    rows = files.read_csv(target / "clips.csv")
    assert [(row["clip_id"], row["parent"], row["split"]) for row in rows] == [
        ("a", "", "train"),
        ("a.mask1", "a", "train"),
        ("a.mask2", "a", "train"),
        ("a+0", "a", "train"),
        ("a+0.mask1", "a", "train"),
        ("a+0.mask2", "a", "train"),
        ("b", "", "validation"),
        ("c", "", "test"),
    ]
    features = np.load(target / "features.npy")
    for clip, copies in ((0, (1, 2)), (3, (4, 5))):
        for copy in copies:
            expected = mask(features[clip, ..., 0], masks, rows[copy]["clip_id"])  # log_mel's levels are its features
            np.testing.assert_array_equal(features[copy, ..., 0], expected)
    plain = tmp_path / "plain"
    make_features(PARAMS, replace(inputs, masks=Masks()), target=plain, workers=1)
    np.testing.assert_array_equal(np.load(plain / "features.npy"), features[[0, 3, 6, 7]])


def test_masks_that_do_not_fit_are_refused_before_any_work(recordings: list[Recording], tmp_path: Path) -> None:
    inputs = Inputs(recordings[:3], [], SPLITS, ["no", "yes"], Masks(copies={"yes": 1}))
    with pytest.raises(ParameterError, match=r"augment\.masks\.frequency .*8 bands; got 30"):
        make_features(PARAMS, inputs, target=tmp_path / "features", workers=1)
    assert not (tmp_path / "features").exists()


def test_a_front_end_without_a_spectrogram_refuses_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    PARAMS.require_levels()
    monkeypatch.delattr(log_mel, "levels")
    with pytest.raises(ParameterError, match=r"features\.frontend must make a spectrogram .*got 'log_mel'"):
        PARAMS.require_levels()


@pytest.mark.parametrize("frontend", [log_mel, mfcc], ids=["log_mel", "mfcc"])
def test_the_halves_are_the_whole(frontend: ModuleType, rng: np.random.Generator) -> None:
    config = frontend.Config(sample_rate=8000, clip_samples=2000, n_fft=256, hop_length=200, n_mels=16)
    waveform = rng.normal(0, 0.1, (1, 2000)).astype(np.float32)
    first, then = map(Model, export_halves(frontend, config))
    np.testing.assert_allclose(then.run(first.run(waveform)), Model(export(frontend, config)).run(waveform), atol=1e-4)


def test_bad_tables_are_refused_before_any_work(recordings: list[Recording], tmp_path: Path) -> None:
    originals, copies = recordings[:3], recordings[3:]

    def make(
        splits: dict[str, str], originals: list[Recording], labels: tuple[str, ...] = ("no", "yes")
    ) -> tuple[int, ...]:
        target = tmp_path / "features"
        return make_features(PARAMS, Inputs(originals, copies, splits, labels), target=target, workers=1)

    with pytest.raises(DataError, match=r"b must .*got None.*`dvc repro split`"):
        make({"a": "train", "c": "test"}, originals)
    with pytest.raises(DataError, match=r"a\+0 .*copy of a, .*got 'test'"):
        make(SPLITS | {"a": "test"}, originals)
    with pytest.raises(DataError, match=r"labels .*; got 'yes'"):
        make(SPLITS, originals, ("no", "maybe"))
    with pytest.raises(DataError, match="holds no recording"):
        make(SPLITS, [])
    assert not (tmp_path / "features").exists()
