"""Log a sweep's results from a background thread, so that an MLflow outage never blocks a cell.

The spool itself is in memory and need not be kept: all but a failed cell's sentence can be made again from the cell
store or from the assembled sweep, by running the sweep again or the stage select.
"""

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stages.core.artifacts.variant import Variant
from stages.core.tracking.connection import Tracker, TrackingUnavailableError, reaching

Job = Callable[[Tracker, str], object]
"""Gets the tracker and the id of the sweep's run; may be repeated."""


class Spool:
    """Queue of results to log from a background thread; see `spooled`.

    Attributes
    ----------
    logged : int
        How many results are in MLflow.
    """

    def __init__(
        self, connect: Callable[[], Tracker], key: str, parameters: Mapping[str, Any], *, retry_s: float
    ) -> None:
        self._put_in = self.logged = 0  # each written by one thread only
        self._connect, self._key, self._parameters, self._retry_s = connect, key, parameters, retry_s
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._work_done = self._pool.submit(self._work)

    def variant(self, variant: Variant, model: Path) -> None:
        """Log a variant with its model file, sooner or later."""
        self._put(lambda tracker, parent: tracker.log_variant(variant, model, parent))

    def variants(self, made: Sequence[tuple[Variant, Path]]) -> None:
        """Log what of a store MLflow lacks, sooner or later; for many at once."""
        if made:
            self._put(lambda tracker, parent: tracker.log_variants(made, parent), len(made))

    def failure(self, title: str, key: str, reason: str) -> None:
        """Log a failed cell, sooner or later."""
        self._put(lambda tracker, parent: tracker.log_failure(title, key, reason, parent))

    def close(self, status: str) -> None:
        """Log what waits, close the sweep's run and return; gives up at once where MLflow does not answer then."""
        self._jobs.put(lambda tracker, parent: tracker.close_sweep(parent, status))
        self._jobs.put(None)
        self._closing.set()
        self._pool.shutdown()
        self._work_done.result()

    def _put(self, job: Job, results: int = 1) -> None:
        self._put_in += results

        def counted(tracker: Tracker, parent: str) -> None:
            job(tracker, parent)
            self.logged += results

        self._jobs.put(counted)

    def _work(self) -> None:
        link: tuple[Tracker, str] | None = None
        told = False
        while (job := self._jobs.get()) is not None:
            while True:
                last = self._closing.is_set()
                try:
                    with reaching():
                        link = link or self._open()
                        job(*link)
                    told = False
                    break
                except TrackingUnavailableError as error:
                    link = None
                    if last:
                        left = self._put_in - self.logged
                        _tell(f"{error} {left} results are not logged; `dvc repro` will, once MLflow is back.")
                        return
                    if not told:
                        _tell(f"{error} The sweep goes on meanwhile.")
                    told = True
                    self._closing.wait(self._retry_s)

    def _open(self) -> tuple[Tracker, str]:
        tracker = self._connect()
        return tracker, tracker.open_sweep(self._key, self._parameters)


@contextlib.contextmanager
def spooled(
    connect: Callable[[], Tracker], key: str, parameters: Mapping[str, Any], *, retry_s: float = 5.0
) -> Iterator[Spool]:
    """Log a sweep while it runs; its run is closed as FINISHED or, after an error, as FAILED.

    Parameters
    ----------
    connect : Callable
        Makes the tracker; called again after MLflow was away.
    key, parameters
        See `Runs.open_sweep`.
    retry_s : float
        Wait before MLflow is asked again.

    Yields
    ------
    Spool
    """
    spool, status = Spool(connect, key, parameters, retry_s=retry_s), "FAILED"
    try:
        yield spool
        status = "FINISHED"
    finally:
        spool.close(status)


def _tell(sentence: str) -> None:
    print(f"warning: {sentence}", file=sys.stderr, flush=True)
