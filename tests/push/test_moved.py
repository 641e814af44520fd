"""A project that is moved, copied or reached under another name: registry, push and MLflow's own `load_model`."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny  # type: ignore[import-not-found]

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp())  # before Prefect is imported

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.provenance import ROOT
from stages.core.tracking import connection, moved
from tests.console import edac
from tests.marks import thorough_but

PARAMS = """\
select: {registered_name: tiny,}
push:
  devices:
    - {name: attic, transport: local, folder: devices/attic}
"""
LOAD = """\
import os, sys, mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny@champion")
print(model.predict(np.zeros((1, 4000), np.float32)).shape)
print(mlflow.MlflowClient().get_model_version_by_alias("tiny", "champion").run_id)
"""


@pytest.fixture(scope="module")
def original(selections: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two versions of a model in its own MLflow; the second is the champion. Its name needs quoting."""
    project = tmp_path_factory.mktemp("home") / "my projéct 100%"
    project.mkdir()
    (project / "params.yaml").write_text(PARAMS)
    tracker = connection.connect(project / "mlruns", "tiny")
    for selected in selections[:2]:
        tiny.register(tracker, selected)
    return project


@pytest.fixture
def project(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project that believes itself where it lies."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = tmp_path / "before" / original.name
    shutil.copytree(original, project, symlinks=True)
    moved.follow(project / "mlruns")
    return project


def move(project: Path) -> Path:
    target = project.parents[1] / "after it"
    project.rename(target)
    return target


def copy(project: Path) -> Path:
    target = project.parents[1] / "a copy"
    subprocess.run(["cp", "-a", project, target], check=True)
    return target


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def load(folder: Path, *, plugin: Path | None = None) -> str:
    """Load the champion in a program that knows nothing of EDAC but, with `plugin`, that it is installed."""
    path = os.pathsep.join(map(str, (ROOT, *([plugin] if plugin else []))))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, connection.local_uri(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("happen", thorough_but([move, copy]))
def test_everything_works_after_a_move_and_a_copy_leaves_the_original_alone(
    happen: Callable[[Path], Path],
    project: Path,
    selections: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents(project)
    there = happen(project)
    monkeypatch.chdir(there)
    assert edac("models") == 0
    assert edac("promote", "1", "--force") == 0
    assert edac("push") == 0
    assert files.read_json(there / "devices/attic/current/manifest.json")["version"] == 1
    tracker = connection.connect(Path("mlruns"), "tiny")
    version = tiny.register(tracker, selections[2])  # a new model lands here
    tracker.add_device_metrics("tiny", version, "attic", {"together_ms": {"p50": 1.5}})
    tracker.download("tiny", str(version), there / "fetched")
    assert load(there / "mlruns").startswith("(1, 3)")
    assert len(list((there / "mlruns/artifacts").glob("*/artifacts"))) == 3
    if happen is copy:
        assert contents(project) == before
    else:
        assert not project.exists()  # nothing was written where it lay
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err


@pytest.mark.thorough
def test_mlflow_alone_finds_a_moved_model_where_edac_is_installed(project: Path, tmp_path: Path) -> None:
    information = tmp_path / "site/edac-0.dist-info"  # as pip writes it, of pyproject.toml
    files.write_text(information / "METADATA", "Metadata-Version: 2.1\nName: edac\nVersion: 0\n")
    points = "[mlflow.tracking_store]\nsqlite = stages.core.tracking.moved:tracking_store\n"
    files.write_text(information / "entry_points.txt", points)
    assert 'sqlite = "stages.core.tracking.moved:tracking_store"' in (ROOT / "pyproject.toml").read_text()
    there = move(project)
    assert load(there / "mlruns", plugin=tmp_path / "site").startswith("(1, 1)")


def test_a_folder_under_another_name_keeps_its_paths(project: Path, tmp_path: Path) -> None:
    before = (project / "mlruns/mlflow.db").read_bytes()
    (tmp_path / "link").symlink_to(project)
    connection.find(tmp_path / "link/mlruns", experiment="tiny")
    assert (project / "mlruns/mlflow.db").read_bytes() == before


def test_artefacts_elsewhere_and_older_databases(project: Path) -> None:
    """An experiment on a shared store stays there; the first experiment of older projects had a folder of its own."""
    database = project / "mlruns/mlflow.db"
    client = connection.connect(project / "mlruns", "tiny").client
    client.create_experiment("shared", artifact_location="s3://bucket/artifacts")
    client.create_experiment("disk", artifact_location="file:///big/artifacts")
    older = f"{(project / 'mlruns').as_uri()}/0"
    with sqlite3.connect(database) as edited:
        edited.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (older,))
    edited.close()
    there = move(project)
    tracker = connection.connect(there / "mlruns", "tiny")
    held = {each.name: each.artifact_location for each in tracker.client.search_experiments()}
    assert held["tiny"] == (there / "mlruns/artifacts").as_uri()
    assert held["shared"] == "s3://bucket/artifacts"
    assert held["disk"] == "file:///big/artifacts"
    tracker.download("tiny", "champion", there / "fetched")


@pytest.mark.thorough
@pytest.mark.parametrize("shared", ["by address", "by a link"])
def test_a_second_checkout_on_the_same_store_writes_there_alone(
    shared: str, project: Path, selections: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "params.yaml").write_text(PARAMS)
    if shared == "by address":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", connection.local_uri(project / "mlruns"))
    else:
        (clone / "mlruns").symlink_to(project / "mlruns")
    before = {name: held for name, held in contents(project).items() if not name.startswith("mlruns/mlflow.db")}
    monkeypatch.chdir(clone)
    assert edac("push") == 0
    assert files.read_json(clone / "devices/attic/current/manifest.json")["version"] == 2
    tracker = connection.connect(Path("mlruns"), "tiny")
    version = tiny.register(tracker, selections[2])
    tracker.download("tiny", str(version), clone / "fetched")
    after = contents(project)
    assert before.items() <= after.items()
    assert all(name.startswith("mlruns/") for name in after.keys() - before.keys())
    assert {folder.name for folder in clone.iterdir()} <= {"params.yaml", "devices", "fetched", "mlruns"}
    assert shared == "by a link" or not (clone / "mlruns/artifacts").exists()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    assert edac("push") == 0  # what the clone registered comes from where the original lies
    assert files.read_json(project / "devices/attic/current/manifest.json")["version"] == version


def test_runs_that_a_moved_project_left_open_are_closed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    left = connection.connect(project / "mlruns", "tiny").open_sweep("killed", {})
    there = move(project)
    monkeypatch.chdir(there)
    tracker = connection.connect(there / "mlruns", "tiny")
    with tracker.sweep("next", {}):
        pass
    assert tracker.client.get_run(left).info.status == "KILLED"


def test_many_at_once_follow_one_move(project: Path) -> None:
    there = move(project)
    threads = [threading.Thread(target=moved.follow, args=(there / "mlruns",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.find(there / "mlruns", experiment="tiny").download("tiny", "champion", there / "fetched")


def test_a_copy_that_cannot_be_changed_is_one_sentence(project: Path) -> None:
    there = copy(project)
    with contextlib.closing(sqlite3.connect(there / "mlruns/mlflow.db")) as database:  # as root, modes do not hinder
        database.execute("CREATE TRIGGER kept BEFORE UPDATE ON experiments BEGIN SELECT RAISE(ABORT, 'kept'); END")
    with pytest.raises(DataError, match=r"was moved .*\(kept\)"):
        connection.find(there / "mlruns", experiment="tiny")
    (there / "mlruns/.mlflow.db.lock").unlink(missing_ok=True)
    (there / "mlruns/.mlflow.db.lock").mkdir()
    with pytest.raises(DataError, match=r"mlflow\.db\.lock must be a lock, a file"):
        connection.find(there / "mlruns", experiment="tiny")
