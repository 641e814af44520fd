"""The executor: runs jobs as Prefect task runs, in this machine's processes or on Dask, and yields their outcomes.

A task starts a process for its job and waits for it. Jobs are submitted in a window, so that a grid of any size costs
the flow no more memory than the jobs that run and wait next.
"""

import itertools
import os
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner

from flows.execution.failures import TransientProcessError, describe_failure
from flows.execution.processes import Processes

JOB_BYTES = 1.5e9  # memory that a job may need, TensorFlow included, where nobody knows better
AHEAD = 4  # submitted jobs per worker: one runs, the others wait
_CHECK_S = 5.0  # between checks while nothing returns


@dataclass(frozen=True)
class Job:
    """A command to run as one task.

    Attributes
    ----------
    key : str
        Identifies the job to the caller.
    title : str
        Name of the task run.
    arguments : tuple[str, ...]
        Arguments of Python in the job's process.
    log : Path
        File that takes the process's output.
    commits : tuple[Path, ...]
        Folders that exist when the job is done.
    tags : tuple[str, ...]
        Tags of the task run. `prefect concurrency-limit create TAG N` limits how many of a tag run at a time, on all
        machines together.
    """

    key: str
    title: str
    arguments: tuple[str, ...]
    log: Path
    commits: tuple[Path, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExecutionParams:
    """How jobs are run.

    Attributes
    ----------
    preload : tuple[str, ...]
        Modules that every job's process needs; see `flows.execution.forkserver`.
    workers : int or None
        Jobs at a time. None: as many as processors and memory of this machine allow.
    threads : int
        Threads of each job.
    timeout_s : float
        Time limit of a job in seconds.
    retries : int
        Retries of a job that failed with a `TransientProcessError`.
    retry_delay_s : float
        Wait before the first retry in seconds; each further wait is twice as long.
    job_bytes : float
        Memory that a job may need.
    """

    preload: tuple[str, ...] = ()
    workers: int | None = None
    threads: int = 1
    timeout_s: float = 3600.0
    retries: int = 2
    retry_delay_s: float = 10.0
    job_bytes: float = JOB_BYTES

    def processes(self, keep: Sequence[int] = ()) -> Processes:
        """Return a starter of jobs' processes; every one inherits the file descriptors `keep`."""
        limits = {f"{library}_NUM_THREADS": str(self.threads) for library in ("OMP", "OPENBLAS", "MKL")}
        return Processes(preload=self.preload, environment=limits, keep=keep)

    def local_workers(self) -> int:
        """Return how many jobs run at a time on this machine: no more threads than processors, unless set."""
        if self.workers is not None:
            return self.workers
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return max(1, min(processors // self.threads, int(memory // self.job_bytes)))


class RunProcess(Protocol):
    """Runs a job's process to its end; `flows.execution.processes.Processes.run`. Picklable if tasks run elsewhere."""

    def __call__(self, arguments: Sequence[str], /, *, log: Path, timeout_s: float) -> None:
        """Raise a `ProcessError` if the process fails."""


class Executor:
    """Runs jobs on the workers of a Prefect task runner; `LocalExecutor` and `DaskExecutor` are its kinds.

    Parameters
    ----------
    params : ExecutionParams
    task_runner : TaskRunner
        Prefect's task runner.
    run_process : RunProcess
        Called in each task.
    workers : int
        Jobs that run at a time.
    """

    def __init__(
        self, params: ExecutionParams, task_runner: TaskRunner[Any], run_process: RunProcess, workers: int
    ) -> None:
        self.params, self.workers = params, workers
        self._task_runner, self._run_process = task_runner, run_process

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, str | None]]:
        """Run jobs and yield each as soon as it ends, with the reason if it failed; a failure stops no other job.

        Call it inside `in_flow`.

        Parameters
        ----------
        jobs : Iterable[Job]
            Consumed only as far as jobs are submitted.

        Raises
        ------
        EdacError
            If no job can return any more, such as without a Dask scheduler.
        """
        waiting, run_job = iter(jobs), _task(self._run_process, self.params)
        submitted: dict[Any, Job] = {}
        returned: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit(count: int) -> None:
            for job in itertools.islice(waiting, count):
                future = run_job.with_options(tags=job.tags).submit(job)
                submitted[future.task_run_id] = job
                future.add_done_callback(returned.put)

        submit(AHEAD * self.workers)
        while submitted:
            future = self._next(returned)
            yield submitted.pop(future.task_run_id), self._failure(future)
            submit(1)

    def in_flow(self, name: str, function: Callable[[], None]) -> None:
        """Call a function inside a Prefect flow run on this executor's task runner.

        Parameters
        ----------
        name : str
            Name of the flow run.
        function : Callable
            Runs in this process; what it raises fails the flow run and is raised here.
        """

        def run_and_stop() -> None:
            try:
                function()
            finally:
                self.stop()  # before Prefect waits for its threads

        flow(name="sweep", flow_run_name=name, task_runner=self._task_runner)(_AtHome(run_and_stop).run)()

    def stop(self) -> None:
        """End the processes that this process started."""

    def check(self) -> None:
        """Raise an `EdacError` if no job can return any more; called now and then while none returns."""

    def describe_failure(self, exception: BaseException) -> str | None:
        """Return the sentence that describes a job's failure, None for an exception that must be raised."""
        return describe_failure(exception)

    def _next(self, returned: "queue.SimpleQueue[Any]") -> Any:
        while True:
            try:
                return returned.get(timeout=_CHECK_S)
            except queue.Empty:
                self.check()

    def _failure(self, future: Any) -> str | None:
        """Return why a job failed, None if it succeeded."""
        try:
            exception = future.result(raise_on_failure=False)
        except Exception as raised:
            reason = self.describe_failure(raised)
            if reason is None:
                raise
            return reason
        if exception is None:
            return None
        reason = self.describe_failure(exception)
        if reason is None:
            raise exception
        return reason


def _task(run_process: RunProcess, params: ExecutionParams) -> Any:
    """Return the Prefect task that runs one job; sent to Dask's workers, so it must hold nothing of this process."""
    timeout_s = params.timeout_s

    @task(
        name="cell",
        task_run_name="{job.title}",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=params.retries,
        retry_delay_seconds=[params.retry_delay_s * 2**i for i in range(params.retries)],
        retry_condition_fn=_a_retry_may_succeed,
    )
    def run_job(job: Job) -> None:
        if not all(folder.is_dir() for folder in job.commits):  # Dask reruns what a lost worker had finished
            run_process(job.arguments, log=job.log, timeout_s=timeout_s)

    return run_job


def _a_retry_may_succeed(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), TransientProcessError)


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
