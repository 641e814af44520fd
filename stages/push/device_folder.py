"""A device's folder, as the device itself handles it. Standard library only.

The local transport calls it; the SSH transport sends the text of the `device_*` modules to the device's Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stages.push import device_run, device_state, device_upload
from stages.push.device_run import Refusal
from stages.push.device_upload import PART

ASIDE = "aside"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100


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
        with self._refusing():
            self._check_places()
            self.root.mkdir(parents=True, exist_ok=True)
            stream = self._open_lock()
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
        with self._refusing():
            path = self.root / folder
            return sorted(p.name for p in path.iterdir()) if path.is_dir() else []

    def state(self) -> device_state.Survey:
        """Return the releases and which one runs; see `device_state.survey`."""
        with self._refusing():
            self._check_places()
            return device_state.survey(self.root)

    def space(self) -> dict[str, int | None]:
        """Return the free bytes and inodes (None: unlimited) where releases lie, and whether programs may run there."""
        with self._refusing():
            places = {self._existing(self.root / name) for name in (ASIDE, device_state.RELEASES)}
            found = [os.statvfs(place) for place in places]
            return {
                "free_bytes": min(disk.f_bavail * disk.f_frsize for disk in found),
                "free_inodes": min((disk.f_favail for disk in found if disk.f_files), default=None),
                "noexec": bool(os.statvfs(self._existing(self.root)).f_flag & getattr(os, "ST_NOEXEC", 8)),
            }

    def compare(self, folder: str, wanted: dict[str, Sequence[Any]]) -> dict[str, object]:
        """Say what an upload must send; see `device_upload.compare`."""
        with self._refusing():
            return device_upload.compare(self.root, folder, wanted)

    def copy(self, folder: str, wanted: dict[str, Sequence[Any]]) -> None:
        """Copy files that a release on the device holds; see `device_upload.copy`."""
        with self._refusing():
            device_upload.copy(self.root, folder, wanted)

    def append(self, path: str, offset: int, last: bool, data: Iterable[bytes]) -> None:
        """Write a file's `.part` from `offset` on, replacing what was beyond; the `last` data make it the file."""
        with self._refusing():
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

    def unpack(self, folder: str, pack: str, wanted: Sequence[Sequence[Any]], xz: bool) -> None:
        """Take a pack apart; see `device_upload.unpack`."""
        with self._refusing():
            device_upload.unpack(self.root, folder, pack, wanted, xz)

    def flush(self, folder: str) -> None:
        """Wait until a folder and all below it is on the disk."""
        with self._refusing():
            top = self.root / folder
            for path in (*top.rglob("*"), top, top.parent):
                _flush(path)

    def rename(self, source: str, target: str) -> None:
        """Move a folder in one step, also onto another disk: its name appears when all of it is there."""
        with self._refusing():
            there, place = self.root / source, self.root / target
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                there.rename(place)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                incoming = place.with_name(f".{place.name}.incoming")
                shutil.rmtree(incoming, ignore_errors=True)
                shutil.copytree(there, incoming, symlinks=True)
                for path in (*incoming.rglob("*"), incoming):
                    _flush(path)
                incoming.rename(place)
                shutil.rmtree(there)
            _flush(place.parent)

    def discard(self, path: str) -> None:
        """Remove a folder so that no part of it is ever seen under its name."""
        with self._refusing():
            found, aside = self.root / path, self.root / ASIDE / Path(path).name
            aside.parent.mkdir(parents=True, exist_ok=True)
            self._remove(aside)
            try:
                found.rename(aside)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                aside = found.with_name(f".{found.name}.leaving")
                self._remove(aside)
                found.rename(aside)
            self._remove(aside)

    def sweep(self, spare: str) -> None:
        """Remove what earlier pushes left half-done; `spare` is the name in `aside/` that this push goes on with."""
        with self._refusing():
            aside, releases = self.root / ASIDE, self.root / device_state.RELEASES
            for path in aside.iterdir() if aside.is_dir() else ():
                if path.name != spare:
                    self._remove(path)
            for path in releases.iterdir() if releases.is_dir() else ():
                if device_state.LEFT_OVER.fullmatch(path.name):
                    self._remove(path)
            for moved in ("aside", "away"):
                self._settle(device_state.CURRENT, self.root / f".{device_state.CURRENT}.{moved}")

    def read_link(self, link: str) -> str | None:
        """Return where a link points, None if there is no such link."""
        with self._refusing():
            path = self.root / link
            return path.readlink().as_posix() if path.is_symlink() else None

    def write_link(self, link: str, target: str) -> None:
        """Make the link aside and put it in place in one step, whatever stands there.

        A folder or a file that stood there is kept: see `_settle`.
        """
        with self._refusing():
            aside, place = self.root / f".{link}.aside", self.root / link
            self._settle(link, aside)
            aside.symlink_to(target)
            if place.is_symlink() or not os.path.lexists(place):
                aside.replace(place)
            else:
                _exchange(aside, place)
                self._settle(link, aside)
            _flush(self.root)

    def remove(self, path: str) -> None:
        """Remove a folder, a file or a link; nothing if it is not there."""
        with self._refusing():
            self._remove(self.root / path)

    def run(
        self,
        folder: str,
        arguments: Sequence[str],
        pythons: Sequence[str],
        timeout_s: float,
        tether: int | None = None,
    ) -> tuple[int, str, str]:
        """Run Python in a folder; see `device_run.run`."""
        return device_run.run(self.root, folder, arguments, pythons, timeout_s, tether)

    def _open_lock(self) -> Any:
        """Open the lock's file; a pipe that stands there would be waited for, and a link leads to another's file."""
        path = self.root / ".lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if not path.is_symlink() and (path.is_file() or not path.exists()):
            return os.fdopen(os.open(path, flags, 0o644), "r+")
        raise Refusal(f"has {path}, which must be a file and is none. Move it away, then try again.")

    def _existing(self, path: Path) -> Path:
        """Return a path, or the nearest one above it that exists."""
        return next(place for place in (path, *path.parents) if place.exists())

    def _check_places(self) -> None:
        """Refuse a place of ours that is no folder, such as a link to a disk that is not there."""
        ours = (self.root, self.root / device_state.RELEASES, self.root / ASIDE)
        for place in (*reversed(self.root.parents), *ours):
            if place.is_symlink() and not place.exists():
                raise Refusal(
                    f"keeps {place} at {place.readlink()}, which is not there. Mount the disk, then try again."
                )
            if place in ours and os.path.lexists(place) and not place.is_dir():
                raise Refusal(f"has {place}, which must be a folder and is none. Move it away, then try again.")

    def _settle(self, link: str, aside: Path) -> None:
        """Clear the place where a link is made; what is no link there stood at the link's place before a switch.

        A sound release becomes the one below the current one, unless it is there already; anything else is kept.
        """
        if aside.is_symlink() or not os.path.lexists(aside):
            aside.unlink(missing_ok=True)
            return
        release, sound = device_state.identify(aside)
        found = device_state.survey(self.root)
        if sound and any(entry["sound"] and entry["release"] == release for entry in found["releases"]):
            self._remove(aside)
            return
        named = device_state.NAME.fullmatch(found["current"]["name"])
        below = int(named[1]) - 1 if named else 0
        if sound and below > 0 and below not in [entry["number"] for entry in found["releases"]]:
            aside.rename(self.root / device_state.RELEASES / f"{below:04d}-{release}")
            return
        base = self.root / f"{link}.replaced"
        places = (base, *(base.with_name(f"{base.name}.{n}") for n in range(2, 10**6)))
        aside.rename(next(place for place in places if not os.path.lexists(place)))

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in _FULL
            raise Refusal(f"cannot be written at {self.root} ({error.strerror or error}).", full=full) from None
        except ValueError as error:  # a path that no file can have
            raise Refusal(f"cannot be written at {self.root} ({error}). Correct its `folder`.") from None


def _exchange(one: Path, other: Path) -> None:
    """Swap two paths in one step where the kernel and the file system can, else in two."""
    with contextlib.suppress(OSError, AttributeError):
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
            return
    away = other.with_name(f".{other.name}.away")
    other.rename(away)
    one.rename(other)
    away.rename(one)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
