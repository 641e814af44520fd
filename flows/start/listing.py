"""List the recordings of a folder, or of a table, with all the fields that tell something of them."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from flows.start.naming import SPLIT_NAMES, Item, path_fields
from stages.core.project.errors import DataError

AUDIO = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".webm", ".aif", ".aiff"))
AUDIO_WORDS = ", ".join(sorted(suffix[1:] for suffix in AUDIO))
TABLES = frozenset((".csv", ".tsv", ".json"))
_LISTED = 0.5  # fraction of a table's rows that must name a recording


def list_recordings(root: Path, table: Path | None = None) -> tuple[list[Item], list[str]]:
    """List recordings with the fields of their paths and of the tables that name them.

    Parameters
    ----------
    root : Path
        Folder of recordings.
    table : Path or None
        The one table to go by; None looks for tables in `root` and one folder below.

    Returns
    -------
    items : list of Item
        Sorted by path. Where tables name recordings, only those.
    notes : list of str
        Which tables were used and what was left out.

    Raises
    ------
    DataError
        If there is no recording, or the table names none.
    """
    paths = sorted(_audio(root))
    if not paths:
        raise DataError(f"{root} must hold recordings ({AUDIO_WORDS}); it holds none. Correct the path.")
    fields = dict(zip(paths, path_fields(paths), strict=True))
    tables = [table] if table else sorted(p for p in (*root.glob("*"), *root.glob("*/*")) if p.suffix in TABLES)
    by_table = {path: found for path in tables if path.is_file() and (found := _rows(path, root, fields))}
    if table and not by_table:
        raise DataError(f"{table} must have a column with paths of files below {root}; it has none. Correct the paths.")
    if not by_table:
        return [Item(path, fields[path]) for path in paths], []
    listed: dict[str, dict[str, str]] = {}
    sides = {path: SPLIT_NAMES.get(path.stem.casefold()) for path in by_table}
    for path, found in by_table.items():
        side = {"split": str(sides[path])} if all(sides.values()) and len(by_table) > 1 else {}
        for name, row in found.items():
            listed[name] = listed.get(name, {}) | row | side
    names = [path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name for path in by_table]
    notes = [f"what is known of the recordings comes from {', '.join(names)}"]
    if len(listed) < len(paths):
        notes.append(f"{len(paths) - len(listed)} recordings that no table names are left out")
    names = sorted(listed)
    again = dict(zip(names, path_fields(names), strict=True))  # what is left out may have had fewer parts
    return [Item(name, again[name] | listed[name]) for name in names], notes


def _audio(root: Path) -> list[str]:
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(folder).relative_to(root)
        found += [
            (inside / name).as_posix()
            for name in names
            if Path(name).suffix.casefold() in AUDIO and not name.startswith(".")
        ]
    return found


def _rows(path: Path, root: Path, known: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the rows of a table by the recording that they name; none if it does not name recordings."""
    rows = _read(path)
    if not rows:
        return {}
    by_name: dict[str, list[str]] = {}
    for name in known:
        stem, full = Path(name).stem, Path(name).name
        for key in {name, full, stem}:
            by_name.setdefault(key, []).append(name)
    here = path.parent.relative_to(root).as_posix() if path.is_relative_to(root) else "."

    def named(value: str) -> str | None:
        value = value.strip().replace("\\", "/").removeprefix("./")
        for key in (value, f"{here}/{value}", value.rpartition("/")[2], Path(value).stem):
            if len(by_name.get(key, ())) == 1:
                return by_name[key][0]
        return None

    best: dict[str, dict[str, str]] = {}
    for column in dict.fromkeys(key for row in rows for key in row):
        matched = ((named(row.get(column, "")), row) for row in rows)
        found = {name: row for name, row in matched if name is not None}
        if len(found) > len(best) and len(found) >= _LISTED * len({row.get(column) for row in rows}):
            best = {name: {k: v for k, v in row.items() if k != column} for name, row in found.items()}
    return best


def _read(path: Path) -> list[dict[str, str]]:
    """Read a table as text: CSV of any usual delimiter, or JSON that is a list of flat objects."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text(encoding="latin-1")
    if path.suffix == ".json":
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            return []
        flat = isinstance(document, list) and all(isinstance(row, dict) for row in document)
        return [{str(k): "" if v is None else str(v) for k, v in row.items()} for row in document] if flat else []
    header = text.partition("\n")[0]
    delimiter = max((",", ";", "\t"), key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    return [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in reader]


def shown(values: Sequence[str], most: int = 6) -> str:
    """Return the first values, and dots where there are more."""
    more = ", ..." if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
