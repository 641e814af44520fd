"""A release: what it holds, and that its bytes follow from its content."""

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from jsonschema import Draft202012Validator

from stages.core.artifacts import selection as selection_file
from stages.core.project import files, provenance
from stages.core.project.errors import ModelError, ParameterError
from stages.push import bundle, signing
from stages.runtime import manifest, trust
from stages.runtime.classify import Classifier
from stages.runtime.selftest import selftest


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


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


def test_same_content_same_bytes(selections: list[Path], bundles: list[Path], tmp_path: Path) -> None:
    again, newer = tmp_path / "again", tmp_path / "newer"
    bundle.build(again, selected=selections[0], version=1)
    assert contents(again) == contents(bundles[0])
    assert bundle.release_id(again) == bundle.release_id(bundles[0])
    bundle.build(newer, selected=selections[0], version=2)
    assert len({bundle.release_id(folder) for folder in (again, newer, *bundles)}) == 4


def test_a_key_adds_a_signature_and_nothing_else(selections: list[Path], bundles: list[Path], tmp_path: Path) -> None:
    public = signing.new_key(tmp_path / "key")
    for name in ("signed", "again"):
        bundle.build(tmp_path / name, selected=selections[0], version=1, key=tmp_path / "key")
    signed = contents(tmp_path / "signed")
    assert contents(tmp_path / "again") == signed
    signature = signed.pop("manifest.sig").decode()
    assert signed == contents(bundles[0])
    assert len(base64.b64decode(signature.removesuffix("\n"), validate=True)) == 64
    device = tmp_path / "device"
    device.mkdir()
    trust.add_key(device, trust.encode(public))
    assert trust.accept(tmp_path / "signed", device)["signed_by"] == trust.fingerprint(public)


def test_a_key_that_is_none_is_told_before_the_work(selections: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"The signing key .* cannot be read"):
        bundle.build(tmp_path / "b", selected=selections[0], version=1, key=tmp_path / "none")
    assert not (tmp_path / "b").exists()


def test_version_class_and_card_are_in_the_manifest(selections: list[Path], tmp_path: Path) -> None:
    bundle.build(tmp_path / "b", selected=selections[0], version=7, device_class="jetson")
    made = manifest.load(tmp_path / "b")
    assert (made.version, made.device_class, made.card) == (7, "jetson", "MODEL_CARD.md")
    card = (tmp_path / "b" / made.card).read_text()
    assert "| Version | 7 |" in card
    assert "| Devices | jetson |" in card
    schema = files.read_json(provenance.source_file("stages.runtime.manifest").with_name("manifest.schema.json"))
    Draft202012Validator(schema).validate(files.read_json(tmp_path / "b" / "manifest.json"))


def test_classify_runs_in_the_release_without_the_project(bundles: list[Path], tmp_path: Path) -> None:
    release = shutil.copytree(bundles[0], tmp_path / "release")
    golden = json.loads((release / "manifest.json").read_text())["golden"][0]
    command = [sys.executable, "-B", "-m", "stages.runtime", "classify", golden["file"]]
    done = subprocess.run(command, cwd=release, env={}, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["score"] == pytest.approx(golden["scores"][0], abs=1e-6)
    assert answer["label"] == ("positive" if answer["score"] >= 0.5 else "negative")


def test_a_model_that_is_not_the_selected_one_is_refused(selections: list[Path], tmp_path: Path) -> None:
    selected = shutil.copytree(selections[0], tmp_path / "selected")
    shutil.copyfile(selections[1] / "model.tflite", selected / "model.tflite")
    with pytest.raises(ModelError, match="not the file that was selected"):
        bundle.build(tmp_path / "b", selected=selected, version=1)


def test_a_binary_selection_without_threshold_is_refused(selections: list[Path], tmp_path: Path) -> None:
    selected = shutil.copytree(selections[0], tmp_path / "selected")
    selection_file.write(selected, replace(selection_file.read(selected), threshold=None))
    with pytest.raises(ModelError, match=r"no release: .*threshold"):
        bundle.build(tmp_path / "b", selected=selected, version=1)
    assert not (tmp_path / "b" / "manifest.json").exists()
