"""The cell store: one folder per finished piece of work, named by the digest of everything that determined it.

<store>/finetuned/<key>/   a trained network, its float32 flatbuffer and its Keras scores
<store>/variants/<key>/    one model file made from it, its LiteRT scores and `variant.json`
<store>/checkpoints/       states of trainings under way
<store>/logs/<cell>.log    output of the cell's last process
<store>/working/<key>      locked by the process that works on a cell

Work is written to a temporary folder and renamed into place. The rename is the commit: a folder that exists is
finished. `sums.json` in it holds the sha256 of its files; work that has changed since is removed and made again.
Nothing here is a DVC output, and all of it may be deleted at the price of computing it again.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from flows.sweep.grid import Cell
from stages.core.artifacts.variant import Variant, read_variant
from stages.core.project import files
from stages.core.project.errors import DataError, notice

Kind = Literal["finetuned", "variants"]
SUMS = "sums.json"
_ASIDE = ".tmp-"


@dataclass(frozen=True)
class Store:
    """A cell store.

    Attributes
    ----------
    root : Path
        Folder of the store; created when first needed.
    """

    root: Path

    def folder(self, kind: Kind, key: str) -> Path:
        """Return the folder of a piece of work, which exists if it is finished."""
        return self.root / kind / key

    def has(self, kind: Kind, key: str) -> bool:
        """Return whether a piece of work is finished."""
        return self.folder(kind, key).is_dir()

    def has_variants(self, cell: Cell) -> bool:
        """Return whether every variant of a cell is finished."""
        return all(self.has("variants", planned.key) for planned in cell.variants)

    def finished(self, cells: Iterable[Cell]) -> list[tuple[Variant, Path]]:
        """Return the finished variants of some cells, each with the absolute path of its model file."""
        keys = [planned.key for cell in cells for planned in cell.variants if self.has("variants", planned.key)]
        folders = [self.folder("variants", key).absolute() for key in keys]
        return [(read_variant(folder / "variant.json"), folder / "model.tflite") for folder in folders]

    def checkpoint(self, key: str) -> Path:
        """Return the checkpoint file of the training `key`."""
        return self.root / "checkpoints" / f"{key}.npz"

    def log(self, cell: str) -> Path:
        """Return the file with the output of a cell's process."""
        return self.root / "logs" / f"{cell}.log"

    @contextlib.contextmanager
    def commit(self, kind: Kind, key: str) -> Iterator[Path]:
        """Yield an empty folder that is committed when the block ends, and removed if the block fails.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        target = self.folder(kind, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=_ASIDE))
        try:
            yield aside
            files.write_json(aside / SUMS, {path.name: files.sha256(path) for path in aside.iterdir()})
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

    def discard_damaged(self, cells: Iterable[Cell]) -> None:
        """Remove what some cells need of the store and is no longer as it was committed; say so for each."""
        for cell in cells:
            for planned in cell.variants:
                self._discard_if_damaged("variants", planned.key)
            if not self.has_variants(cell):
                for key in {cell.key, *(planned.qat_key for planned in cell.variants)} - {""}:
                    self._discard_if_damaged("finetuned", key)

    def discard(self, kind: Kind, key: str, fault: str) -> None:
        """Remove a piece of finished work that is not sound, so that it is made again; say so."""
        folder = self.folder(kind, key)
        notice(f"{folder} is not sound ({fault.rstrip('.')}); it is made again.")
        shutil.rmtree(folder)

    def _discard_if_damaged(self, kind: Kind, key: str) -> None:
        if self.has(kind, key) and (fault := self._damage(kind, key)):
            self.discard(kind, key, fault)

    def _damage(self, kind: Kind, key: str) -> str:
        """Return what is wrong with a piece of finished work, "" if nothing is."""
        folder = self.folder(kind, key)
        try:
            if (folder / SUMS).exists():
                expected = files.read_json(folder / SUMS)
            elif kind == "variants":  # made before there were sums
                expected = {"model.tflite": read_variant(folder / "variant.json").sha256}
            else:
                return ""
            changed = [name for name, sha256 in expected.items() if files.sha256(folder / name) != sha256]
        except (OSError, ValueError, AttributeError, DataError) as error:
            return str(error)
        return f"{changed[0]} was changed after it was made" if changed else ""

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Lock the store and remove what a kill left behind; wait, with a message, for another process to unlock it.

        Yields
        ------
        int
            File descriptor of the lock. A process that inherits it holds the lock too.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with files.open_lock(self.root / ".lock") as stream:
            if not _locked(stream):
                print(f"another sweep works in {self.root}; waiting for it to end", file=sys.stderr, flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            self._remove_unfinished()
            yield stream.fileno()

    @contextlib.contextmanager
    def working(self, key: str) -> Iterator[None]:
        """Lock a cell; wait while another process holds it, such as one of a killed sweep on another machine."""
        path = self.root / "working" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.open_lock(path) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
            path.unlink(missing_ok=True)

    def _remove_unfinished(self) -> None:
        """Remove unfinished folders, unless a process may still write to them."""
        with contextlib.ExitStack() as stack:
            working = list((self.root / "working").glob("*"))
            held = [stack.enter_context(files.open_lock(path)) for path in working]
            if all(_locked(stream) for stream in held):
                for orphan in self.root.glob(f"*/{_ASIDE}*"):
                    shutil.rmtree(orphan)
                for path in working:
                    path.unlink()


def _locked(stream: IO[str]) -> bool:
    """Try to lock a file without waiting, and return whether that succeeded."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _flush(path: Path) -> None:
    """Flush a file or a folder to disk, before the rename that commits it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
