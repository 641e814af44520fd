import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError

SHA256 = "0" * 64


def values(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "r",
        "labels": ["no", "yes"],
        "threshold": 0.4,
        "sample_rate": 22050,
        "clip_samples": 154350,
        "files": {"model.tflite": SHA256, "frontend.tflite": SHA256, "golden/0.wav": SHA256},
        "golden": [{"file": "golden/0.wav", "scores": [0.25]}],
        "tolerance": 1e-3,
        "model": {"anything": None},
    } | changes


def test_a_good_manifest_is_read_as_it_stands() -> None:
    parsed = manifest.parse(json.loads(json.dumps(values())))
    assert parsed.labels == ("no", "yes")
    assert parsed.threshold == 0.4
    assert parsed.n_outputs == 1
    assert parsed.golden == (manifest.Golden("golden/0.wav", (0.25,)),)


def test_three_labels_have_three_outputs_and_no_threshold() -> None:
    golden = [{"file": "golden/0.wav", "scores": [0.2, 0.3, 0.5]}]
    assert manifest.parse(values(labels=["a", "b", "c"], threshold=None, golden=golden)).n_outputs == 3


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"schema": 2}, "schema must be 1; got 2"),
        ({"extra": 1}, "its keys must be"),
        ({"name": ""}, "name must be text"),
        ({"labels": ["no"]}, "at least two different names"),
        ({"labels": ["no", "no"]}, "at least two different names"),
        ({"threshold": None}, "threshold must be a number when there are two labels; got None"),
        ({"threshold": True}, "threshold must be a number"),
        ({"labels": ["a", "b", "c"]}, "threshold must be null"),
        ({"sample_rate": 22050.0}, "sample_rate must be a whole number"),
        ({"clip_samples": 0}, "clip_samples must be a whole number of at least 1"),
        ({"files": []}, "files must be an object"),
        ({"files": {"model.tflite": SHA256}}, "files must hold frontend.tflite"),
        ({"files": values()["files"] | {"model.tflite": "abc"}}, "64 hexadecimal digits"),
        ({"golden": []}, "at least one recording"),
        ({"golden": [{"file": "golden/1.wav", "scores": [0.5]}]}, "must be among files; got 'golden/1.wav'"),
        ({"golden": [{"file": "golden/0.wav", "scores": [0.5, 0.5]}]}, "golden scores must be 1 numbers"),
        ({"golden": [{"file": "golden/0.wav", "scores": [float("nan")]}]}, "golden scores must be 1 numbers"),
        ({"tolerance": -1}, "tolerance must be a number of at least 0"),
        ({"model": "m"}, "model must be an object"),
    ],
)
def test_a_broken_rule_is_told(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(RuntimeInputError, match=match):
        manifest.parse(values(**changes))


@pytest.mark.parametrize("key", sorted(values()))
def test_every_key_is_needed(key: str) -> None:
    with pytest.raises(RuntimeInputError, match="its keys must be"):
        manifest.parse({k: v for k, v in values().items() if k != key})


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "c:/x", "", ".", "manifest.json"]
)
def test_a_path_never_leaves_the_folder(path: str) -> None:
    with pytest.raises(RuntimeInputError, match="relative paths that stay in the folder"):
        manifest.parse(values(files=values()["files"] | {path: SHA256}))


def test_damage_is_found(release: Path) -> None:
    parsed = manifest.load(release)
    assert manifest.damaged_files(release, parsed) == []
    (release / "golden" / "1.wav").unlink()
    with (release / "model.tflite").open("ab") as stream:
        stream.write(b"x")
    assert manifest.damaged_files(release, parsed) == ["golden/1.wav", "model.tflite"]


def test_a_folder_without_manifest_and_one_without_json(release: Path, alter: Callable[..., None]) -> None:
    with pytest.raises(RuntimeInputError, match="Name a release's folder"):
        manifest.load(release / "golden")
    (release / "manifest.json").write_text("{")
    with pytest.raises(RuntimeInputError, match="is not JSON"):
        manifest.load(release)
