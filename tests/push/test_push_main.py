"""The stage as `dvc repro` runs it."""

import shutil
from pathlib import Path

import pytest

from stages.core import files, layout
from stages.core.errors import DeviceError
from stages.push import __main__ as stage
from stages.push import bundle


@pytest.fixture
def project(selections: list[Path], features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(selections[0], layout.SELECTED)
    shutil.copytree(features, layout.FEATURES)
    return tmp_path


def configure(project: Path, *folders: str) -> None:
    lines = [f"    - {{name: {Path(f).name}, transport: local, folder: {f}}}\n" for f in folders]
    (project / "params.yaml").write_text("push:\n  golden_recordings: 2\n  devices:\n" + "".join(lines))


def test_pushes_to_every_device_and_says_so_the_same_way_twice(
    project: Path, bundles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(project, "devices/attic", "devices/cellar")
    stage.main()
    written = layout.PUSHED.read_bytes()
    assert capsys.readouterr().out.count(" installed\n") == 2
    stage.main()
    assert capsys.readouterr().out.count(" already there\n") == 2
    assert layout.PUSHED.read_bytes() == written
    attic, cellar = files.read_json(layout.PUSHED)
    assert (attic["name"], cellar["name"]) == ("attic", "cellar")
    assert attic["model_sha256"] == files.sha256(project / "devices/attic/current/model.tflite")
    assert attic["release"] == bundle.release_id(project / "devices/attic/current")
    assert attic["max_difference"] == 0.0


def test_a_failing_device_is_named_after_the_others_were_served(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(project, "params.yaml/attic", "devices/cellar")
    with pytest.raises(DeviceError, match=r"^attic did not take the release"):
        stage.main()
    said = capsys.readouterr().out
    assert "attic: FAILED. Device attic cannot be written" in said
    assert "cellar: release" in said
    assert (project / "devices/cellar/current/model.tflite").is_file()
    assert not layout.PUSHED.exists()
