"""CSV files of any delimiter and encoding that can be recognised with certainty, and of nothing else."""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import params
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.names import clean
from stages.pull.tree import not_audio

DELIMITERS = (",", ";", "\t")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MARKS = (  # the longer ones first: UTF-32's mark begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


_Record = tuple[int, list[str]]  # line, fields


@dataclass(frozen=True)
class Layout:
    """How a table is written.

    Attributes
    ----------
    columns : mapping of str to str, or None
        What a column means to its name in the file's header. Names are compared without case. None reads every column
        that has a name.
    required : tuple of str
        Meanings that must be there.
    owner : str
        Parameter that holds the columns, the encoding and the delimiter, for messages.
    encoding : str or None
        Python's name of the encoding; None recognises UTF-8, and UTF-16 and UTF-32 by their byte-order mark.
    delimiter : str or None
        None recognises a comma, a semicolon or a tab by the header: the one that gives the required columns, or, where
        none is required, the most frequent.
    """

    columns: Mapping[str, str] | None
    required: tuple[str, ...]
    owner: str
    encoding: str | None = None
    delimiter: str | None = None

    def name(self, meaning: str) -> str:
        """Return the name in the header of what a column means."""
        return (self.columns or {}).get(meaning, meaning)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    line : int
        Where it begins in the file, from 1, blank lines counted.
    values : dict of str to str
        Meaning of a column to its cleaned value; empty for columns that the table lacks.
    """

    line: int
    values: dict[str, str]


def read_table(path: Path, layout: Layout) -> list[Row]:
    """Read a table with a header, or say in one sentence why it cannot be read with certainty.

    Blank lines, rows all of whose fields are empty, and comments above the header (`# ...`) are passed over.

    Parameters
    ----------
    path : Path
    layout : Layout

    Returns
    -------
    list of Row

    Raises
    ------
    ParameterError
        If `layout` names an encoding or a delimiter that does not fit.
    DataError
        For an unknown encoding or delimiter, a missing or repeated column, a row with too many or too few fields, or a
        stray quotation mark, with the line.
    """
    text, certain = _decode(path, layout)
    delimiter, skipped, text = _delimiter(path, layout, text)
    records = _records(path, text, delimiter, skipped)
    _, header = next(records, (0, []))
    places = _places(path, layout, header, delimiter)
    rows = []
    for line, fields in records:
        if len(fields) != len(header):
            raise DataError(
                f"{path}, line {line} must have {len(header)} fields, as the header has; it has {len(fields)}. "
                "Add or remove a delimiter, or put quotation marks around a field that holds one."
            )
        if any(re.search(r"[\r\n]", fields[place]) for place in places.values()):
            raise _stray(path, line)
        if any("\0" in fields[place] for place in places.values()):
            raise DataError(
                f"{path}, line {line} holds NUL characters, as a damaged file or another encoding does. Save the table "
                "as CSV in UTF-8."
            )
        values = {meaning: clean(fields[place]) for meaning, place in places.items()}
        if not certain and not all(fields[place].isascii() for place in places.values()):
            raise DataError(
                f"{path}, line {line} must be text in UTF-8; it is not. Save the table as CSV in UTF-8, or name its "
                f"encoding in {layout.owner}.encoding, such as cp1252."
            )
        rows.append(Row(line, dict.fromkeys(layout.columns or (), "") | values))
    return rows


def _decode(path: Path, layout: Layout) -> tuple[str, bool]:
    """Return the text and whether its letters beyond ASCII are certain."""
    content = path.read_bytes()
    if (kind := not_audio(path)) not in ("", "text"):
        workbook = ", as spreadsheets are" if kind == "a zip archive" else ""
        raise DataError(f"{path} must be a CSV file; it is {kind}{workbook}. Save the table as CSV in UTF-8.")
    if layout.encoding is not None:
        try:
            return content.decode(layout.encoding).removeprefix("\ufeff"), True
        except LookupError:
            raise ParameterError(
                f"{layout.owner}.encoding must be an encoding that Python knows; got {layout.encoding!r}. Write for "
                "instance utf-8 or cp1252."
            ) from None
        except UnicodeError:
            raise DataError(
                f"{path} must be text in {layout.encoding}; it is not. Correct {layout.owner}.encoding, or remove it."
            ) from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None) or _unmarked(content)
    try:
        return content.decode(encoding), True
    except UnicodeError:
        if encoding == "utf-8" and b"\0" not in content:
            return content.decode("latin-1"), False  # which tells every byte; only ASCII is believed
        raise DataError(
            f"{path} must be text in UTF-8; it is not. Save the table as CSV in UTF-8, or name its encoding in "
            f"{layout.owner}.encoding."
        ) from None


def _unmarked(content: bytes) -> str:
    """Return UTF-16 where every other byte of the beginning is zero, as in no other encoding of a header."""
    low, high = content[:64:2], content[1:64:2]
    if len(high) > 1 and not any(high) and all(low):
        return "utf-16-le"
    if len(high) > 1 and not any(low) and all(high):
        return "utf-16-be"
    return "utf-8"


def _delimiter(path: Path, layout: Layout, text: str) -> tuple[str, int, str]:
    """Return the delimiter, how many lines stand before the header that are not of the table, and the rest."""
    stated = re.match(r'"?sep=(.)"?[ \t]*(\r\n|\r|\n)', text)  # spreadsheets write it and hide it
    skipped = 1 if stated else 0
    comments, rest = _comments(text[stated.end() :] if stated else text)
    skipped += comments
    if layout.delimiter is not None:
        if len(layout.delimiter) != 1 or layout.delimiter in '"\r\n':
            raise ParameterError(
                f"{layout.owner}.delimiter must be one character; got {layout.delimiter!r}. Write ',', ';' or \"\\t\"."
            )
        return layout.delimiter, skipped, rest
    if stated:
        return stated[1], skipped, rest
    needed = {_folded(layout.name(meaning)) for meaning in layout.required}
    fitting = []
    for delimiter in DELIMITERS if needed else ():
        _, header = next(_records(path, rest, delimiter, skipped, check=False), (0, []))
        if needed <= set(map(_folded, header)):
            fitting.append(delimiter)
    if len(fitting) == 1:
        return fitting[0], skipped, rest
    if len(fitting) > 1:
        raise DataError(
            f"{path} must have one delimiter; its header can be read with {' and '.join(_NAMES[d] for d in fitting)}. "
            f"Name it in {layout.owner}.delimiter."
        )
    header_line = rest.lstrip("\r\n").splitlines()[:1]
    counts = {delimiter: header_line[0].count(delimiter) if header_line else 0 for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: counts[delimiter]), skipped, rest


def _comments(text: str) -> tuple[int, str]:
    """Return how many lines above the header are comments (`# ...`), and the rest.

    The last of them is the header if it has as many fields as the line after it, which holds a file's name or a
    number: `#path,label` above `a.wav,dog`.
    """
    if not text.startswith("#"):
        return 0, text
    lines = text.splitlines(keepends=True)
    n = sum(1 for _ in itertools.takewhile(lambda line: line.startswith("#"), lines))
    if n == len(lines):
        return 0, text
    as_many = any(lines[n - 1].count(delimiter) == lines[n].count(delimiter) > 0 for delimiter in DELIMITERS)
    if as_many and re.search(r"\d|\.\w{2,4}\b", lines[n]):
        n -= 1
        lines[n] = re.sub(r"^#+\s*(?=\w)", "", lines[n])
    return n, "".join(lines[n:])


def _records(path: Path, text: str, delimiter: str, skipped: int, *, check: bool = True) -> Iterator[_Record]:
    """Yield every record that is not blank with the line it begins in; `check` the quotation marks."""
    lines: list[str] = []  # of the record that is being read

    def remembered() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            lines.append(line)
            yield line

    field = rf' *"(?:[^"]|"")*" *|[^"{re.escape(delimiter)}\r\n]*'
    well_formed = re.compile(rf"(?:{field})(?:{re.escape(delimiter)}(?:{field}))*(?:\r\n|\r|\n)?")
    reader, line = csv.reader(remembered(), delimiter=delimiter, skipinitialspace=True), skipped + 1
    while True:
        lines.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}, line {line} cannot be read ({error}). Correct the line.") from None
        first, line = line, line + len(lines)
        if not any(map(clean, fields)):
            continue
        swallowed = [piece for value in fields for piece in re.split(r"[\r\n]+", value)[1:]]
        whole_rows = any(piece.count(delimiter) >= max(1, len(fields) - 1) for piece in swallowed)
        if check and (whole_rows or not well_formed.fullmatch("".join(lines))):
            raise _stray(path, first)
        yield first, fields


def _stray(path: Path, line: int) -> DataError:
    return DataError(
        f"{path}, line {line} has a stray quotation mark. Remove it, or put quotation marks around the whole field and "
        "write each one within twice."
    )


def _places(path: Path, layout: Layout, header: Sequence[str], delimiter: str) -> dict[str, int]:
    """Return where each column stands that means something."""
    folded = [_folded(name) for name in header]
    repeated = sorted({clean(name) for name, key in zip(header, folded, strict=True) if key and folded.count(key) > 1})
    if repeated:
        raise DataError(f"{path} must have every column once; {repeated[0]!r} is repeated. Rename or remove one.")
    separated = f"separated by {_NAMES.get(delimiter, repr(delimiter))}"
    if layout.columns is None:
        return {clean(name): place for place, name in enumerate(header) if clean(name)}
    needed = ", ".join(layout.columns[meaning] for meaning in layout.required[:-1])
    for meaning in layout.required:
        name = layout.columns[meaning]
        if _folded(name) not in folded:
            raise DataError(
                f"{path} must have the columns {needed} and {layout.columns[layout.required[-1]]}, {separated}; it has "
                f"no {name}. {params.known(name, filter(None, map(clean, header))) if header else ''} Add it, or name "
                f"the column that holds it in {layout.owner}.columns{_or_delimiter(layout, header)}.".replace("  ", " ")
            )
    for meaning, name in layout.columns.items():
        if name != meaning and _folded(name) not in folded:
            advice = params.known(name, filter(None, map(clean, header)))
            raise ParameterError(f"{layout.owner}.columns.{meaning} names {name!r}, which {path} lacks. {advice}")
    return {meaning: folded.index(_folded(name)) for meaning, name in layout.columns.items() if _folded(name) in folded}


def _or_delimiter(layout: Layout, header: Sequence[str]) -> str:
    """Return the advice to name the delimiter if the header is one field that holds all names."""
    found = len(header) == 1 and all(layout.name(meaning) in header[0] for meaning in layout.required)
    return f", or the delimiter in {layout.owner}.delimiter" if found else ""


def _folded(name: str) -> str:
    return clean(name).casefold()
