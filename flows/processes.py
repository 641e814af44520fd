"""Child processes with a time limit that never outlive their parent, however it ends."""

import contextlib
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.core.errors import EdacError


class ProcessError(EdacError):
    """A child process failed; the message says how, and the last line it printed."""


def die_with_parent() -> None:
    """In a child of `Processes`: end this process and its own children as soon as the parent is gone.

    The parent holds the other end of standard input and never writes to it, so that the end of the stream is the
    parent's end: the kernel closes it even after kill -9, on every POSIX system. Does nothing if standard input is no
    pipe, that is, if a person started the process.
    """

    def watch() -> None:
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=watch, daemon=True).start()


class Processes:
    """The children running now. Call `run` from any thread; `stop` ends them all and lets no new one start."""

    def __init__(self, keep: Sequence[int] = ()) -> None:
        """Start with none; `keep` are file descriptors that every child inherits."""
        self._keep = tuple(keep)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def run(self, command: Sequence[str], *, log: Path, timeout_s: float, env: Mapping[str, str]) -> None:
        """Run a command in a process group of its own and wait for it.

        Parameters
        ----------
        command : Sequence[str]
        log : Path
            Takes what it prints.
        timeout_s : float
            After this time the whole process group is killed.
        env : Mapping[str, str]
            Added to the environment.

        Raises
        ------
        ProcessError
            If it fails, is killed or runs out of time.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            with self._guard:
                if self._stopped:
                    raise ProcessError("was not started, the sweep was stopped before")
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **env},
                    pass_fds=self._keep,
                    start_new_session=True,
                )
                self._running.add(child)
            try:
                code = child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise ProcessError(f"ran out of its {timeout_s:g} s") from None
            finally:
                _end(child)
                with self._guard:
                    self._running.discard(child)
        if code < 0:
            name = signal.Signals(-code).name
            hint = "; if memory ran out, lower sweep.workers" if name == "SIGKILL" else ""
            raise ProcessError(f"was killed by {name}{hint}")
        if code:
            raise ProcessError(_last_line(log) or f"ended with exit code {code}")

    def stop(self) -> None:
        """Kill every child that still runs."""
        with self._guard:
            self._stopped = True
            for child in self._running:
                _kill(child)


@contextlib.contextmanager
def children(keep: Sequence[int] = ()) -> Iterator[Processes]:
    """Yield a `Processes` and stop it when the block ends, however it ends."""
    processes = Processes(keep)
    try:
        yield processes
    finally:
        processes.stop()


def _end(child: subprocess.Popen[bytes]) -> None:
    _kill(child)
    child.wait()
    if child.stdin:
        child.stdin.close()


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ").strip().rstrip(".") if lines else ""
