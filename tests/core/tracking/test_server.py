"""Pages of MLflow to which the printed links lead."""

import sqlite3
from pathlib import Path

from stages.core.tracking import server


def test_a_link_leads_to_the_experiment_of_the_newest_run_in_the_view_for_trained_models(tmp_path: Path) -> None:
    assert server.page(tmp_path) == server.EXPERIMENTS == "/#/experiments?workflowType=machine_learning"
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("CREATE TABLE runs (experiment_id INTEGER, start_time INTEGER)")
        database.executemany("INSERT INTO runs VALUES (?, ?)", [(2, 10), (7, 30), (3, 20)])
    database.close()
    assert server.page(tmp_path) == "/#/experiments/7/runs?workflowType=machine_learning"
    assert server.REGISTRY == "/#/models?workflowType=machine_learning"
