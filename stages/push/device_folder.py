"""A device's folder, as the device itself handles it. The standard library only.

The local transport calls it; the SSH transport sends the text of this very file to the device's Python and talks to
`serve`. What runs on a device for a push is thereby tied to the connection: when that ends, so does everything that was
started here, and with it the lock.
"""

from __future__ import annotations  # an older Python must get as far as to be told that it is too old

import contextlib
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

PART = ".part"  # ends the name of a file that is not all there yet


class Refusal(Exception):  # noqa: N818  it is an answer
    """What the device says no to: the rest of a sentence that begins with the device."""


class Folder:
    """Everything a push does on a device; paths are relative to the folder.

    Parameters
    ----------
    root : Path

    Raises
    ------
    Refusal
        By every method, for whatever the device cannot do.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock: Any = None

    def lock(self, patience_s: float = 0.0) -> None:
        """Make the folder and hold an advisory lock in it; the kernel frees it with the process."""
        with self._told():
            self.root.mkdir(parents=True, exist_ok=True)
            stream = (self.root / ".lock").open("w")
            deadline = time.monotonic() + patience_s
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        stream.close()
                        raise Refusal("is held by another push. Wait for it to end.") from None
                    time.sleep(0.05)
                else:
                    self._lock = stream
                    return

    def unlock(self) -> None:
        """Free the lock."""
        self._lock.close()

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder; none if there is no such folder."""
        with self._told():
            path = self.root / folder
            return sorted(p.name for p in path.iterdir()) if path.is_dir() else []

    def survey(self, folder: str) -> dict[str, list[Any]]:
        """Return size and sha256 of every file below a folder, by its path in there."""
        with self._told():
            top = self.root / folder
            found = {}
            for path in top.rglob("*"):
                if path.is_file():
                    with path.open("rb") as stream:
                        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                    found[path.relative_to(top).as_posix()] = [path.stat().st_size, sha256]
            return found

    def append(self, path: str, offset: int, last: bool, data: Iterable[bytes]) -> None:
        """Write a file's `.part` from `offset` on, whatever was there beyond; the `last` data make it the file."""
        with self._told():
            part = self.root / (path + PART)
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if offset else "wb", buffering=0) as stream:
                stream.truncate(offset)
                stream.seek(offset)
                for piece in data:
                    rest = memoryview(piece)
                    while rest:  # a nearly full disk takes a part of it, and refuses the next
                        rest = rest[stream.write(rest) :]
            if last:
                part.replace(self.root / path)

    def flush(self, folder: str) -> None:
        """Wait until a folder and all below it is on the disk."""
        with self._told():
            top = self.root / folder
            for path in (*top.rglob("*"), top, top.parent):
                _flush(path)

    def rename(self, source: str, target: str) -> None:
        """Move a folder in one step."""
        with self._told():
            (self.root / target).parent.mkdir(parents=True, exist_ok=True)
            (self.root / source).rename(self.root / target)
            _flush((self.root / target).parent)

    def read_link(self, link: str) -> str | None:
        """Return where a link points, None if there is no such link."""
        with self._told():
            path = self.root / link
            return path.readlink().as_posix() if path.is_symlink() else None

    def write_link(self, link: str, target: str) -> None:
        """Make the link aside and rename it into place."""
        with self._told():
            aside = self.root / f".{link}.aside"
            aside.unlink(missing_ok=True)
            aside.symlink_to(target)
            aside.replace(self.root / link)
            _flush(self.root)

    def remove(self, path: str) -> None:
        """Remove a folder, a file or a link; nothing if it is not there."""
        with self._told():
            found = self.root / path
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)

    def run(
        self,
        folder: str,
        arguments: Sequence[str],
        pythons: Sequence[str],
        timeout_s: float,
        tether: int | None = None,
    ) -> tuple[int, str, str]:
        """Run Python in a folder, in a bare environment.

        Parameters
        ----------
        folder : str
        arguments : Sequence[str]
        pythons : Sequence[str]
            Interpreters; the first that is there. One with a slash in it is relative to the device's folder.
        timeout_s : float
            After this the process, and all it started, is killed.
        tether : int or None
            A file descriptor; when that is at its end, they are killed as well, and so is this process.

        Returns
        -------
        (exit code, stdout, stderr)
        """
        place = self.root / folder
        if not place.is_dir():
            raise Refusal(f"has no {place}. Push a release to it first.")
        found = [str(self.root / python) if "/" in python else python for python in pythons]
        python = next(filter(shutil.which, found), found[-1])
        try:
            child = subprocess.Popen(
                [python, "-B", *arguments],
                cwd=place,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            advice = "Run `edac devices setup`, or name its `python`."
            raise Refusal(f"cannot run {error.filename} ({error.strerror}). {advice}") from None
        with child:
            written = {stream.fileno(): b"" for stream in (child.stdout, child.stderr) if stream}
            silent = [*written] + ([] if tether is None else [tether])
            deadline = time.monotonic() + timeout_s
            try:
                while set(silent) & set(written):
                    ready, _, _ = select.select(silent, [], [], max(0.0, deadline - time.monotonic()))
                    if not ready:
                        raise Refusal(f"gave no answer within {timeout_s:g} s.")
                    for stream in ready:
                        piece = os.read(stream, 2**16)
                        if stream in written:
                            written[stream] += piece
                        if not piece:
                            if stream == tether:
                                sys.exit("the connection ended")
                            silent.remove(stream)
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)
                raise
            stdout, stderr = (text.decode(errors="replace") for text in written.values())
        return child.returncode, stdout, stderr

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Refusal(f"cannot be written at {self.root} ({error.strerror or error}).") from None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Wire:
    """What home sends, read without a buffer between, so that its end is seen at once."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._held = b""

    def line(self) -> bytes:
        """Return the next line that is not empty; home sends empty ones to show that it is still there."""
        while True:
            line, end, rest = self._held.partition(b"\n")
            if not end:
                self._held += self._read()
            else:
                self._held = rest
                if line:
                    return line

    def data(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes as they come."""
        while size:
            piece = self._held or self._read()
            piece, self._held = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def _read(self) -> bytes:
        ready, _, _ = select.select([0], [], [], self.lease_s)
        data = os.read(0, 2**16) if ready else b""
        if not data:
            sys.exit("the connection ended")
        return data


def serve(lease_s: float) -> None:
    """Answer requests on stdin until it ends, or says nothing for `lease_s` seconds.

    The first line is the folder's path. A request is `{"do", "with", "bytes"}`: a method of `Folder`, its arguments,
    and how many bytes of data follow the line. An answer is a line with the length of what follows: `{"value"}` or
    `{"refused"}`.
    """
    wire = _Wire(lease_s)

    def answer(**values: Any) -> None:
        text = json.dumps(values)
        sys.stdout.write(f"{len(text)}\n{text}")
        sys.stdout.flush()

    folder = Folder(Path(json.loads(wire.line())).expanduser())
    if sys.version_info < (3, 11):  # noqa: UP036  a device's Python may be any
        version = ".".join(map(str, sys.version_info[:3]))
        answer(refused=f"has Python {version}; 3.11 or newer is needed. Name another interpreter as its `python`.")
        return
    answer(value=None)
    while True:
        request = json.loads(wire.line())
        more: dict[str, Any] = {}
        if request["do"] == "append":
            more["data"] = wire.data(request["bytes"])
        if request["do"] == "run":
            more["tether"] = 0
        try:
            answer(value=getattr(folder, request["do"])(*request["with"], **more))
        except Refusal as refusal:
            for _ in more.get("data", ()):  # the rest of what was refused
                pass
            answer(refused=str(refusal))
