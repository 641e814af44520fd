"""Files of the user's own brought into the work folder: as a reflink, a hard link, a symbolic link or a copy."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from stages.core.project.errors import ParameterError

Link = Literal["auto", "copy", "hardlink", "symlink"]

_how: ContextVar[Link] = ContextVar("link", default="auto")


@contextlib.contextmanager
def linking(how: Link) -> Iterator[None]:
    """Bring files in one way (`pull.link`) within the block.

    Raises
    ------
    ParameterError
        If DVC's cache would come to share the user's files.
    """
    if how in ("hardlink", "symlink"):
        kinds = _cache_types()
        if kinds[:1] == ["hardlink"]:
            raise ParameterError(
                f"pull.link must be auto or copy while DVC's cache.type begins with hardlink; got {how!r}. DVC would "
                "make your own files read-only and share them with its cache. Or run "
                "`dvc config cache.type reflink,hardlink,copy`."
            )
    token = _how.set(how)
    try:
        yield
    finally:
        _how.reset(token)


def bring(origin: Path, target: Path) -> None:
    """Make `target` hold what `origin` holds, and its time, without touching `origin`.

    A `target` that is there is replaced, never written into: it may be a link to the user's file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    how = _how.get()
    if how == "symlink":
        target.symlink_to(origin.resolve())
        return
    if how == "hardlink":
        with contextlib.suppress(OSError):  # another file system
            os.link(origin.resolve(), target)
            return
    before = origin.stat()
    if how == "copy" or not _reflink(origin, target):
        shutil.copyfile(origin, target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))  # last: a copy cut short has another time


def _reflink(origin: Path, target: Path) -> bool:
    """Return whether the file system could make a copy that shares its blocks."""
    from dvc_objects.fs import system  # loads for a while

    try:
        system.reflink(str(origin.resolve()), str(target))  # type: ignore[no-untyped-call]
    except (OSError, NotImplementedError):
        target.unlink(missing_ok=True)
        return False
    return True


def _cache_types() -> list[str]:
    """Return DVC's `cache.type` of this project; empty if this is none."""
    if not Path(".dvc").is_dir():
        return []
    from dvc.config import Config  # loads for a while

    kinds = Config(str(Path(".dvc").absolute()), validate=False).get("cache", {}).get("type") or []
    return [kind.strip() for kind in (kinds.split(",") if isinstance(kinds, str) else kinds)]
