"""A folder of this machine that poses as a device."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.errors import DeviceError, require


@dataclass(frozen=True)
class Config:
    """Where the device is.

    Attributes
    ----------
    folder : Path
        Made if it does not exist.
    python : str or None
        The device's interpreter, with NumPy and ai_edge_litert; None is the one that runs the push.
    timeout_s : float
        How long one command may take.
    """

    folder: Path
    python: str | None = None
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        """Check the time."""
        require(self.timeout_s > 0, "push.devices: timeout_s", "be positive", self.timeout_s, "Give seconds.")


def connect(config: Config, name: str) -> "LocalTransport":
    """Return the transport to the device `name`; nothing is touched yet."""
    return LocalTransport(config, name)


class LocalTransport:
    """See `stages.push.transport.Transport`."""

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self._folder = config.folder.absolute()
        self._python = config.python or sys.executable
        self._timeout_s = config.timeout_s

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold an advisory lock on `.lock`; the kernel frees it with the process."""
        with self._told():
            self._folder.mkdir(parents=True, exist_ok=True)
            stream = (self._folder / ".lock").open("w")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeviceError(f"Device {self.name} is held by another push. Wait for it to end.") from None
            yield

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder."""
        with self._told():
            path = self._folder / folder
            return sorted(p.name for p in path.iterdir()) if path.is_dir() else []

    def upload(self, source: Path, folder: str) -> None:
        """Copy a folder and flush it to the disk."""
        with self._told():
            target = self._folder / folder
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copytree(source, target)
            except shutil.Error as error:  # holds one (source, target, reason) per file
                raise OSError(0, str(error.args[0][0][2])) from None
            for path in (target, *target.rglob("*")):
                _flush(path)

    def run(self, folder: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run the device's Python in a folder."""
        if not (self._folder / folder).is_dir():
            raise DeviceError(f"Device {self.name} has no {self._folder / folder}. Push a release to it first.")
        try:
            return subprocess.run(
                [self._python, "-B", *arguments],
                cwd=self._folder / folder,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._timeout_s,
                check=False,
            )
        except OSError as error:
            raise DeviceError(f"Device {self.name} cannot run {error.filename} ({error.strerror}).") from None
        except subprocess.TimeoutExpired:
            raise DeviceError(f"Device {self.name} gave no answer within {self._timeout_s:g} s.") from None

    def rename(self, source: str, target: str) -> None:
        """Move a folder in one step."""
        with self._told():
            (self._folder / target).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / source).rename(self._folder / target)
            _flush((self._folder / target).parent)

    def read_link(self, link: str) -> str | None:
        """Return where a link points."""
        with self._told():
            path = self._folder / link
            return path.readlink().as_posix() if path.is_symlink() else None

    def write_link(self, link: str, target: str) -> None:
        """Make the link aside and rename it into place."""
        with self._told():
            aside = self._folder / f".{link}.aside"
            aside.unlink(missing_ok=True)
            aside.symlink_to(target)
            aside.replace(self._folder / link)
            _flush(self._folder)

    def remove(self, path: str) -> None:
        """Remove a folder or a link."""
        with self._told():
            found = self._folder / path
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise DeviceError(f"Device {self.name} cannot be written at {self._folder} ({reason}).") from None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
