"""A release: what it holds, and that its bytes follow from its content."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core import files
from stages.core.errors import DataError, ModelError
from stages.push import bundle
from stages.runtime.classify import Classifier
from stages.runtime.selftest import selftest


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_golden_recordings_are_of_the_validation_split_and_of_every_label(features: Path) -> None:
    golden = bundle.choose_golden(features, 4)
    numbers = [int(path.stem) for path in golden]
    assert len(set(numbers)) == 4
    assert max(numbers) < 8  # from 8 on it is the test split
    assert [n % 2 for n in numbers] == [0, 1, 0, 1]  # the parity is the label


def test_a_longer_choice_begins_with_the_shorter_one(features: Path) -> None:
    assert bundle.choose_golden(features, 6)[:3] == bundle.choose_golden(features, 3)
    assert len(bundle.choose_golden(features, 100)) == 8


def test_no_validation_clip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("clip_id,path,split,label\na,a.wav,test,x\n")
    with pytest.raises(DataError, match="holds no validation clip"):
        bundle.choose_golden(tmp_path, 4)


def test_manifest_lists_every_other_file(bundles: list[Path]) -> None:
    manifest = json.loads((bundles[0] / "manifest.json").read_text())
    held = contents(bundles[0])
    assert set(manifest["files"]) == set(held) - {"manifest.json"}
    assert all(files.sha256(bundles[0] / path) == sha256 for path, sha256 in manifest["files"].items())
    assert manifest["model"]["sha256"] == manifest["files"]["model.tflite"]
    assert "stages/runtime/classify.py" in held
    assert not any(path.startswith("stages/") and "runtime" not in path for path in set(held) - {"stages/__init__.py"})


def test_golden_recordings_are_16_bit_wav_at_the_front_ends_rate_and_length(bundles: list[Path]) -> None:
    for path in sorted((bundles[0] / "golden").iterdir()):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate, info.frames) == ("WAV", "PCM_16", 8000, 4000)


def test_expected_scores_are_those_of_the_wav_files(bundles: list[Path]) -> None:
    classifier = Classifier(bundles[0])
    for golden in classifier.manifest.golden:
        samples, rate = soundfile.read(bundles[0] / golden.file, dtype="float32")
        np.testing.assert_allclose(classifier.outputs(samples, rate), golden.scores, atol=1e-7)
    assert len({golden.scores for golden in classifier.manifest.golden}) == 4


def test_the_release_passes_its_self_test_at_home(bundles: list[Path]) -> None:
    files_check, *_ = selftest(bundles[0])["checks"]
    assert files_check == {"check": "files", "ok": True, "detail": "as listed"}


def test_same_content_same_bytes(selections: list[Path], features: Path, bundles: list[Path], tmp_path: Path) -> None:
    again = tmp_path / "again"
    golden = bundle.choose_golden(features, 4)
    bundle.build(again, selected=selections[0], features=features, golden=golden)
    assert contents(again) == contents(bundles[0])
    assert bundle.release_id(again) == bundle.release_id(bundles[0])
    assert bundle.release_id(again) != bundle.release_id(bundles[1])


def test_classify_runs_in_the_release_without_the_project(bundles: list[Path], tmp_path: Path) -> None:
    release = shutil.copytree(bundles[0], tmp_path / "release")
    golden = json.loads((release / "manifest.json").read_text())["golden"][0]
    command = [sys.executable, "-B", "-m", "stages.runtime", "classify", golden["file"]]
    done = subprocess.run(command, cwd=release, env={}, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["score"] == pytest.approx(golden["scores"][0], abs=1e-6)
    assert answer["label"] == ("positive" if answer["score"] >= 0.5 else "negative")


def test_a_model_that_is_not_the_selected_one_is_refused(
    selections: list[Path], features: Path, tmp_path: Path
) -> None:
    selected = shutil.copytree(selections[0], tmp_path / "selected")
    shutil.copyfile(selections[1] / "model.tflite", selected / "model.tflite")
    with pytest.raises(ModelError, match="is not the file that was selected"):
        bundle.build(tmp_path / "b", selected=selected, features=features, golden=bundle.choose_golden(features, 1))


def test_a_binary_selection_without_threshold_is_refused(
    selections: list[Path], features: Path, tmp_path: Path
) -> None:
    selected = shutil.copytree(selections[0], tmp_path / "selected")
    selection = files.read_json(selected / "selection.json") | {"threshold": None}
    files.write_json(selected / "selection.json", selection)
    with pytest.raises(ModelError, match=r"makes no release: .*threshold must be a number"):
        bundle.build(tmp_path / "b", selected=selected, features=features, golden=bundle.choose_golden(features, 1))
    assert not (tmp_path / "b" / "manifest.json").exists()
