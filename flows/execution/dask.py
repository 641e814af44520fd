"""Cells on Dask's workers: a cluster of this machine for the time of the sweep, or a scheduler that runs already."""

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

from flows.execution import processes
from flows.execution.local import Crew, Setup, workers_of
from flows.sweep.params import SweepParams
from flows.sweep.store import Store
from stages.core.project import provenance
from stages.core.project.errors import EdacError, ParameterError

_CONNECT_S = 10
_ABSENT_S = 60
# As it is when this is imported, which is when a worker first runs a sweep: it must not go on with what it then read.
_CODE = provenance.code_hash(
    ["flows.sweep.cell", __name__], ("tensorflow", "tf_keras", "ai-edge-litert", "ai-edge-quantizer")
)


@contextlib.contextmanager
def dask(sweep: SweepParams, setup: Setup, *, store: Store) -> Iterator[Crew]:
    """Yield the workers of a Dask cluster.

    A cell's process is a child of its worker's and ends with it. A task whose worker is lost is given to another, and
    finds in the store what was finished.

    Parameters
    ----------
    sweep : SweepParams
    setup : Setup
    store : Store
        Must be on a file system that all workers share.

    Raises
    ------
    ParameterError
        If there is no scheduler or worker, or the workers do not see the store, have other code, or cannot tell the
        Prefect server of their tasks.
    """
    with contextlib.ExitStack() as stack:
        address = sweep.dask.address
        if address is None:
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers_of(sweep), threads_per_worker=1, memory_limit=0, dashboard_address=None
            )
            address = str(stack.enter_context(cluster).scheduler_address)
        client = stack.enter_context(_connected(address))
        workers = _inspect(client, address, store)
        present = time.monotonic()
        gone = EdacError(
            f"the Dask scheduler {address} is gone. What was finished is kept; start it and run the same command again."
        )

        def check() -> None:
            nonlocal present
            try:
                working = bool(client.nthreads())  # type: ignore[no-untyped-call]
            except OSError:
                raise gone from None
            if working:
                present = time.monotonic()
            elif time.monotonic() - present > _ABSENT_S:
                raise EdacError(
                    f"the Dask scheduler {address} has had no worker for {_ABSENT_S} s. What was finished is kept; "
                    "start some and run the same command again."
                )

        def lost(error: BaseException) -> str | None:
            return "lost its worker again and again" if isinstance(error, KilledWorker) else None

        runner: Any = DaskTaskRunner(address=address)
        try:
            yield Crew(runner, functools.partial(_run, setup), workers, lambda: None, lost, check)
        except (FutureCancelledError, ClosedClientError, CommClosedError):  # of a result, or of a task to submit
            raise gone from None


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError:
        raise ParameterError(
            f"sweep.dask.address: no Dask scheduler answers at {address}. "
            "Start it with `dask scheduler`, or write null for a cluster on this machine."
        ) from None


def _inspect(client: Client, address: str, store: Store) -> int:
    """Return how many cells the workers run at a time, after a look at what they need."""
    threads = client.nthreads()  # type: ignore[no-untyped-call]
    if not threads:
        raise ParameterError(
            f"sweep.dask.address: the scheduler {address} has no workers. Start some in the project's folder: "
            f"`dask worker {address} --nthreads 1`."
        )
    store.root.mkdir(parents=True, exist_ok=True)
    token = store.root.absolute() / f".seen-{secrets.token_hex(8)}"
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
    """Return, on a worker, what is wrong with it."""
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


def _run(setup: Setup, arguments: Sequence[str], *, log: Path, timeout_s: float) -> None:
    """Do on a worker what `Processes.run` does."""
    _of_this_worker(setup).run(arguments, log=log, timeout_s=timeout_s)


@functools.cache
def _of_this_worker(setup: Setup) -> processes.Processes:
    return setup.processes()
