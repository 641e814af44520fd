"""Read what stands beside recordings: lists of a side's files, a JSON file for each, tables of patients or machines."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from flows.start import tables
from flows.start.fields import parts_of
from flows.start.values import side_of
from stages.pull.table import Row

_MOST = 0.9  # fraction of lines or recordings that must fit
_FEWEST = 3  # values that a table of groups must share with the paths
_LARGEST = 50_000_000  # bytes of a list of files


def sides(root: Path, texts: Sequence[str], paths: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the side of every recording by text files that list a side's paths, such as ``testing_list.txt``.

    Parameters
    ----------
    root : Path
    texts : sequence of str
        Text files, relative to `root`.
    paths : sequence of str
        Recordings, relative to `root`.

    Returns
    -------
    found : dict of str to dict of str to str
        Path to ``{"split": side}``; what no list names is of the training side. Empty without lists.
    notes : list of str
    """
    known, used = set(paths), []
    listed: dict[str, str] = {}
    for text in texts:
        words = parts_of(PurePosixPath(text).stem.casefold())
        named = {side for word in words if (side := side_of(word))}
        if len(named) != 1 or (root / text).stat().st_size > _LARGEST:
            continue
        lines = [line.strip() for line in (root / text).read_text("utf-8", "replace").splitlines() if line.strip()]
        here = [line for line in lines if line in known]
        if here and len(here) >= _MOST * len(lines):
            listed |= dict.fromkeys(here, named.pop())
            used.append(text)
    if not listed:
        return {}, []
    return {path: {"split": listed.get(path, "train")} for path in paths}, [f"the sides come from {', '.join(used)}"]


def sidecars(root: Path, jsons: Sequence[str], paths: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return what JSON files tell that are called as a recording is, if nearly every recording has one.

    Parameters
    ----------
    root : Path
    jsons : sequence of str
        JSON files, relative to `root`.
    paths : sequence of str
        Recordings, relative to `root`.

    Returns
    -------
    found : dict of str to dict of str to str
        Path to the texts, numbers and truth values of its file, by their places.
    notes : list of str

    Raises
    ------
    DataError
        If a file is not JSON.
    """
    there = {PurePosixPath(name).with_suffix("").as_posix(): name for name in jsons}
    own = {path: there.get(PurePosixPath(path).with_suffix("").as_posix()) for path in paths}
    if not paths or sum(name is not None for name in own.values()) < _MOST * len(paths):
        return {}, []
    found: dict[str, dict[str, str]] = {}
    for path, name in own.items():
        document = tables.parsed((root / name).read_bytes(), str(root / name)) if name else {}
        found[path] = tables.flat(document) if isinstance(document, dict) else {}
    return found, ["what is known of the recordings comes from the JSON file beside each"]


def joined(
    table: Path, rows: Sequence[Row], fields: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the rows of a table of patients, machines or codes by the recordings whose path holds its key.

    Parameters
    ----------
    table : Path
        For messages.
    rows : sequence of Row
    fields : mapping of str to mapping of str to str
        Path of a recording to its fields.

    Returns
    -------
    found : dict of str to dict of str to str
        Path to the other columns of its row; empty if no column holds what nearly all paths hold.
    notes : list of str

    Raises
    ------
    DataError
        If the table has one column only.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row.values))
    names = dict.fromkeys(name for each in fields.values() for name in each if name != "name")
    of_paths = {name: [_plain(each.get(name, "")) for each in fields.values()] for name in names}
    best: tuple[int, str, str] | None = None
    for column in columns:
        keys = [_plain(row.values.get(column, "")) for row in rows]
        if "" in keys or len(set(keys)) < len(keys):
            continue
        held = set(keys)
        for name, values in of_paths.items():
            shared = len(held & set(values))
            fits = shared >= _FEWEST and sum(value in held for value in values) >= _MOST * len(values)
            if fits and 2 * shared >= len(keys) and (best is None or shared > best[0]):
                best = (shared, column, name)
    if best is None:
        return {}, []
    _, column, name = best
    nameless = _plain(column) in of_paths[name]
    if nameless:
        rows = tables.unnamed(table, rows)
        column = f"column{columns.index(column) + 1}"
    by_key = {
        _plain(row.values[column]): {key: value for key, value in row.values.items() if key != column} for row in rows
    }
    found = {path: by_key[key] for path, key in zip(fields, of_paths[name], strict=True) if key in by_key}
    notes = [f"{table.name} is joined by its column {column!r}, which is {name} of the paths"]
    if nameless:
        found, note = tables.told(table, found)
        notes.append(note)
    return found, notes


def _plain(value: str) -> str:
    """Return a key without case, and a number without zeros in front or behind the point: 007.0 is 7."""
    plain = re.sub(r"(?<=\d)\.0+$", "", value.strip().casefold())
    return plain.lstrip("0") or plain[-1:]
