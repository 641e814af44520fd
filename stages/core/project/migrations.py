"""One database migration at a time: Prefect's and MLflow's share Alembic's global state in a process."""

import threading

LOCK = threading.RLock()
"""Held while a database of Prefect or MLflow is made or migrated in this process."""
