"""Small files that a program keeps for itself: read, written and locked without ever waiting at a pipe."""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import IO

from stages.runtime.errors import RuntimeInputError


def read(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    OSError
        If it cannot be read, or is anything else, such as a pipe, which might never end.
    """
    require_regular(path)
    return path.read_bytes()


def write(path: Path, text: str, device: Path) -> None:
    """Write a file of the device whole or not at all; its folder appears with it.

    Raises
    ------
    RuntimeInputError
        If it cannot be written.
    """
    aside = device / f".{path.name}.aside"
    try:
        with contextlib.suppress(FileNotFoundError):  # what a kill left, or anything else that stands there
            aside.unlink()
        with aside.open("x") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        path.parent.mkdir(exist_ok=True)
        aside.replace(path)
        os.sync()  # it outlives a power cut
    except OSError as error:
        in_the_way = error.errno == errno.EISDIR and error.filename2 is None
        where = f"{aside}: " if in_the_way else ""
        raise RuntimeInputError(
            f"{path} cannot be written ({where}{error.strerror}). Check the device's folder."
        ) from None


def open_lock(path: Path) -> IO[str]:
    """Open a file that is only locked; it is made if absent, and its content stays.

    Raises
    ------
    OSError
        If it cannot be made, or is no regular file: a pipe would be waited for, and a link leads to another's file.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        require_regular(path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "r+")


def require_regular(path: Path) -> None:
    """Raise `OSError` unless a path leads to a regular file."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
