"""The cell store: a folder per finished piece of work, named by the digest of everything that made it.

<store>/finetuned/<key>/   a fine-tuned network, its float32 flatbuffer and its Keras scores
<store>/variants/<key>/    one model file of it, its LiteRT scores and `variant.json`
<store>/checkpoints/        of fine-tunings under way
<store>/logs/<cell>.log    what the cell's last process printed
<store>/working/<key>      locked by the process that works on a cell

Work is written in a folder aside and renamed into place: the rename is the commit, so that a folder which is
there is finished. Nothing here is a DVC output, and all of it may be deleted at the price of computing it again.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

Kind = Literal["finetuned", "variants"]
_ASIDE = ".tmp-"


@dataclass(frozen=True)
class Store:
    """A cell store.

    Attributes
    ----------
    root : Path
        Made when first needed.
    """

    root: Path

    def folder(self, kind: Kind, key: str) -> Path:
        """Return the place of a finished piece of work, there or not."""
        return self.root / kind / key

    def has(self, kind: Kind, key: str) -> bool:
        """Return whether a piece of work is finished."""
        return self.folder(kind, key).is_dir()

    def checkpoint(self, key: str) -> Path:
        """Return the file in which the fine-tuning `key` may keep its state."""
        return self.root / "checkpoints" / f"{key}.npz"

    def log(self, cell: str) -> Path:
        """Return the file that holds what a cell's process printed."""
        return self.root / "logs" / f"{cell}.log"

    @contextlib.contextmanager
    def commit(self, kind: Kind, key: str) -> Iterator[Path]:
        """Yield an empty folder that becomes the finished one when the block ends, and is removed if it fails.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        target = self.folder(kind, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=_ASIDE))
        try:
            yield aside
            aside.chmod(0o755)
            for path in (*aside.iterdir(), aside):
                _flush(path)
            try:
                aside.replace(target)
            except OSError as error:  # somebody finished the same work, with the same result, a moment ago
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Hold the store alone; wait, and say so, while another process has it. Removes what a kill left behind.

        Yields
        ------
        int
            The lock's file descriptor. A process that inherits it holds the lock too.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as stream:
            if not _locked(stream):
                print(f"another sweep works in {self.root}; waiting for it to end", file=sys.stderr, flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            self._sweep_up()
            yield stream.fileno()

    @contextlib.contextmanager
    def working(self, key: str) -> Iterator[None]:
        """Hold a cell alone; wait while another process has it, as one of a killed sweep on another machine may."""
        path = self.root / "working" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
            path.unlink(missing_ok=True)

    def _sweep_up(self) -> None:
        """Remove unfinished folders, unless somebody may still write in them."""
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(path.open("w")) for path in (self.root / "working").glob("*")]
            if all(_locked(stream) for stream in held):
                for orphan in self.root.glob(f"*/{_ASIDE}*"):
                    shutil.rmtree(orphan)
                for stream in held:
                    Path(stream.name).unlink()


def _locked(stream: IO[str]) -> bool:
    """Try to lock a file and return whether that was possible at once."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _flush(path: Path) -> None:
    """Have a file or a folder on the disk before the rename that declares it finished."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
