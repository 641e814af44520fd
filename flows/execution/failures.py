"""Failures of a child process: the exceptions and the one sentence that describes each."""

import re
import signal

from stages.core.project.errors import EdacError

WORKER_LOST = "lost its worker in every attempt"
WATCHER_LOST = "lost the process that watched it"
STOPPED = "was not started because the sweep was stopped before"

_OUT_OF_MEMORY = re.compile(r"MemoryError\b|.*\bResourceExhaustedError\b")


class ProcessError(EdacError):
    """A child process failed; the message is the reason, such as the last line that it printed."""


class TransientProcessError(ProcessError):
    """A child process was killed or ran out of memory; a retry may succeed."""


def from_exit(code: int, last_line: str) -> ProcessError | None:
    """Return the failure that a process's end stands for, None if it succeeded.

    Parameters
    ----------
    code : int
        Exit code, or minus the number of the signal that killed the process.
    last_line : str
        Last line that the process printed.

    Examples
    --------
    >>> from_exit(-6, "")
    TransientProcessError('was killed by SIGABRT')
    >>> from_exit(1, "error: n_fft must be at least 2.")
    ProcessError('n_fft must be at least 2')
    """
    if code < 0:
        name = signal.Signals(-code).name
        hint = "; if memory ran out, lower sweep.workers" if name == "SIGKILL" else ""
        return TransientProcessError(f"was killed by {name}{hint}")
    if code == 0:
        return None
    reason = last_line.removeprefix("error: ").strip().rstrip(".")
    error = TransientProcessError if _OUT_OF_MEMORY.match(reason) else ProcessError
    return error(reason or f"ended with exit code {code}")


def timed_out(timeout_s: float) -> ProcessError:
    """Return the failure of a process that exceeded its time limit."""
    return ProcessError(f"exceeded its time limit of {timeout_s:g} s")


def describe_failure(exception: BaseException) -> str | None:
    """Return the sentence that describes a cell's failure, None for an exception that is none.

    Examples
    --------
    >>> describe_failure(timed_out(2.0))
    'exceeded its time limit of 2 s'
    >>> describe_failure(KeyError("x")) is None
    True
    """
    return str(exception) if isinstance(exception, ProcessError) else None
