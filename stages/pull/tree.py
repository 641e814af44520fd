"""What a folder of recordings holds: links followed once, and everything that is passed over with its reason."""

import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from stages.runtime.hidden import is_hidden

HIDDEN = "hidden file"
DANGLING = "dangling link"
_BEGINNING = 512
_PICTURES = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "a database"),
)


@dataclass
class Tree:
    """What a folder holds.

    Attributes
    ----------
    files : list of str
        Paths relative to the folder, sorted.
    folders : list of str
        Folders, relative to it too, sorted, hidden ones left out.
    passed_over : list of tuple of str
        (path, reason) of everything that is no file to read.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def walk(root: Path) -> Tree:
    """Look through a folder and everything below it.

    A linked folder is followed unless it has been read already, whatever the links' names are; folders that are no
    links come first. A link to a folder that holds it is a loop and is not followed.

    Parameters
    ----------
    root : Path
        If there is no such folder, nothing is in it.

    Returns
    -------
    Tree
    """
    tree = Tree()
    if not root.is_dir():
        return tree
    seen: dict[tuple[int, int], str] = {}
    links: deque[str] = deque()
    _walk(root, "", tree, seen, links)
    real_root = root.resolve()
    while links:
        link = links.popleft()
        there = (root / link).resolve()
        known = seen.get(_identity(root / link))
        if (root / link).parent.resolve().is_relative_to(there) or real_root.is_relative_to(there):
            tree.passed_over.append((link, "link to a folder that holds it"))
        elif known is not None:
            tree.passed_over.append((link, f"link to {known or 'the root'}, which is read already"))
        else:
            _walk(root, link, tree, seen, links)
    tree.files.sort()
    tree.folders.sort()
    tree.passed_over.sort()
    return tree


def _walk(root: Path, start: str, tree: Tree, seen: dict[tuple[int, int], str], links: deque[str]) -> None:
    waiting = deque([start])
    while waiting:
        folder = waiting.popleft()
        identity = _identity(root / folder)
        if identity in seen:
            continue
        seen[identity] = folder
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            tree.passed_over.append((folder, f"folder cannot be read ({error.strerror})"))
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            reason = _no_file(entry, name)
            if reason:
                tree.passed_over.append((_printable(name), reason))
            elif entry.is_dir():
                tree.folders.append(name)
                (links if entry.is_symlink() else waiting).append(name)
            else:
                tree.files.append(name)


def _no_file(entry: os.DirEntry[str], name: str) -> str:
    if is_hidden(PurePosixPath(entry.name)):
        return HIDDEN
    if name != _printable(name):
        return "name is not UTF-8"
    if not os.path.exists(entry.path):  # noqa: PTH110  Path's raises for a link to itself
        return DANGLING
    if entry.is_dir():
        return ""
    if not entry.is_file():
        return "no regular file"
    return "" if os.access(entry.path, os.R_OK) else "cannot be read (permission denied)"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def chosen(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Return whether a path relative to its root is included and not excluded by globs.

    `*` stands for any characters, slashes too; a glob without a slash is compared with the file's name.

    Examples
    --------
    >>> chosen("ward/dog/a.wav", ["*.wav"], ["ward/*"])
    False
    """

    def matches(globs: Sequence[str]) -> bool:
        return any(fnmatchcase(name if "/" in glob else name.rpartition("/")[2], glob) for glob in globs)

    return (not include or matches(include)) and not matches(exclude)


def not_audio(path: Path) -> str:
    """Return what a file is if its beginning shows that it holds no audio, whatever its name; else nothing.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Such as ``"a PNG picture"`` or ``"text"``.
    """
    with path.open("rb") as stream:
        head = stream.read(_BEGINNING)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        return "a HEIF picture"
    for beginning, kind in _PICTURES:
        if head.startswith(beginning):
            return kind
    printable = head.decode("utf-8", "ignore")
    whole = len(head) - len(printable.encode()) < (4 if len(head) == _BEGINNING else 1)
    return "text" if head and whole and not re.search(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]", printable) else ""
