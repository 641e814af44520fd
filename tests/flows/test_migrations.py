"""Two databases made in one process at a time: a grid that grows beside an empty MLflow and an empty Prefect."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
