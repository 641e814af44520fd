"""Prefect flows and what composes the stages; the only place that knows Prefect."""

import os
from pathlib import Path

# Said before Prefect or MLflow is imported, and inherited by every process a flow starts.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").absolute()))
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # a flow tells its own progress and its own failures
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
