"""The MLflow server as an application of this process, so that something can stand in front of it."""

import contextlib
import os
import sqlite3
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.project import lazy

if TYPE_CHECKING:
    from mlflow import environment_variables as names
    from mlflow.server import constants, fastapi_app
else:
    names, constants = lazy.module("mlflow.environment_variables"), lazy.module("mlflow.server.constants")
    fastapi_app = lazy.module("mlflow.server.fastapi_app")

from stages.core.tracking import moved


def create(folder: str) -> Any:
    """Return MLflow's ASGI application on the database and the artefacts of a folder.

    It is set up as `mlflow server --workers 1` sets up the process that serves it.
    """
    place = Path(folder).absolute()
    moved.follow(place)
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: f"{moved.SQLITE}{place / moved.DATABASE}",
        constants.REGISTRY_STORE_URI_ENV_VAR: f"{moved.SQLITE}{place / moved.DATABASE}",
        constants.ARTIFACT_ROOT_ENV_VAR: moved.artifacts_uri(place),
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(place / moved.ARTIFACTS),
        names._MLFLOW_SGI_NAME.name: "uvicorn",
        names._MLFLOW_SERVER_BOOT_ID.name: uuid.uuid4().hex,
        names._MLFLOW_IN_JOB_EXECUTOR.name: "false",
    }
    return fastapi_app.app  # imported here: it reads the environment


_VIEW = "?workflowType=machine_learning"  # else MLflow opens as for language models, without runs and registry
EXPERIMENTS = f"/#/experiments{_VIEW}"
REGISTRY = f"/#/models{_VIEW}"


def page(folder: Path) -> str:
    """Return the page of MLflow that shows the runs of the experiment with the newest run; of all, if there is none.

    Parameters
    ----------
    folder : Path
        Holds ``mlflow.db``, perhaps. It is read without MLflow, whose import takes seconds.
    """
    database = folder / moved.DATABASE
    newest = None
    if database.is_file():
        with contextlib.closing(sqlite3.connect(database)) as connection, contextlib.suppress(sqlite3.Error):
            newest = connection.execute("SELECT experiment_id FROM runs ORDER BY start_time DESC LIMIT 1").fetchone()
    return f"/#/experiments/{newest[0]}/runs{_VIEW}" if newest else EXPERIMENTS
