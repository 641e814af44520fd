"""Jobs on Dask workers: a cluster of this machine for the duration of the sweep, or a scheduler that runs already."""

import contextlib
import functools
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, LocalCluster
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from prefect.settings import PREFECT_API_URL
from prefect_dask.task_runners import DaskTaskRunner

from flows.execution import failures
from flows.execution.executor import ExecutionParams, Executor
from flows.execution.processes import Processes
from stages.core.project import provenance
from stages.core.project.errors import EdacError, ParameterError

_CONNECT_S = 10
_ABSENT_S = 60
# Computed when this module is imported, which is when a worker first runs a sweep: it refuses newer code afterwards.
_CODE = provenance.code_hash(
    ["flows.sweep.cell", __name__], ("tensorflow", "tf_keras", "ai-edge-litert", "ai-edge-quantizer")
)


class DaskExecutor(Executor):
    """Runs jobs on the workers of a Dask cluster.

    A job's process is a child of its worker's and ends with it. A task whose worker is lost goes to another worker,
    which finds in the store what was finished.

    Parameters
    ----------
    params : ExecutionParams
    client : Client
        Connection to the scheduler.
    address : str
        Address of the scheduler.
    workers : int
        Jobs that the workers run at a time.
    """

    def __init__(self, params: ExecutionParams, client: Client, address: str, workers: int) -> None:
        self._client, self._address = client, address
        runner: Any = DaskTaskRunner(address=address)
        super().__init__(params, runner, functools.partial(_run_process, params), workers)
        self._present = time.monotonic()

    def check(self) -> None:
        """Raise an `EdacError` if the scheduler is gone, or has had no worker for a minute."""
        try:
            working = bool(self._client.nthreads())  # type: ignore[no-untyped-call]
        except OSError:
            raise _gone(self._address) from None
        if working:
            self._present = time.monotonic()
        elif time.monotonic() - self._present > _ABSENT_S:
            raise EdacError(
                f"the Dask scheduler {self._address} has had no worker for {_ABSENT_S} s. What was finished is kept; "
                "start some and run the same command again."
            )

    def describe_failure(self, exception: BaseException) -> str | None:
        """Return the sentence that describes a job's failure, such as a worker lost in every attempt."""
        return failures.WORKER_LOST if isinstance(exception, KilledWorker) else super().describe_failure(exception)


@contextlib.contextmanager
def dask(params: ExecutionParams, *, address: str | None, store: Path) -> Iterator[DaskExecutor]:
    """Yield a `DaskExecutor`.

    Parameters
    ----------
    params : ExecutionParams
    address : str or None
        Address of a running scheduler; None starts a cluster on this machine, which ends with the block.
    store : Path
        Folder of the cell store, on a file system that all workers share.

    Raises
    ------
    ParameterError
        If there is no scheduler or worker, or the workers do not see the store, have other code, or cannot reach the
        Prefect server.
    """
    with contextlib.ExitStack() as stack:
        if address is None:
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=params.local_workers(), threads_per_worker=1, memory_limit=0, dashboard_address=None
            )
            address = str(stack.enter_context(cluster).scheduler_address)
        client = stack.enter_context(_connected(address))
        workers = _inspect(client, address, store)
        try:
            yield DaskExecutor(params, client, address, workers)
        except (FutureCancelledError, ClosedClientError, CommClosedError):  # of a result, or of a task to submit
            raise _gone(address) from None


def _gone(address: str) -> EdacError:
    return EdacError(
        f"the Dask scheduler {address} is gone. What was finished is kept; start it and run the same command again."
    )


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError:
        raise ParameterError(
            f"sweep.dask.address: no Dask scheduler answers at {address}. "
            "Start it with `dask scheduler`, or write null for a cluster on this machine."
        ) from None


def _inspect(client: Client, address: str, store: Path) -> int:
    """Return how many jobs the workers run at a time, after checking that each can run them."""
    threads = client.nthreads()  # type: ignore[no-untyped-call]
    if not threads:
        raise ParameterError(
            f"sweep.dask.address: the scheduler {address} has no workers. Start some in the project's folder: "
            f"`dask worker {address} --nthreads 1`."
        )
    store.mkdir(parents=True, exist_ok=True)
    token = store.absolute() / f".seen-{secrets.token_hex(8)}"
    token.touch()
    try:
        faults = client.run(_fault, token, _CODE, PREFECT_API_URL.value(), on_error="return")
    finally:
        token.unlink()
    for worker, fault in sorted(faults.items()):
        if isinstance(fault, Exception):
            fault = f"cannot run this project ({fault}). Start it in the project's folder, in such an environment."
        if fault is not None:
            raise ParameterError(f"sweep.dask.address: the worker {worker} {fault}")
    return sum(threads.values())


def _fault(token: Path, code: str, api: str) -> str | None:
    """Return, on a worker, why it cannot run jobs; None if it can."""
    if not token.is_file():
        return f"does not see {token.parent}. sweep.store must be on a file system that all workers share."
    if code != _CODE:
        return "has other code than this sweep. Bring the project's folder there to the same state and start it anew."
    url = urlsplit(api)
    try:
        socket.create_connection((str(url.hostname), url.port or 443), _CONNECT_S).close()
    except OSError:
        return f"does not reach the Prefect server {api}. Set PREFECT_API_URL to one that all workers reach."
    return None


def _run_process(params: ExecutionParams, arguments: Sequence[str], *, log: Path, timeout_s: float) -> None:
    """Run a job's process on a worker."""
    _processes_of_this_worker(params).run(arguments, log=log, timeout_s=timeout_s)


@functools.cache
def _processes_of_this_worker(params: ExecutionParams) -> Processes:
    return params.processes()
