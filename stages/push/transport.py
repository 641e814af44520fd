"""What a push needs of a device, and no more; everything else is decided in `rollout.py`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Protocol


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
        """Copy a folder from home to `folder`, which does not exist yet, and wait until it is on the disk."""

    def run(self, folder: str, arguments: Sequence[str]) -> CompletedProcess[str]:
        """Run the device's Python with `arguments` in `folder`, in a bare environment, whatever its exit code."""

    def rename(self, source: str, target: str) -> None:
        """Move a folder in one step to a path that is free."""

    def read_link(self, link: str) -> str | None:
        """Return where a symbolic link points, or None if there is no such link."""

    def write_link(self, link: str, target: str) -> None:
        """Point a symbolic link at `target` in one step, whether or not it exists."""

    def remove(self, path: str) -> None:
        """Remove a folder and all it holds, or a link; nothing if it is not there."""
