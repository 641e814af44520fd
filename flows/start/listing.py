"""List the recordings of a folder, or of a table, with all the fields that tell something of them."""

import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from flows.start import beside, marks, tables
from flows.start.fields import Item, path_fields
from flows.start.values import side_of
from stages.core.project.errors import DataError
from stages.pull.table import Row
from stages.pull.tree import HIDDEN, walk

AUDIO = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".webm", ".aif", ".aiff"))
AUDIO_WORDS = ", ".join(sorted(suffix[1:] for suffix in AUDIO))
_BREAK = re.compile(r"[\r\n]")
_ABOVE = 0.9  # fraction of the recordings that a table beside their folder must know
_LISTED = 0.5  # fraction of a table's rows that must name a recording
_MOST_TABLES = 50  # beyond, they are of single recordings
_MOST_NEAR = 200  # files beside a folder, beyond which they are not looked through
_SHOWN = 3  # tables that are not used, and why
_CLIMB = 2  # folders above a table in which its recordings are looked for


def root_of(table: Path) -> Path:
    """Return the folder that holds a table's recordings: its own, or the first of two above it that has any.

    Parameters
    ----------
    table : Path
        Absolute.

    Returns
    -------
    Path
        The table's own folder if none has recordings.
    """
    for folder in (table.parent, *table.parent.parents[:_CLIMB]):
        if folder == Path(folder.anchor) or Path.home().is_relative_to(folder):
            break
        if any(Path(name).suffix.casefold() in AUDIO for name in walk(folder).files):
            return folder
    return table.parent


def list_recordings(root: Path, table: Path | None = None, *, whole: bool = False) -> tuple[list[Item], list[str]]:
    """List recordings with the fields of their paths and of the tables that name them.

    Parameters
    ----------
    root : Path
        Folder of recordings.
    table : Path or None
        The one table to go by; None looks for tables in `root` and below, else beside `root`, for lists of a side's
        files and for JSON files beside the recordings.
    whole : bool
        Whether recordings are taken whole, whatever parts of them are marked.

    Returns
    -------
    items : list of Item
        Sorted by path. Where tables name recordings, only those; where parts of recordings are marked, those parts.
    notes : list of str
        Which tables were used and what was left out.

    Raises
    ------
    DataError
        If there is no recording, or the table names none.
    """
    tree = walk(root)
    sounds = [name for name in tree.files if Path(name).suffix.casefold() in AUDIO]
    paths = [name for name in sounds if not _BREAK.search(name)]  # which no table can name
    passed_over = [f"{name} ({reason})" for name, reason in tree.passed_over if reason != HIDDEN]
    passed_over += [f"{_BREAK.sub('?', name)} (a line break in its name)" for name in sounds if _BREAK.search(name)]
    notes = [f"passed over: {shown(passed_over, _SHOWN)} ({len(passed_over)})"] if passed_over else []
    if not paths:
        raise DataError(f"{root} must hold recordings ({AUDIO_WORDS}); it holds none. Correct the path.")
    fields = dict(zip(paths, path_fields(paths), strict=True))
    more: dict[str, dict[str, str]] = {path: {} for path in paths}  # what is known, and does not say which recordings

    def know(found: tuple[dict[str, dict[str, str]], list[str]]) -> None:
        for name, row in found[0].items():
            more[name] |= row
        notes.extend(found[1])

    if table is None:
        know(beside.sides(root, [name for name in tree.files if name.endswith(".txt")], paths))
        know(beside.sidecars(root, [name for name in tree.files if name.endswith(".json")], paths))
    looked = [] if whole or table else tree.files
    parts, marked, used = marks.beside(root, looked, paths)
    notes += marked
    candidates, unused = ([table], []) if table else _tables(root, [n for n in tree.files if n not in used], paths)
    found = _found(candidates, root, fields, asked=table is not None, whole=whole)
    if not candidates and not unused:
        above = _found(_above(root), root, fields, asked=False, whole=whole)
        told = set().union(*above.by_table.values()) if above.by_table else set(above.by_key)
        found = above if len(told) >= _ABOVE * len(paths) else found
    know((found.by_key, [*found.notes, *unused, *found.unused[:_SHOWN]]))
    by_table, parts = found.by_table, found.parts or parts
    if table and not by_table and not found.by_key:
        raise DataError(
            f"{table} must have a column with paths of files below {root}, or one with what all of their paths hold, "
            "such as a speaker's number; it has none. Correct the paths."
        )
    if not by_table:
        return _items({path: fields[path] | more[path] for path in paths}, parts, notes)
    listed: dict[str, dict[str, str]] = {}
    sides = {path: named for path in by_table if (named := side_of(path.stem))}
    with_sides = "test" in sides.values() and len(set(sides.values())) > 1
    for path, rows in by_table.items():
        side = {"split": str(sides[path])} if with_sides and path in sides else {}
        for name, row in rows.items():
            listed[name] = listed.get(name, {}) | side | row
    names = [_near(path, root) for path in by_table]
    notes.insert(0, f"what is known of the recordings comes from {', '.join(names)}")
    if len(listed) < len(paths):
        notes.append(f"{len(paths) - len(listed)} recordings that no table names are left out")
    names = sorted(listed)
    again = dict(zip(names, path_fields(names), strict=True))  # what is left out may have had fewer parts
    return _items({name: again[name] | more[name] | listed[name] for name in names}, parts, notes)


def _items(
    known: Mapping[str, Mapping[str, str]], parts: Mapping[str, marks.Parts], notes: list[str]
) -> tuple[list[Item], list[str]]:
    """Return the recordings, or, where parts of some are marked, those parts alone."""
    if not parts:
        return [Item(path, fields) for path, fields in known.items()], notes
    whole = sum(path not in parts for path in known)
    notes += [f"{whole} recordings of which no part is marked are left out"] * (whole > 0)
    return [
        Item(path, {**fields, **values}, span)
        for path, fields in known.items()
        for span, values in sorted(parts.get(path, {}).items(), key=lambda part: part[0])
    ], notes


@dataclass
class _Found:
    """What tables tell: of recordings that they name, of parts of them, and of those whose path holds a key; notes."""

    parts: dict[str, marks.Parts] = field(default_factory=dict)
    by_table: dict[Path, dict[str, dict[str, str]]] = field(default_factory=dict)
    by_key: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def _found(
    candidates: Sequence[Path], root: Path, fields: Mapping[str, Mapping[str, str]], *, asked: bool, whole: bool
) -> _Found:
    """Read tables; one that was asked for must be right, others may be of something else."""
    all_found, by_name = _Found(), _index(fields)
    for path in candidates:
        try:
            rows = tables.read(path)
            named, parts, notes = _rows(path, root, by_name, rows, whole=whole)
            if named:
                all_found.by_table[path] = named
                for name, own in parts.items():
                    for span, values in own.items():
                        marks.add(all_found.parts.setdefault(name, {}), span, values)
            else:
                by_key, notes = beside.joined(path, rows, fields)
                if not by_key and not asked and rows and path.suffix != ".txt":
                    all_found.unused.append(f"not used: {path} names none of the recordings")
                for name, row in by_key.items():
                    all_found.by_key[name] = all_found.by_key.get(name, {}) | row
            all_found.notes += notes
        except DataError as error:
            if asked:
                raise
            if path.suffix != ".txt":  # which may be a text for people
                all_found.unused.append(f"not used: {error}")
    return all_found


def _above(root: Path) -> list[Path]:
    """Return the files beside the only folder of recordings there, and in its sister folders, that may be tables of it.

    Tables beside several folders of recordings may be of another: file names such as `1.wav` are no proof. Nothing is
    looked for among many files, as in somebody's home or a folder of projects.
    """
    parent = root.parent
    if parent == Path(parent.anchor) or Path.home().is_relative_to(parent):
        return []
    near = [path for path in _some(parent) if path != root]
    inside = [path for folder in near if folder.is_dir() for path in _some(folder)]
    deeper = [path for folder in inside if folder.is_dir() for path in _some(folder)]
    everything = [*near, *inside, *deeper]
    if len(everything) > _MOST_NEAR or any(path.suffix.casefold() in AUDIO for path in everything):
        return []
    return [path for path in (*near, *inside) if path.suffix in tables.SUFFIXES and path.is_file()]


def _some(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, but not more than shows that it is too much; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST_NEAR + 1)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _near(path: Path, root: Path) -> str:
    """Return a table's place as a person would write it."""
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return str(path) if path.is_relative_to(root.parent) else path.name


def _tables(root: Path, names: Sequence[str], paths: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the files that may be tables of these recordings, and notes on those that cannot be read."""
    own = {PurePosixPath(name).with_suffix("").as_posix() for name in paths}
    near = [name for name in names if Path(name).suffix in tables.SUFFIXES]
    near = [name for name in near if PurePosixPath(name).with_suffix("").as_posix() not in own]
    near.sort(key=lambda name: (name.count("/"), name))
    unread = [name for name in names if Path(name).suffix.casefold() in tables.SPREADSHEETS | marks.UNREAD]
    notes = [
        f"not used: {root / name} must be CSV, TSV or JSON. If it tells labels, save it as CSV"
        for name in unread[:_SHOWN]
    ]
    notes += [f"not used: {len(unread)} such files"] * (len(unread) > _SHOWN)
    if len(near) > _MOST_TABLES:
        notes.append(f"not used: {len(near) - _MOST_TABLES} of {len(near)} tables, such as {near[-1]}")
    return sorted(root / name for name in near[:_MOST_TABLES]), notes


def _index(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the recordings by their path, their file name and its stem."""
    by_name: dict[str, list[str]] = {}
    for path in paths:
        for key in {path, Path(path).name, Path(path).stem}:
            by_name.setdefault(key, []).append(path)
    return by_name


def _rows(
    path: Path, root: Path, by_name: Mapping[str, Sequence[str]], rows: Sequence[Row], *, whole: bool
) -> tuple[dict[str, dict[str, str]], dict[str, marks.Parts], list[str]]:
    """Return what a table tells of the recordings that it names and of parts of them, and notes; nothing of others."""
    here = path.parent.relative_to(root).as_posix() if path.is_relative_to(root) else "."

    def named(value: str) -> str | None:
        value = value.strip().replace("\\", "/").removeprefix("./")
        for key in (value, f"{here}/{value}", value.rpartition("/")[2], Path(value).stem):
            if len(by_name.get(key, ())) == 1:
                return by_name[key][0]
        return None

    best: dict[str, list[Row]] = {}
    of_column = ""
    for column in dict.fromkeys(key for row in rows for key in row.values):
        found: dict[str, list[Row]] = {}
        for row in rows:
            if recording := named(row.values.get(column, "")):
                found.setdefault(recording, []).append(row)
        if len(found) > len(best) and len(found) >= _LISTED * len({row.values.get(column) for row in rows}):
            best, of_column = found, column
    if not best:
        _require_apart(path, rows, by_name)
    parts, marked = marks.of_rows(path, {} if whole else best, [of_column])
    for name, several in best.items():
        if not parts and any(row.values != several[0].values for row in several):
            raise DataError(
                f"{path} must name every recording once; {name} is in lines {several[0].line} and {several[1].line}. "
                "Keep one row, or give each row's part of the recording in columns start_s and end_s."
            )
    if best and named(of_column):
        unnamed, _, notes = _rows(path, root, by_name, tables.unnamed(path, rows), whole=whole)
        values, note = tables.told(path, unnamed)
        return values, {}, [note, *notes]
    lost = [row.line for row in rows if named(row.values.get(of_column, "")) is None]
    notes = (
        [f"{path.name} names {len(lost)} recordings that are not there, the first in line {lost[0]}"] if lost else []
    )
    if parts:
        return {name: {} for name in parts}, parts, [*marked, *notes]
    values = {name: {k: v for k, v in rows[0].values.items() if k != of_column} for name, rows in best.items()}
    return values, {}, notes


def _require_apart(path: Path, rows: Sequence[Row], by_name: Mapping[str, Sequence[str]]) -> None:
    """Raise if a column holds file names, each of which several recordings have."""
    for column in dict.fromkeys(key for row in rows for key in row.values):
        values = [PurePosixPath(row.values.get(column, "").replace("\\", "/")).name for row in rows]
        several = [
            value for value in values if Path(value).suffix.casefold() in AUDIO and len(by_name.get(value, ())) > 1
        ]
        if len(several) >= _LISTED * len(rows):
            same = by_name[several[0]]
            raise DataError(
                f"{path} must name recordings by their folders too; {several[0]} is {same[0]} and {same[1]}. Write "
                "paths."
            )


def spread(n: int, most: int) -> list[int]:
    """Return the places of at most so many of n things, spread evenly from the first to the last.

    Examples
    --------
    >>> spread(9, 3), spread(2, 3), spread(9, 1)
    ([0, 4, 8], [0, 1], [0])
    """
    most = min(most, n)
    return [round(i * (n - 1) / max(1, most - 1)) for i in range(most)]


def shown(values: Sequence[str], most: int = 6) -> str:
    """Return the first values, and dots where there are more."""
    more = ", ..." if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
