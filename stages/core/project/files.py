"""Files: content hashes, atomic writes, deterministic JSON, and folders that survive a kill."""

import contextlib
import csv
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from stages.core.project.errors import DataError

LOCK_S = 30.0  # time for a process that ends to let go of what it works on


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(*values: Any) -> str:
    """Return a sha256 over JSON-able values: the key of whatever they determine."""
    return hashlib.sha256(to_json(values).encode()).hexdigest()


def to_json(value: Any) -> str:
    """Return deterministic JSON: sorted keys, two spaces, NaN refused, paths as text."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it there on success, so no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write deterministic JSON atomically."""
    write_text(path, to_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV atomically; None becomes an empty field."""
    with atomic(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header into one dict of text per row."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def require_regular(path: Path) -> None:
    """Raise `OSError` unless a path leads to a regular file: reading a pipe or a device might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def open_lock(path: Path) -> IO[str]:
    """Open a file that is only locked; it is made if absent.

    Nothing of `stages.runtime` is imported here, as MLflow reads this module before a registered model brings its own.

    Raises
    ------
    DataError
        If it is anything else than a regular file.
    """
    foreign = DataError(f"{path} must be a lock, a file; it is none. Move it away.")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise foreign from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # a pipe would be waited for
        os.close(handle)
        raise foreign
    return os.fdopen(handle, "r+")


@contextlib.contextmanager
def growing_folder(target: Path, key: str) -> Iterator[Path]:
    """Yield a work folder for `target` that outlives a kill: the next run with the same `key` goes on in it.

    Write each file in it atomically and skip those already there. On success it replaces `target`, and
    what other keys left behind is removed.

    Parameters
    ----------
    target : Path
        The finished folder.
    key : str
        Digest of everything that determines the content.

    Raises
    ------
    DataError
        If another process works on `target` and does not end within some seconds.
    """
    with _only_one(target):
        yield from _grow(target, key)


def _grow(target: Path, key: str) -> Iterator[Path]:
    work = target.with_name(f".{target.name}.{key[:16]}.partial")
    work.mkdir(parents=True, exist_ok=True)
    for half_written in [path for path in work.rglob(".*") if path.is_file()]:  # by `atomic`, when it was killed
        half_written.unlink()
    yield work
    if target.exists():
        shutil.rmtree(target)
    work.replace(target)
    for stale in target.parent.glob(f".{target.name}.*.partial"):
        shutil.rmtree(stale)


@contextlib.contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Keep other processes from working on `target`; the system frees the lock of a process that is killed."""
    lock = target.with_name(f".{target.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + LOCK_S
    while True:
        stream = open_lock(lock)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(stream.fileno()), lock.stat()):
                break
        except BlockingIOError:
            pass
        stream.close()
        if time.monotonic() > until:
            raise DataError(
                f"{target} is being made by another process. Wait for it to end, or end it; then run again."
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        stream.close()
