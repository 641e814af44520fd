"""Prefect flows and everything else that composes the stages; the only package that imports Prefect."""

import contextlib
import os
from pathlib import Path

# Must be set before Prefect or MLflow is imported; every process that a flow starts inherits them.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
with contextlib.suppress(FileNotFoundError):  # the current folder was removed: there is no project to work in
    os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").absolute()))
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # flows report their own progress and failures
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
