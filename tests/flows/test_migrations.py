"""Two databases made in one process at a time: a grid that grows beside an empty MLflow and an empty Prefect."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.execution import prefect_server
from stages.core.project import migrations
from stages.core.project.provenance import ROOT
from stages.core.tracking import connection


@pytest.mark.thorough
def test_a_grid_grows_beside_an_empty_mlflow_and_an_empty_prefect(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}

    def sweep(home: str, *cells: str) -> None:
        command = [sys.executable, str(ROOT / "tests/flows/fake_sweep.py"), str(tmp_path), "work", "", *cells]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment | {"PREFECT_HOME": str(tmp_path / home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr  # such as that MLflow does not answer

    sweep("first", "a")
    shutil.rmtree(tmp_path / "mlruns")
    sweep("second", "a", "b")
    tracker = connection.find(tmp_path / "mlruns")
    logged = tracker.client.search_runs([tracker.experiment_id], "attributes.status = 'FINISHED'")
    assert sorted(run.data.tags.get("mlflow.runName", "")[:9] for run in logged if "edac.key" in run.data.tags) == [
        "a-float16",
        "a-float32",
        "b-float16",
        "b-float32",
    ]


@pytest.mark.thorough
def test_ctrl_c_while_prefect_migrates_lets_no_other_migration_begin_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Migrating:
        def __init__(self, _config: object) -> None:
            self.should_exit = False
            self.asked = threading.Event()

        @property
        def started(self) -> bool:
            self.asked.set()
            raise KeyboardInterrupt

        def run(self, **_sockets: object) -> None:
            self.asked.wait(10)
            other = threading.Thread(target=lambda: events.append(f"free: {migrations.LOCK.acquire(timeout=0.2)}"))
            other.start()
            other.join()
            events.append(f"asked to end: {self.should_exit}")

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("uvicorn.Server", Migrating)
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),  # other tests of this process may share a server
        pytest.raises(KeyboardInterrupt),
        prefect_server.server(),
    ):
        pass
    assert events == ["free: False", "asked to end: True"]
