"""Cells as Prefect task runs: retried, told to people, and handed to this machine's workers or to Dask's.

What a task does is the same everywhere: start a process for the cell and wait for it. Cells are submitted in a window,
so that a grid of any size costs the flow no more memory than what runs and waits next.
"""

import contextlib
import itertools
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.execution import processes
from flows.sweep.grid import Cell
from flows.sweep.params import SweepParams
from stages.core.project.errors import EdacError
from stages.core.project.progress import track

CELL_BYTES = 1.5e9  # memory that a cell may need, TensorFlow and all
AHEAD = 4  # submitted cells per worker: one runs, the others wait
_REFRESH_S = 5.0  # of the progress on the flow run's page


@dataclass(frozen=True)
class Job:
    """A cell to be made.

    Attributes
    ----------
    title : str
        The task run's name.
    arguments : tuple[str, ...]
        Of Python, in the process that makes it.
    log : Path
        Takes what that prints.
    commits : tuple[Path, ...]
        Folders that are there when it is done.
    tags : tuple[str, ...]
        Of the task run. `prefect concurrency-limit create TAG N` limits how many of a tag run at a time, everywhere.
    """

    title: str
    arguments: tuple[str, ...]
    log: Path
    commits: tuple[Path, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """What the processes of all cells have in common: see `flows.execution.processes.Processes`."""

    preload: tuple[str, ...] = ()
    threads: int = 1

    def processes(self, keep: Sequence[int] = ()) -> processes.Processes:
        """Return a starter of such processes."""
        limits = {f"{library}_NUM_THREADS": str(self.threads) for library in ("OMP", "OPENBLAS", "MKL")}
        return processes.Processes(preload=self.preload, environment=limits, keep=keep)


@dataclass(frozen=True)
class Crew:
    """Who runs the tasks.

    Attributes
    ----------
    runner : TaskRunner
        Of Prefect.
    run : Callable
        `flows.execution.processes.Processes.run`, wherever the task runs; picklable if that is elsewhere.
    workers : int
        Tasks that run at a time.
    stop : Callable
        Ends what this process started.
    lost : Callable
        From what a future raised to the sentence that tells it, or None if that is no failure of the cell alone.
    check : Callable
        Called now and then while nothing returns; raises an `EdacError` if nothing will.
    """

    runner: TaskRunner[Any]
    run: Callable[..., None]
    workers: int
    stop: Callable[[], None]
    lost: Callable[[BaseException], str | None] = lambda _: None
    check: Callable[[], None] = lambda: None


def workers_of(sweep: SweepParams) -> int:
    """Return how many cells may run at a time on this machine: never more threads than processors, unless asked for."""
    if sweep.workers is not None:
        return sweep.workers
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(processors // sweep.threads, int(memory // CELL_BYTES)))


@contextlib.contextmanager
def local(sweep: SweepParams, setup: Setup, *, lock: int) -> Iterator[Crew]:
    """Yield threads of this process.

    Parameters
    ----------
    sweep : SweepParams
    setup : Setup
    lock : int
        The store's lock: inherited by the cells' processes, so that it is free only when the last of them is gone.
    """
    workers, here = workers_of(sweep), setup.processes(keep=[lock])
    runner: Any = ThreadPoolTaskRunner(max_workers=workers)
    try:
        yield Crew(runner, here.run, workers, here.stop)
    finally:
        here.stop()


def fan_out(
    cells: Sequence[Cell],
    job_of: Callable[[Cell], Job],
    crew: Crew,
    *,
    sweep: SweepParams,
    done: int = 0,
    finished: Callable[[Cell], None] = lambda _: None,
    failed: Callable[[Cell, str], None] = lambda *_: None,
    artefacts: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Make every cell; one that fails does not stop the others.

    Parameters
    ----------
    cells : Sequence[Cell]
    job_of : Callable
        Called in this thread when a cell is submitted.
    crew : Crew
    sweep : SweepParams
        Its limits: of time, and of tries.
    done : int
        How many cells of the sweep are finished already, for the progress bar.
    finished : Callable
        Called in this thread with each cell that succeeds.
    failed : Callable
        Called in this thread with each cell that fails, and with the reason.
    artefacts : Callable
        Returns, at the end, what the flow run's page shall show: names (lower case) and Markdown.

    Raises
    ------
    EdacError
        At the end, if any cell failed; names each with its reason.
    """
    run, timeout_s = crew.run, sweep.cell_timeout_s

    @task(
        name="cell",
        task_run_name="{job.title}",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=sweep.retries,
        retry_delay_seconds=[sweep.retry_delay_s * 2**i for i in range(sweep.retries)],
        retry_condition_fn=_another_try_may_help,
    )
    def cell(job: Job) -> None:
        if not all(folder.is_dir() for folder in job.commits):  # Dask runs anew what a lost worker had finished
            run(job.arguments, log=job.log, timeout_s=timeout_s)

    def at_home() -> None:
        waiting = iter(cells)
        submitted: dict[Any, Cell] = {}
        returned: queue.SimpleQueue[Any] = queue.SimpleQueue()
        reasons: dict[str, str] = {}

        def submit(count: int) -> None:
            for each in itertools.islice(waiting, count):
                job = job_of(each)
                future = cell.with_options(tags=job.tags).submit(job)
                submitted[future.task_run_id] = each
                future.add_done_callback(returned.put)

        page = _Page(done, done + len(cells))
        try:
            submit(AHEAD * crew.workers)
            for _ in track(range(len(cells)), "sweep", total=done + len(cells), initial=done):
                future = _next(returned, crew)
                made = submitted.pop(future.task_run_id)
                reason = _reason(future, crew)
                if reason is None:
                    finished(made)
                else:
                    reasons[made.title] = reason
                    failed(made, reason)
                submit(1)
                page.advance()
        finally:
            crew.stop()  # before Prefect waits for its threads
        for name, markdown in artefacts().items():
            create_markdown_artifact(markdown, key=name)
        if reasons:
            each = "; ".join(f"{title} ({reason})" for title, reason in sorted(reasons.items()))
            raise EdacError(
                f"{len(reasons)} of {len(cells)} cells failed: {each}. What succeeded is kept; read "
                f"{job_of(cells[0]).log.with_stem('<cell>')}, mend the cause and run the same command again."
            )

    name = f"sweep of {len(cells)} cells"
    flow(name="sweep", flow_run_name=name, task_runner=crew.runner)(_AtHome(at_home).run)()


class _AtHome:
    """Keeps a function in this process: Prefect sends the flow along with every task, and no task needs it."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def run(self) -> None:
        self._function()

    def __reduce__(self) -> tuple[Any, ...]:
        return _AtHome, (_nothing,)


def _nothing() -> None:
    pass


def _another_try_may_help(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), processes.LostError)


def _next(returned: "queue.SimpleQueue[Any]", crew: Crew) -> Any:
    while True:
        try:
            return returned.get(timeout=_REFRESH_S)
        except queue.Empty:
            crew.check()


def _reason(future: Any, crew: Crew) -> str | None:
    """Return why a cell failed, None if it did not."""
    try:
        error = future.result(raise_on_failure=False)
    except Exception as lost:
        reason = crew.lost(lost)
        if reason is None:
            raise
        return reason
    if error is None:
        return None
    if isinstance(error, processes.ProcessError):
        return str(error)
    raise error


class _Page:
    """The progress on the flow run's page, told now and then."""

    def __init__(self, done: int, total: int) -> None:
        self._done, self._total, self._told = done, total, time.monotonic()
        self._artifact: Any = create_progress_artifact(100 * done / total, key="progress", description="cells finished")

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._told > _REFRESH_S or self._done == self._total:
            self._told = time.monotonic()
            update_progress_artifact(self._artifact, 100 * self._done / self._total)
