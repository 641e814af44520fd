"""The loop over a sweep's missing cells, inside one Prefect flow run.

The one module of the sweep that imports Prefect. That takes seconds, so `flows.sweep.run` imports this module only if
there is a cell to make.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from flows.execution.executor import JOB_BYTES, ExecutionParams, Executor, Job
from flows.execution.flow_page import Progress, show
from flows.execution.local import local
from flows.execution.prefect_server import server
from flows.sweep import page
from flows.sweep.grid import Cell
from flows.sweep.params import SweepParams
from flows.sweep.store import Store
from flows.sweep.work import Work
from stages.core.project.errors import EdacError
from stages.core.project.progress import track
from stages.core.tracking.spool import Spool


def compute(work: Work, sweep: SweepParams, store: Store, lock: int, spool: Spool) -> None:
    """Make every cell that the store lacks and log its variants; a failed cell stops no other.

    Parameters
    ----------
    work : Work
    sweep : SweepParams
    store : Store
    lock : int
        File descriptor of the store's lock.
    spool : Spool
        Takes results for MLflow.

    Raises
    ------
    EdacError
        If a cell failed, after all others are finished; names each with its reason.
    """
    missing = {cell.key: cell for cell in work.cells if not store.has_variants(cell)}
    total, done = len(work.cells), len(work.cells) - len(missing)

    def flow() -> None:
        progress, failures = Progress(done, total), dict[str, str]()
        outcomes = executor.run(_jobs(missing.values(), work, store))
        for job, failure in track(outcomes, "sweep", total=total, initial=done):
            cell = missing[job.key]
            if failure is None:
                for variant, model in store.finished([cell]):
                    spool.variant(variant, model)
            else:
                failures[cell.title] = failure
                spool.failure(cell.title, cell.key, failure)
            progress.advance()
        show(page.artifacts([variant for variant, _ in store.finished(work.cells)], work.metric))
        _raise_failures(failures, len(missing), store)

    with server(), executor_of(sweep, work.preload, store.root, lock, work.job_bytes) as executor:
        executor.in_flow(f"sweep of {len(missing)} cells", flow)


@contextlib.contextmanager
def executor_of(
    sweep: SweepParams, preload: tuple[str, ...], folder: Path, lock: int, job_bytes: float | None = None
) -> Iterator[Executor]:
    """Yield the executor that `sweep.runner` names.

    Parameters
    ----------
    sweep : SweepParams
    preload : tuple[str, ...]
        Modules that the jobs' processes need; see `flows.execution.forkserver`.
    folder : Path
        Takes the jobs' results; all workers must see it.
    lock : int
        File descriptor of the folder's lock.
    job_bytes : float or None
        Memory that a job may need; None: unknown.
    """
    params = ExecutionParams(
        preload=preload,
        workers=sweep.workers,
        threads=sweep.threads,
        timeout_s=sweep.cell_timeout_s,
        retries=sweep.retries,
        retry_delay_s=sweep.retry_delay_s,
        job_bytes=job_bytes or JOB_BYTES,
    )
    if sweep.runner == "local":
        with local(params, lock=lock) as executor:
            yield executor
    else:
        from flows.execution.dask import dask  # takes seconds, and only this runner needs it

        with dask(params, address=sweep.dask.address, store=folder) as executor:
            yield executor


def _jobs(cells: Iterable[Cell], work: Work, store: Store) -> Iterator[Job]:
    for cell in cells:
        commits = tuple(store.folder("variants", planned.key).absolute() for planned in cell.variants)
        tags = ("cell", cell.schedule) if cell.schedule else ("cell",)
        log = store.log(cell.name).absolute()
        yield Job(cell.key, cell.title, tuple(work.arguments(cell)), log, commits, tags)


def _raise_failures(failures: Mapping[str, str], total: int, store: Store) -> None:
    if failures:
        each = "; ".join(f"{title} ({reason})" for title, reason in sorted(failures.items()))
        raise EdacError(
            f"{len(failures)} of {total} cells failed: {each}. What succeeded is kept; read "
            f"{store.log('<cell>').absolute()}, fix the cause and run the same command again."
        )
