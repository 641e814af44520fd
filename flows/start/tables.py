"""Read the tables that stand beside recordings: CSV, TSV, text, JSON and JSON lines, with column names or without."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.start.values import side_of
from stages.core.artifacts.recordings import SEPARATOR
from stages.core.project.errors import DataError
from stages.pull.table import DELIMITERS, Layout, Row, read_table

SUFFIXES = frozenset((".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson"))
SPREADSHEETS = frozenset((".xlsx", ".xls", ".ods", ".numbers", ".parquet", ".feather"))
"""Tables that somebody has to save as CSV."""
_LINES = (".jsonl", ".ndjson")
_COLUMN = "column"


def read(path: Path) -> list[Row]:
    """Read a table as text.

    Parameters
    ----------
    path : Path
        CSV by the rules of `stages.pull.table`; JSON or JSON lines that hold objects, nested ones too.

    Returns
    -------
    list of Row
        None of a JSON file that holds something else.

    Raises
    ------
    DataError
        If it cannot be read with certainty.
    """
    if path.suffix in _LINES:
        lines = [(i, line) for i, line in enumerate(path.read_bytes().splitlines(), 1) if line.strip()]
        objects = [(i, parsed(line, f"{path}, line {i}")) for i, line in lines]
        return [Row(i, flat(value)) for i, value in objects if isinstance(value, dict)]
    if path.suffix == ".json":
        return [Row(i, row) for i, row in enumerate(_objects(parsed(path.read_bytes(), str(path))), 1)]
    header = _header(path)
    delimiter = None
    if not any(each in header for each in DELIMITERS):
        if "|" in header:
            delimiter = "|"
        elif path.suffix == ".txt" and len(header.split()) > 1:
            return _by_spaces(path)
    if re.search(r"([,;\t])\1$", header):
        title = header.rstrip(",;").strip()
        raise DataError(
            f"{path} must name its columns in its first line, which is {title!r}. Remove that line, "
            "or write a name for each column."
        )
    return read_table(path, Layout(None, (), "pull.options.folder", delimiter=delimiter))


def _header(path: Path) -> str:
    """Return the first line that is no comment, whatever its encoding."""
    with path.open("rb") as stream:
        lines = iter(lambda: stream.readline(10_000), b"")
        return next((line for line in lines if not line.startswith(b"#")), b"").decode(errors="replace").rstrip("\r\n")


def _by_spaces(path: Path) -> list[Row]:
    """Read a text whose lines are all as many words, the first of which are names."""
    lines = [
        (i, line.split()) for i, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1) if line.strip()
    ]
    names = lines[0][1]
    odd = [i for i, words in lines if len(words) != len(names)]
    if odd or len(set(names)) < len(names):
        raise DataError(
            f"{path}, line {odd[0] if odd else 1} must have {len(names)} different words. Write a CSV file."
        )
    return [Row(i, dict(zip(names, words, strict=True))) for i, words in lines[1:]]


def parsed(text: bytes, place: str) -> Any:
    """Return what JSON holds.

    Parameters
    ----------
    text : bytes
    place : str
        File, and line if it has several, for the message.

    Raises
    ------
    DataError
        If it is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{place} must be JSON; it is not ({error}). Correct it.") from None


def flat(value: Any, place: str = "") -> dict[str, str]:
    """Return the texts, numbers and truth values of nested objects, by their places.

    Examples
    --------
    >>> flat({"audio": "a.wav", "marks": [{"class": ["dog", "cat"]}, {"class": ["cow"]}]})
    {'audio': 'a.wav', 'marks.class': 'dog|cat|cow'}
    """
    if isinstance(value, Mapping):
        inner = [flat(each, f"{place}.{key}" if place else str(key)) for key, each in value.items()]
        return {key: text for found in inner for key, text in found.items()}
    if not isinstance(value, list):
        return {place: "" if value is None else str(value)}
    found: dict[str, dict[str, None]] = {}
    for each in value:
        for key, text in flat(each, place).items():
            found.setdefault(key, {})[text] = None
    return {key: SEPARATOR.join(texts) for key, texts in found.items()}


def unnamed(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a table whose column names turned out to be its first row: `column1`, `column2` and so on.

    Parameters
    ----------
    path : Path
        For the message.
    rows : sequence of Row

    Raises
    ------
    DataError
        If it has one column only, from which nothing is known.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    if len(names) < 2:
        raise DataError(
            f"{path} must have two columns at least, such as path,label; it begins with {names[0]}. Add what is known "
            "of each recording."
        )
    columns = {name: f"{_COLUMN}{i}" for i, name in enumerate(names, 1)}
    first = Row(1, {column: name for name, column in columns.items()})
    return [first, *(Row(r.line, {column: r.values.get(name, "") for name, column in columns.items()}) for r in rows)]


def told(path: Path, values: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, dict[str, str]], str]:
    """Return what a table without column names tells, and a note: a single column is the label.

    Parameters
    ----------
    path : Path
    values : mapping of str to mapping of str to str
        Path of a recording to its columns, without the one that names it.
    """
    columns = sorted({name for row in values.values() for name in row})
    distinct = {text for row in values.values() for text in row.values()}
    if len(columns) == 1 and all(map(side_of, distinct)):
        return {name: {"split": row[columns[0]]} for name, row in values.items()}, f"{path.name} tells sides"
    if len(columns) != 1 or 2 * len(distinct) > len(values):
        note = f"{path.name} has no row of column names; its columns are called {columns[0]} to {columns[-1]}"
        return {name: dict(row) for name, row in values.items()}, note
    note = f"{path.name} has no row of column names; what it tells of a recording is taken for the label"
    return {name: {"label": row[columns[0]]} for name, row in values.items()}, note


def _objects(document: Any) -> list[dict[str, str]]:
    """Return the rows of a document: a list of objects, objects by name, texts by name, or files by label."""
    if isinstance(document, Mapping):
        lists = [each for each in document.values() if _are_objects(each)]
        if len(lists) == 1:
            document = lists[0]
        elif len(document) > 1 and _are_objects(list(document.values())):
            return [{"key": str(key)} | flat(each) for key, each in document.items()]
        elif len(document) > 1 and all(map(_are_texts, document.values())):
            column = "split" if all(map(side_of, document)) else "label"
            return [{"path": text, column: str(key)} for key, texts in document.items() for text in texts]
        elif len(document) > 1 and all(isinstance(each, str | int | float) for each in document.values()):
            return [{"key": str(key), "label": str(each)} for key, each in document.items()]
    return [flat(each) for each in document] if _are_objects(document) else []


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)
