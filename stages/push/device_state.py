"""Which releases a device holds and which one runs, recognised by content. Runs on the device: standard library only.

A release's directory is named `<number>-<first 12 hexadecimal digits of the sha256 of its manifest>`. It is *sound* if
its manifest has that sha256 and every file that the manifest lists is there, with the listed sha256. The link `current`
may be wrong: it may be missing, dangle, be a directory, or lead elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import TypedDict

RELEASES = "releases"
CURRENT = "current"
MANIFEST = "manifest.json"
NAME = re.compile(r"([0-9]+)-([0-9a-f]{12})")
LEFT_OVER = re.compile(r"\.[0-9]+-[0-9a-f]{12}\.(incoming|leaving)")
LARGEST_MANIFEST = 2**22  # bytes


class Entry(TypedDict):
    """One entry of `releases/`."""

    name: str
    number: int
    release: str
    sound: bool
    ours: bool


class Current(TypedDict):
    """Where `current` leads."""

    kind: str
    target: str | None
    name: str
    release: str
    sound: bool


class Survey(TypedDict):
    """What `survey` finds."""

    releases: list[Entry]
    current: Current
    next: int


def survey(root: Path) -> Survey:
    """Look at every entry of `releases/` and at `current`.

    Parameters
    ----------
    root : Path
        The device's folder.

    Returns
    -------
    dict
        ``releases``: a list of ``{"name", "number", "release", "sound", "ours"}``, oldest first. An entry without a
        number has -1. Only what is `ours`, a real directory with a release's name and a manifest, may be removed.
        ``current``: ``{"kind", "target", "name", "release", "sound"}``; `kind` is ``"none"``, ``"link"``,
        ``"dangling"``, ``"folder"`` or ``"file"``; `name` is its entry in `releases/`, empty if it has none there.
        ``next``: a number above that of every entry.
    """
    entries, highest = list[Entry](), 0
    top = root / RELEASES
    for path in sorted(top.iterdir()) if top.is_dir() else []:
        named = NAME.fullmatch(path.name)
        highest = max(highest, int(named[1])) if named else highest
        release, sound = identify(path)
        if not release:
            continue
        if named and named[2] != release:  # its manifest was altered
            release, sound = named[2], False
        if named or sound:
            entries.append(
                {
                    "name": path.name,
                    "number": int(named[1]) if named else -1,
                    "release": release,
                    "sound": sound,
                    "ours": named is not None and not path.is_symlink(),
                }
            )
    entries.sort(key=lambda entry: (entry["number"], entry["name"]))
    return {"releases": entries, "current": _current(root, entries), "next": highest + 1}


def identify(folder: Path) -> tuple[str, bool]:
    """Return the id of the release in a folder, empty if it holds no manifest, and whether all of it is sound."""
    content = _read(folder / MANIFEST)
    if content is None:
        return "", False
    release = hashlib.sha256(content).hexdigest()[:12]
    try:
        listed = json.loads(content)["files"]
        sound = bool(listed) and all(sha256(_inside(folder, path)) == expected for path, expected in listed.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
        sound = False
    return release, sound


def files_by_sha256(root: Path) -> dict[str, Path]:
    """Return where the files of the releases lie by the sha256 that their manifests claim; to be checked before use."""
    found: dict[str, Path] = {}
    top = root / RELEASES
    for folder in sorted(top.iterdir()) if top.is_dir() else []:
        content = _read(folder / MANIFEST)
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            for path, expected in json.loads(content or b"")["files"].items():
                found[str(expected)] = _inside(folder, path)
    return found


def sha256(path: Path) -> str | None:
    """Return the sha256 of a regular file; None if it is none or cannot be read, as on a failing card."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _current(root: Path, entries: list[Entry]) -> Current:
    place = root / CURRENT
    found: Current = {"kind": "none", "target": None, "name": "", "release": "", "sound": False}
    if not os.path.lexists(place):
        return found
    if place.is_symlink():
        target = place.readlink().as_posix()
        found |= {"kind": "link" if place.exists() else "dangling", "target": target}
        if not place.exists():
            return found
    else:
        found["kind"] = "folder" if place.is_dir() else "file"
    found["release"], found["sound"] = identify(place)
    for entry in entries:
        with contextlib.suppress(OSError):
            if place.samefile(root / RELEASES / entry["name"]):
                found |= {"name": entry["name"], "release": entry["release"], "sound": entry["sound"]}
    return found


def _read(path: Path) -> bytes | None:
    """Return the content of a regular file of a manifest's size; None if it is anything else."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_MANIFEST:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _inside(folder: Path, path: object) -> Path:
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leaves the folder")
    return folder / path
