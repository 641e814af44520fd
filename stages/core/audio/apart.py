"""Recordings heard in processes of their own, so that no file can end or stop the program that asks.

A decoder is a large piece of C that meets files from anywhere. One that crashes takes its process with it, and one that
hangs is ended after a time; the file is then unusable, with that as the reason, and the next one is heard.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from stages.core.audio.decode import Heard, hear
from stages.core.audio.unusable import UNDECODABLE, UnusableError, undecodable
from stages.core.project.errors import DataError
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import DEFAULT, Hearing
from stages.runtime.wav import CompressedWavError, NotWavError, open_wav

LIMIT_S = 60.0  # for any file, and
LIMIT_BYTES_PER_S = 2_000_000  # a second more for so many bytes
_START_S = 60.0

Span = tuple[float, float] | None
Hear = Callable[[Path, Hearing, Span], Heard]
Answer = Heard | tuple[str, str]


class Apart:
    """Hears recordings of any format in child processes; a context manager, safe to use from several threads.

    Parameters
    ----------
    hearing : Hearing
    hear : callable
        A function of a module's top level.
    limit_s : float
        Time limit of a file (seconds), besides a second for every two megabytes.
    everything : bool
        Also plain WAV files, which a reader without any C of its own hears in this process else.
    """

    def __init__(
        self, hearing: Hearing = DEFAULT, *, hear: Hear = hear, limit_s: float = LIMIT_S, everything: bool = False
    ) -> None:
        self._hearing, self._hear, self._limit_s, self._everything = hearing, hear, limit_s, everything
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._children: list[_Child] = []

    def __enter__(self) -> "Apart":
        """Return itself; a child starts when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the children."""
        for child in self._children:
            child.end()

    def hear(self, path: Path, span: Span = None) -> Heard:
        """Hear one file, or a part of it (seconds).

        Raises
        ------
        UnusableError
            If it cannot be used, whatever its decoder did.
        """
        try:
            if self._everything or not is_plain_wav(path):
                answer = self._ask(path, span)
            else:
                answer = _attempt(self._hear, path, self._hearing, span)
        except OSError as error:  # it is gone, or may not be read
            raise UnusableError(undecodable(path, error.strerror or type(error).__name__), UNDECODABLE) from None
        if isinstance(answer, Heard):
            return answer
        raise UnusableError(*answer)

    def _ask(self, path: Path, span: Span) -> "Answer":
        child = self._borrow()
        try:
            return child.ask(path, span, self._limit_s + path.stat().st_size / LIMIT_BYTES_PER_S)
        finally:
            if child.alive:
                self._idle.put(child)
            else:
                child.end()

    def _borrow(self) -> "_Child":
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        child = _Child(self._hear, self._hearing)
        self._children.append(child)
        return child


class _Child:
    def __init__(self, hear: Hear, hearing: Hearing) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, hear, hearing), daemon=True)
        self._process.start()
        theirs.close()
        self.alive = True
        if self._connection.poll(_START_S):  # it is ready: importing counts against no file
            self._connection.recv()

    def ask(self, path: Path, span: Span, limit_s: float) -> Answer:
        try:
            self._connection.send((path, span))
            if self._connection.poll(limit_s):
                answer: Answer = self._connection.recv()
                return answer
            reason = f"its decoder did not come to an end within {limit_s:.0f} s"
        except (EOFError, OSError):
            self._process.join(_START_S)
            reason = f"its decoder crashed{_signal(self._process.exitcode)}"
        self.alive = False
        return undecodable(path, reason), UNDECODABLE

    def end(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self._connection.close()


def _signal(exit_code: int | None) -> str:
    return f", signal {-exit_code}" if exit_code is not None and exit_code < 0 else ""


def _serve(connection: Connection, hear: Hear, hearing: Hearing) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where some decoders talk to nobody
    connection.send(None)
    for path, span in _received(connection):
        connection.send(_attempt(hear, path, hearing, span))


def _attempt(hear: Hear, path: Path, hearing: Hearing, span: Span) -> Answer:
    """Hear a file; return why it cannot be used, and that in a word, if it cannot."""
    try:
        return hear(path, hearing, span)
    except UnusableError as error:
        return str(error), error.kind
    except DataError as error:
        return str(error), UNDECODABLE
    except Exception as error:  # noqa: BLE001  whatever it is, it is this file's matter
        return undecodable(path, " ".join(f"{type(error).__name__}: {error}".split())), UNDECODABLE


def is_plain_wav(path: Path) -> bool:
    """Return whether the device's own reader hears or refuses a file, which no crash comes from."""
    try:
        open_wav(path)
    except (NotWavError, CompressedWavError):
        return False
    except RuntimeInputError:
        pass
    return True


def _received(connection: Connection) -> Iterator[tuple[Path, Span]]:
    with contextlib.suppress(EOFError, OSError):
        while True:
            yield connection.recv()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
