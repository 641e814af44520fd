"""Jobs in processes of this machine."""

import contextlib
from collections.abc import Iterator
from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from flows.execution.executor import ExecutionParams, Executor


class LocalExecutor(Executor):
    """Runs jobs in threads of this process, each of which waits for a process of its own.

    Parameters
    ----------
    params : ExecutionParams
    lock : int
        File descriptor of the store's lock. The jobs' processes inherit it, so that the lock is free only when the last
        of them has ended.
    """

    def __init__(self, params: ExecutionParams, *, lock: int) -> None:
        self._processes, workers = params.processes(keep=[lock]), params.local_workers()
        runner: Any = ThreadPoolTaskRunner(max_workers=workers)
        super().__init__(params, runner, self._processes.run, workers)

    def stop(self) -> None:
        """End the jobs' processes and start no more."""
        self._processes.stop()


@contextlib.contextmanager
def local(params: ExecutionParams, *, lock: int) -> Iterator[LocalExecutor]:
    """Yield a `LocalExecutor` and stop it when the block ends."""
    executor = LocalExecutor(params, lock=lock)
    try:
        yield executor
    finally:
        executor.stop()
