"""Artifacts on a flow run's page in Prefect's UI: progress, and tables in Markdown."""

import time
from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

_REFRESH_S = 5.0


class Progress:
    """Progress of a flow run in percent, updated every few seconds at most.

    Parameters
    ----------
    done, total : int
        Counts of finished and of all cells.
    """

    def __init__(self, done: int, total: int) -> None:
        self._done, self._total, self._updated = done, total, time.monotonic()
        self._artifact: Any = create_progress_artifact(100 * done / total, key="progress", description="cells finished")

    def advance(self) -> None:
        """Count one more finished cell."""
        self._done += 1
        if time.monotonic() - self._updated > _REFRESH_S or self._done == self._total:
            self._updated = time.monotonic()
            update_progress_artifact(self._artifact, 100 * self._done / self._total)


def show(artifacts: Mapping[str, str]) -> None:
    """Put texts on the flow run's page.

    Parameters
    ----------
    artifacts : Mapping[str, str]
        Name, in lower case, to Markdown.
    """
    for name, markdown in artifacts.items():
        create_markdown_artifact(markdown, key=name)
