"""What a push needs of a device, and no more; everything else is decided in `rollout.py`."""

import contextlib
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

from stages.core.project import files, progress
from stages.push.device_folder import PART

CHUNK = 2**18  # bytes between two answers of the device

# The interpreter that `edac devices setup` makes.
RUNTIME_PYTHON = "venv/bin/python"


class Transport(Protocol):
    """A way to reach one device's folder.

    Paths on the device are relative to that folder, with forward slashes. Whatever the device refuses (no space, read
    only, unreachable) is raised as `DeviceError`, one sentence with the device's name.

    Attributes
    ----------
    name : str
        Of the device.
    """

    name: str

    def lock(self) -> AbstractContextManager[None]:
        """Make the device's folder and hold it for one push; freed even if the holder is killed.

        Raises
        ------
        DeviceError
            If another push holds it.
        """

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder; none if there is no such folder."""

    def upload(self, source: Path, folder: str) -> None:
        """Make `folder` the same as a folder at home, and wait until it is on the disk.

        It goes on at the byte where a broken upload to `folder` stopped; whatever else is in there goes.
        """

    def run(self, folder: str, arguments: Sequence[str]) -> CompletedProcess[str]:
        """Run the runtime's Python with `arguments` in `folder`, in a bare environment, whatever its exit code."""

    def bootstrap(self, arguments: Sequence[str]) -> CompletedProcess[str]:
        """Run the Python that the device came with in the device's folder, otherwise as `run`."""

    def rename(self, source: str, target: str) -> None:
        """Move a folder in one step to a path that is free."""

    def read_link(self, link: str) -> str | None:
        """Return where a symbolic link points, or None if there is no such link."""

    def write_link(self, link: str, target: str) -> None:
        """Point a symbolic link at `target` in one step, whether or not it exists."""

    def remove(self, path: str) -> None:
        """Remove a folder and all it holds, or a link; nothing if it is not there."""


class FolderTransport(ABC):
    """A `Transport` for whatever can ask a device to call the methods of `device_folder.Folder`.

    Parameters
    ----------
    name : str
        Of the device.
    bootstrap : str
        The Python it came with.
    pythons : Sequence[str]
        Those that may run the runtime; the first that is there.
    timeout_s : float
        How long one command may take.
    """

    def __init__(self, name: str, *, bootstrap: str, pythons: Sequence[str], timeout_s: float) -> None:
        self.name = name
        self._bootstrap = bootstrap
        self._pythons = list(pythons)
        self._timeout_s = timeout_s
        self._locked = False

    @abstractmethod
    def _ask(self, do: str, *arguments: Any, data: bytes | None = None) -> Any:
        """Call a method of the device's `Folder`; what it refuses is a `DeviceError`."""

    @abstractmethod
    def _unlock(self) -> None:
        """Free the lock, if the device can still be reached."""

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """See `Transport.lock`."""
        self._ask("lock")
        self._locked = True
        try:
            yield
        finally:
            self._locked = False
            self._unlock()

    def names(self, folder: str) -> list[str]:
        """See `Transport.names`."""
        return self._ask("names", folder)

    def upload(self, source: Path, folder: str) -> None:
        """See `Transport.upload`."""
        held = self._ask("survey", folder)
        wanted = {p.relative_to(source).as_posix(): p for p in sorted(source.rglob("*")) if p.is_file()}
        for path in sorted(held.keys() - wanted.keys() - {path + PART for path in wanted}):
            self._ask("remove", f"{folder}/{path}")
        chunks, there = [], 0
        for path, file in wanted.items():
            size = file.stat().st_size
            if path in held and held[path][1] == files.sha256(file):
                there += max(1, -(-size // CHUNK))
                continue
            start = _resume_at(file, *held.get(path + PART, (0, "")))
            there += start // CHUNK
            chunks += [(path, offset, offset + CHUNK >= size) for offset in range(start, max(size, start + 1), CHUNK)]
        bar = progress.track(chunks, f"{self.name}: upload", total=there + len(chunks), initial=there, delay_s=1.0)
        for path, offset, last in bar:
            with wanted[path].open("rb") as stream:
                stream.seek(offset)
                self._ask("append", f"{folder}/{path}", offset, last, data=stream.read(CHUNK))
        self._ask("flush", folder)

    def run(self, folder: str, arguments: Sequence[str]) -> CompletedProcess[str]:
        """See `Transport.run`."""
        return self._run(folder, arguments, self._pythons)

    def bootstrap(self, arguments: Sequence[str]) -> CompletedProcess[str]:
        """See `Transport.bootstrap`."""
        return self._run(".", arguments, [self._bootstrap])

    def rename(self, source: str, target: str) -> None:
        """See `Transport.rename`."""
        self._ask("rename", source, target)

    def read_link(self, link: str) -> str | None:
        """See `Transport.read_link`."""
        return self._ask("read_link", link)

    def write_link(self, link: str, target: str) -> None:
        """See `Transport.write_link`."""
        self._ask("write_link", link, target)

    def remove(self, path: str) -> None:
        """See `Transport.remove`."""
        self._ask("remove", path)

    def _run(self, folder: str, arguments: Sequence[str], pythons: Sequence[str]) -> CompletedProcess[str]:
        return CompletedProcess(arguments, *self._ask("run", folder, list(arguments), pythons, self._timeout_s))


def last_line(text: str) -> str:
    """Return the last line of what a command wrote to stderr, as part of a sentence."""
    return re.sub("^error: ", "", text.strip().rpartition("\n")[2], flags=re.IGNORECASE).rstrip(".")


def _resume_at(file: Path, size: int, sha256: str) -> int:
    """Return how much of a file a device holds that says it has `size` bytes with this sha256: all of them or none."""
    with file.open("rb") as stream:
        return size if size and hashlib.sha256(stream.read(size)).hexdigest() == sha256 else 0
