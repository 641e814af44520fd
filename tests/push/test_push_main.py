"""The stage as `dvc repro` runs it, with the registry that the stage before filled."""

import shutil
from pathlib import Path

import pytest
import tiny  # type: ignore[import-not-found]

from stages.core.project import files, layout
from stages.core.project.errors import DataError, DeviceError
from stages.core.tracking import connection
from stages.push import __main__ as stage
from stages.push import bundle


def register() -> int:
    return tiny.register(connection.connect(layout.MLRUNS), layout.SELECTED)


@pytest.fixture
def project(selections: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(selections[0], layout.SELECTED)
    return tmp_path


def configure(project: Path, *folders: str, rollout: str = "{}") -> None:
    lines = [f"    - {{name: {Path(f).name}, transport: local, folder: {f}}}\n" for f in folders]
    (project / "params.yaml").write_text(f"push:\n  rollout: {rollout}\n  devices:\n" + "".join(lines))


@pytest.mark.thorough
def test_pushes_to_every_device_and_says_so_the_same_way_twice(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(project, "devices/attic", "devices/cellar")
    version = register()
    stage.main()
    written = layout.PUSHED.read_bytes()
    assert capsys.readouterr().out.count("  installed  ") == 2
    stage.main()
    assert capsys.readouterr().out.count("  already there  ") == 2
    assert layout.PUSHED.read_bytes() == written
    attic, cellar = files.read_json(layout.PUSHED)
    assert (attic["name"], cellar["name"]) == ("attic", "cellar")
    assert attic["model_sha256"] == files.sha256(project / "devices/attic/current/model.tflite")
    assert attic["release"] == bundle.release_id(project / "devices/attic/current")
    assert attic["max_difference"] == 0.0
    assert set(attic["differences"].values()) == {0.0}
    assert files.read_json(project / "devices/attic/current/manifest.json")["version"] == version


@pytest.mark.thorough
@pytest.mark.parametrize("rollout, others", [("{}", "not tried"), ("{canary: 0, stop_at_failures: 2}", "installed")])
def test_a_failing_device_is_named_and_leaves_no_output(
    project: Path, capsys: pytest.CaptureFixture[str], rollout: str, others: str
) -> None:
    configure(project, "params.yaml/attic", "devices/cellar", rollout=rollout)
    register()
    with pytest.raises(DeviceError, match=r"^attic(, cellar)? did not take"):
        stage.main()
    _, attic, cellar = capsys.readouterr().out.splitlines()
    assert " failed " in attic
    assert "Device attic cannot be written" in attic
    assert cellar.split(maxsplit=1)[1].startswith(others)
    assert (project / "devices/cellar/current/model.tflite").is_file() == (others == "installed")
    assert not layout.PUSHED.exists()


def test_a_model_that_is_not_registered_has_no_version(project: Path) -> None:
    configure(project, "devices/attic")
    with pytest.raises(DataError, match=r"not registered as tiny, .*`dvc repro --force"):
        stage.main()
    assert not (project / "devices").exists()
