"""Receive a folder: only what the device does not hold already, compressed. Standard library only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.push import device_state
from stages.push.device_run import Refusal

try:  # a Python may have been built without it
    import lzma

    _DAMAGED: tuple[type[Exception], ...] = (EOFError, lzma.LZMAError)
except ImportError:
    lzma = None  # type: ignore[assignment]
    _DAMAGED = (EOFError,)

PART = ".part"  # ends the name of a file that is not complete yet
PACK = ".pack."  # begins the name of a file that holds several
_PIECE = 2**18


def compare(root: Path, folder: str, wanted: dict[str, Sequence[Any]]) -> dict[str, object]:
    """Say what an upload must send.

    Parameters
    ----------
    root : Path
        The device's folder.
    folder : str
        Relative to it; whatever is in there and is not wanted is removed.
    wanted : dict
        Relative path to size and sha256.

    Returns
    -------
    dict
        ``missing``, the paths that are neither there nor in a release on the device; ``copies``, those in a release;
        ``packs``, packed files of a broken upload: name to size and sha256; ``xz``, whether the device can unpack xz.
    """
    top, there, packs = root / folder, set(), {}
    if top.is_symlink() or (os.path.lexists(top) and not top.is_dir()):  # nothing of a push
        top.unlink()
    for path in sorted(top.rglob("*"), reverse=True) if top.is_dir() else []:
        name, held = path.relative_to(top).as_posix(), device_state.sha256(path)
        if held and name in wanted and held == wanted[name][1] and not path.is_symlink():
            there.add(name)
        elif held and name.startswith(PACK):
            packs[name] = [path.stat().st_size, held]
        elif path.is_symlink() or not path.is_dir():
            path.unlink()
        elif not any(other.startswith(f"{name}/") for other in wanted):
            shutil.rmtree(path)
    known = device_state.files_by_sha256(root)
    rest = [name for name in wanted if name not in there]
    copies = [name for name in rest if wanted[name][1] == device_state.sha256(known.get(wanted[name][1], top))]
    missing = sorted(set(rest) - set(copies))
    return {"missing": missing, "copies": sorted(copies), "packs": packs, "xz": lzma is not None}


def copy(root: Path, folder: str, wanted: dict[str, Sequence[Any]]) -> None:
    """Copy files that a release on the device holds into a folder; parameters as for `compare`."""
    known = device_state.files_by_sha256(root)
    for name, (_, expected) in wanted.items():
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        shutil.copyfile(known[expected], part)
        part.replace(path)


def unpack(root: Path, folder: str, pack: str, wanted: Sequence[Sequence[Any]], xz: bool) -> None:
    """Take a pack apart, check every file's sha256, and remove the pack.

    Parameters
    ----------
    root : Path
        The device's folder.
    folder : str
        Relative to it.
    pack : str
        Name in `folder`.
    wanted : Sequence
        Path, size and sha256 of each file, in the order in which their bytes follow one another in the pack.
    xz : bool
        Whether the pack is compressed.

    Raises
    ------
    Refusal
        If the pack is damaged; it is removed.
    """
    top = root / folder
    try:
        with (lzma.open if xz else open)(top / pack, "rb") as stream:
            for name, size, expected in wanted:
                path = top / name
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(path.name + PART)
                left = size
                with part.open("wb") as target:
                    while left and (piece := stream.read(min(left, _PIECE))):
                        target.write(piece)
                        left -= len(piece)
                if device_state.sha256(part) != expected:
                    raise EOFError(f"{name} has another sha256")
                part.replace(path)
    except _DAMAGED as error:
        (top / pack).unlink()
        raise Refusal(f"received damaged data ({error}). Push again.") from None
    (top / pack).unlink()
