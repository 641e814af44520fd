"""The operations a push needs on a device, and no more; everything else is decided in `rollout.py`."""

import contextlib
import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

from stages.core.project import compression, files, progress
from stages.core.project.errors import DeviceError
from stages.push import answers
from stages.push.device_upload import PACK, PART

CHUNK = 2**18  # bytes between two answers of the device
RUNTIME_PYTHON = "venv/bin/python"
"""The interpreter that `edac devices setup` makes."""
_BLOCK = 2**12  # bytes of disk that even a small file or a directory takes
_COMPRESSED = ".whl"

MakeRoom = Callable[[int, int], bool]
"""Makes room on a device for a number of bytes and of inodes; returns whether it removed a release."""


class FullError(DeviceError):
    """A device has no space left."""


class Transport(Protocol):
    """A way to reach one device's folder.

    Paths on the device are relative to that folder, with forward slashes. Whatever the device refuses (no space, read
    only, unreachable) is raised as `DeviceError`, one sentence with the device's name.

    Attributes
    ----------
    name : str
        Name of the device.
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

    def state(self) -> answers.State:
        """Return which releases the device holds and which one runs."""

    def space(self) -> answers.Space:
        """Return how much room there is."""

    def upload(self, source: Path, folder: str, *, make_room: MakeRoom | None = None) -> None:
        """Make `folder` the same as a folder at home, and wait until it is on the disk.

        Only what the device does not hold yet is sent, compressed; it goes on at the byte where a broken upload to
        `folder` stopped; whatever else is in there is removed. `make_room` is called before anything is written.
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
        """Point a symbolic link at `target` in one step, whatever stands there."""

    def sweep(self, spare: str) -> None:
        """Remove what earlier pushes left half-done, except `spare` in `aside/`."""

    def discard(self, path: str) -> None:
        """Remove a folder so that no part of it is ever seen under its name."""

    def remove(self, path: str) -> None:
        """Remove a folder and all it holds, or a link; nothing if it is not there."""


class FolderTransport(ABC):
    """A `Transport` for whatever can ask a device to call the methods of `device_folder.Folder`.

    Parameters
    ----------
    name : str
        Name of the device.
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
        value = self._ask("names", folder)
        with answers.understood(self.name):
            return [answers.text(name) for name in answers.items(value)]

    def state(self) -> answers.State:
        """See `Transport.state`."""
        return answers.state(self.name, self._ask("state"))

    def space(self) -> answers.Space:
        """See `Transport.space`."""
        return answers.space(self.name, self._ask("space"))

    def upload(self, source: Path, folder: str, *, make_room: MakeRoom | None = None) -> None:
        """See `Transport.upload`."""
        paths = {p.relative_to(source).as_posix(): p for p in sorted(source.rglob("*")) if p.is_file()}
        wanted = {name: (path.stat().st_size, files.sha256(path)) for name, path in paths.items()}
        while True:
            missing, copies, held, xz = self._compare(folder, wanted)
            xz = xz and not any(name.endswith(_COMPRESSED) for name in missing)
            packed = _pack(tuple((paths[name], wanted[name][1]) for name in missing), xz) if missing else b""
            pack = f"{PACK}{hashlib.sha256(packed).hexdigest()[:16]}"
            complete = _resume_at(packed, *held.get(pack, (0, ""))) == len(packed)
            start = len(packed) if complete else _resume_at(packed, *held.pop(pack + PART, (0, "")))
            if make_room is None or not make_room(*_need(wanted, [*missing, *copies], len(packed) - start)):
                break
        for old in held.keys() - ({pack} if complete else set()):
            self._ask("remove", f"{folder}/{old}")
        if copies:
            self._ask("copy", folder, {name: wanted[name] for name in copies})
        if missing:
            if not complete:
                self._send(packed, f"{folder}/{pack}", start)
            self._ask("unpack", folder, pack, [(name, *wanted[name]) for name in missing], xz)
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
        value = self._ask("read_link", link)
        with answers.understood(self.name):
            return answers.optional_text(value)

    def write_link(self, link: str, target: str) -> None:
        """See `Transport.write_link`."""
        self._ask("write_link", link, target)

    def sweep(self, spare: str) -> None:
        """See `Transport.sweep`."""
        self._ask("sweep", spare)

    def discard(self, path: str) -> None:
        """See `Transport.discard`."""
        self._ask("discard", path)

    def remove(self, path: str) -> None:
        """See `Transport.remove`."""
        self._ask("remove", path)

    def _run(self, folder: str, arguments: Sequence[str], pythons: Sequence[str]) -> CompletedProcess[str]:
        value = self._ask("run", folder, list(arguments), pythons, self._timeout_s)
        with answers.understood(self.name):
            code, stdout, stderr = value
            return CompletedProcess(arguments, answers.whole(code), answers.text(stdout), answers.text(stderr))

    def _compare(
        self, folder: str, wanted: Mapping[str, tuple[int, str]]
    ) -> tuple[list[str], list[str], dict[str, tuple[int, str]], bool]:
        """Return the names that must be sent, those to copy, the packs of broken uploads, and whether xz is known."""
        value = self._ask("compare", folder, wanted)
        with answers.understood(self.name):
            missing, copies = (sorted(answers.text(name) for name in value[key]) for key in ("missing", "copies"))
            if not {*missing, *copies} <= wanted.keys():
                raise ValueError("it asks for files that are not in the release")
            packs = {
                answers.text(name): (answers.whole(size), answers.text(sha256))
                for name, (size, sha256) in value["packs"].items()
            }
            return missing, copies, packs, answers.flag(value["xz"])

    def _send(self, content: bytes, path: str, start: int) -> None:
        """Append the rest of a file's content to its `.part`, chunk by chunk."""
        chunks = list(range(start, len(content), CHUNK)) or [start]  # all of it may be there, as a `.part`
        done = start // CHUNK
        for offset in progress.track(
            chunks, f"{self.name}: upload", total=done + len(chunks), initial=done, delay_s=1.0
        ):
            last = offset + CHUNK >= len(content)
            self._ask("append", path, offset, last, data=content[offset : offset + CHUNK])


@functools.lru_cache(maxsize=4)
def _pack(content: tuple[tuple[Path, str], ...], xz: bool) -> bytes:
    """Return the files' bytes one after another, compressed if that is worth it; kept for devices alike."""
    joined = b"".join(path.read_bytes() for path, _ in content)
    return compression.xz(joined) if xz else joined


def _need(wanted: Mapping[str, tuple[int, str]], written: Sequence[str], packed: int) -> tuple[int, int]:
    """Return the bytes and inodes that an upload takes on the device, while the pack and its files both lie there."""
    folders = {parent for name in written for parent in Path(name).parents}
    blocks = sum(-(-wanted[name][0] // _BLOCK) + 1 for name in written) + len(folders) + 8
    return blocks * _BLOCK + packed, len(written) + len(folders) + 4


def _resume_at(content: bytes, size: int, sha256: str) -> int:
    """Return how much of some content a device holds that says it has `size` bytes with this sha256: all or none."""
    return size if 0 < size <= len(content) and hashlib.sha256(content[:size]).hexdigest() == sha256 else 0
