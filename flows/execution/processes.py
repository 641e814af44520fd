"""Child processes with a time limit that never outlive their parent, however it ends."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flows.execution import failures
from flows.execution.forkserver import STARTED


def die_with_parent() -> None:
    """In a child of `Processes`, end this process and its own children as soon as the parent is gone.

    The parent holds the other end of standard input and never writes to it. The kernel closes that end with the parent,
    even after kill -9, on every POSIX system. Does nothing if standard input is not a pipe, that is, if a person
    started the process.
    """

    def watch() -> None:
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=watch, daemon=True).start()


class Processes:
    """Child processes that run now. Any thread may call `run`; `stop` ends all of them and lets no new one start.

    Each child is forked from one Python process that has imported `preload`; see `flows.execution.forkserver`.
    """

    def __init__(
        self,
        *,
        preload: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        keep: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        """Prepare; the first `run` starts the process that is forked.

        Parameters
        ----------
        preload : Sequence[str]
            Modules that the children need and that can be imported before a fork.
        environment : Mapping or None
            Additions to the children's environment.
        keep : Sequence[int]
            File descriptors that every child inherits.
        folder : Path or None
            Working folder of the children; None takes this process's.
        """
        self._preload, self._keep, self._folder = tuple(preload), tuple(keep), folder
        self._environment = dict(environment or {})
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._running: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def run(self, arguments: Sequence[str], *, log: Path, timeout_s: float | None) -> None:
        """Run Python with the given arguments, in a process group of its own, and wait for it.

        Parameters
        ----------
        arguments : Sequence[str]
            ``("-m", module, ...)`` or ``(file, ...)``.
        log : Path
            File that takes its output.
        timeout_s : float or None
            Time limit in seconds, after which the whole process group is killed; None: no limit.

        Raises
        ------
        ProcessError
            If it fails or exceeds the time limit; a `TransientProcessError` if it is killed or runs out of memory.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, log.open("wb") as output:
                self._request(ours, theirs, output.fileno())
            try:
                ours.sendall(json.dumps(list(arguments)).encode() + b"\n")
                answer = self._answer(ours, timeout_s)
            except ConnectionError:
                answer = b""
            finally:
                with self._guard:
                    self._running.discard(ours)
        if not answer:
            raise failures.TransientProcessError(failures.WATCHER_LOST)
        if failure := failures.from_exit(int(answer), _last_line(log)):
            raise failure

    def stop(self) -> None:
        """Kill every child that still runs."""
        with self._guard:
            self._stopped = True
            for connection in self._running:
                with contextlib.suppress(OSError):  # it ended this moment
                    connection.shutdown(socket.SHUT_WR)
            self._end_server()

    def _request(self, ours: socket.socket, theirs: socket.socket, log: int) -> None:
        with self._guard:
            if self._stopped:
                raise failures.ProcessError(failures.STOPPED)
            handles = [theirs.fileno(), log]
            try:
                socket.send_fds(self._served(), [b"."], handles)
            except ConnectionError:  # the server was killed; its children live on with their keepers
                self._end_server()
                socket.send_fds(self._served(), [b"."], handles)
            self._running.add(ours)

    def _served(self) -> socket.socket:
        """Return the socket that controls the fork server; start one if there is none."""
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, "-m", "flows.execution.forkserver", str(theirs.fileno()), *self._preload],
                    stdin=subprocess.DEVNULL,
                    cwd=self._folder,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
                    pass_fds=(theirs.fileno(), *self._keep),
                    start_new_session=True,
                )
        return self._control

    def _end_server(self) -> None:
        if self._control is not None and self._server is not None:
            self._control.close()
            self._server.kill()
            self._server.wait()
            self._control = self._server = None

    def _answer(self, connection: socket.socket, timeout_s: float | None) -> bytes:
        """Return the exit code, or nothing if the keeper that should report it is gone."""
        if connection.recv(1) != STARTED:
            return b""
        connection.settimeout(timeout_s)
        try:
            return connection.recv(16)
        except TimeoutError:
            connection.settimeout(None)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(16)
            raise failures.timed_out(timeout_s or 0.0) from None


@contextlib.contextmanager
def children(
    *,
    preload: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
    folder: Path | None = None,
) -> Iterator[Processes]:
    """Yield a `Processes` and stop it when the block ends, however it ends."""
    processes = Processes(preload=preload, environment=environment, keep=keep, folder=folder)
    try:
        yield processes
    finally:
        processes.stop()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
