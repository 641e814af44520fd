"""Read which parts of recordings are marked: rows of tables with times, labels of Audacity, selections of Raven."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flows.start import tables
from flows.start.fields import Span
from stages.core.artifacts.recordings import SEPARATOR, labels_of
from stages.core.project.errors import DataError
from stages.pull.table import Row

Parts = dict[Span, dict[str, str]]
"""What is known of each part of a recording."""
UNREAD = frozenset((".textgrid", ".eaf", ".svl", ".ann"))
"""Marks of other programs, which somebody has to export as a table."""

_STARTS, _ENDS = {"start", "begin", "onset", "from", "xmin", "tmin"}, {"end", "stop", "finish", "to", "xmax", "tmax"}
_LENGTHS = {"duration", "length", "dur"}
_IDLE = {"s", "sec", "secs", "second", "seconds", "time", "times", "t", "event", "segment", "ms", "milliseconds"}
_MILLISECONDS = {"ms", "milliseconds"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_AUDACITY = re.compile(r"\s*(\d+(?:[.,]\d+)?)\t(\d+(?:[.,]\d+)?)(?:\t([^\t]*))?")
_SUFFIXES = (".txt", ".tsv", ".csv")
_ADDED = re.compile(
    r"[_\-. ]+(labels?|annotations?|events?|marks?|selections?|table\.\d+\.selections?)$", re.IGNORECASE
)
_LEAST = 0.5  # fraction of the recordings that must have marks beside them


@dataclass(frozen=True)
class Times:
    """Columns of a table that say where in its recording a row's part is.

    Attributes
    ----------
    start, end : str
        Names of columns.
    is_length : bool
        Whether `end` holds the part's length instead.
    of_file : str
        Column with the start in the recording, where `start` and `end` are of all recordings one after another, as
        Raven has it for several; empty if there is none.
    """

    start: str
    end: str
    is_length: bool = False
    of_file: str = ""

    def span(self, path: Path, row: Row) -> Span | None:
        """Return the part that a row is about; None if the row marks a moment and no part.

        Raises
        ------
        DataError
            If its times are none.
        """
        texts = row.values.get(self.start, ""), row.values.get(self.end, "")
        start, end = (_seconds(text) * _unit(name) for text, name in zip(texts, (self.start, self.end), strict=True))
        end += start * self.is_length
        if not 0 <= start <= end < float("inf"):
            raise DataError(
                f"{path}, line {row.line}: {self.start} and {self.end} must be times, the start before the end; got "
                f"{texts[0]!r} and {texts[1]!r}. Correct them."
            )
        if self.of_file:
            first = _seconds(row.values.get(self.of_file, "")) * _unit(self.of_file)
            if not 0 <= first < float("inf"):
                text = row.values.get(self.of_file, "")
                raise DataError(f"{path}, line {row.line}: {self.of_file} must be a time; got {text!r}. Correct it.")
            start, end = first, first + end - start
        return (round(start, 6), round(end, 6)) if start < end else None

    def parts(self, path: Path, rows: Sequence[Row], known: Sequence[str] = ()) -> tuple[Parts, int]:
        """Return the parts that rows of one recording mark, without these columns, and how many rows mark a moment."""
        drop = {*known, self.start, self.end, self.of_file}
        parts: Parts = {}
        moments = 0
        for row in rows:
            span = self.span(path, row)
            if span is None:
                moments += 1
            else:
                add(parts, span, {key: value for key, value in row.values.items() if key not in drop})
        return parts, moments


def times_of(columns: Iterable[str]) -> Times | None:
    """Return the columns with the times of parts; None if there are none.

    Examples
    --------
    >>> times_of(["Selection", "Begin Time (s)", "End Time (s)", "Species"])
    Times(start='Begin Time (s)', end='End Time (s)', is_length=False, of_file='')
    >>> times_of(["file", "onset", "offset"])
    Times(start='onset', end='offset', is_length=False, of_file='')
    """
    kinds: dict[str, str] = {}
    for name in columns:
        words = [word.casefold() for word in _WORD.findall(name)]
        words = [word.removesuffix("time") or word for word in words]
        rest = [word for word in words if word not in _IDLE] or [word for word in words if word == "time"]
        kinds.setdefault(_kind(rest), name)
    start, end, offset, length = (kinds.get(kind, "") for kind in ("start", "end", "offset", "length"))
    if start and (end or offset):
        return Times(start, end or offset, of_file=kinds.get("of file", ""))
    start = start or offset or kinds.get("time", "")
    return Times(start, length, is_length=True) if start and length else None


def of_rows(path: Path, rows: Mapping[str, Sequence[Row]], known: Sequence[str]) -> tuple[dict[str, Parts], list[str]]:
    """Return the parts that rows with times mark; none if every recording has one row, which may be of all of it.

    Parameters
    ----------
    path : Path
        The table, for messages.
    rows : mapping of str to sequence of Row
        By recording.
    known : sequence of str
        Columns to leave out, such as the one that names the recording.

    Returns
    -------
    parts : dict of str to dict of Span to dict of str to str
        By recording; what rows of one part say differently is joined by ``|``.
    notes : list of str
    """
    times = times_of(dict.fromkeys(name for several in rows.values() for row in several for name in row.values))
    if times is None or all(len(several) == 1 for several in rows.values()):
        return {}, []
    moments = 0
    found: dict[str, Parts] = {}
    for recording, several in rows.items():
        parts, without_length = times.parts(path, several, known)
        moments += without_length
        if parts:
            found[recording] = parts
    n = sum(map(len, found.values()))
    notes = [f"each row of {path.name} is a part of a recording, by {times.start} and {times.end} ({n} parts)"]
    return found, notes + [_moments(path.name, moments)] * (moments > 0)


def add(parts: Parts, span: Span, values: Mapping[str, str]) -> None:
    """Add what a row says of a part, joined by ``|`` with what others say of it, where they differ.

    Parameters
    ----------
    parts : dict
        Is changed.
    span : tuple of float
    values : mapping of str to str
    """
    known = parts.setdefault(span, {})
    for key, value in values.items():
        said = labels_of(known[key]) if known.get(key) else ()
        known[key] = SEPARATOR.join(dict.fromkeys((*said, *([value] if value else []))))


def beside(root: Path, names: Sequence[str], paths: Sequence[str]) -> tuple[dict[str, Parts], list[str], set[str]]:
    """Return the parts that files beside the recordings mark, one file for each recording.

    These are Audacity's labels and tables with times, such as Raven's, that are called as the recording is:
    ``rec1.txt``, ``rec1_labels.txt``, ``rec1.Table.1.selections.txt``, ``rec1.BirdNET.selection.table.txt``; in the
    same folder or in another.

    Parameters
    ----------
    root : Path
    names : sequence of str
        Files that may be some, relative to `root`.
    paths : sequence of str
        Recordings, relative to `root`.

    Returns
    -------
    parts : dict of str to dict of Span to dict of str to str
        By recording; empty if fewer than half of the recordings have such a file.
    notes : list of str
    used : set of str
        Those of the files.
    """
    of_place = {PurePosixPath(path).with_suffix("").as_posix(): path for path in paths}
    of_stem: dict[str, list[str]] = {}
    for path in paths:
        of_stem.setdefault(PurePosixPath(path).stem, []).append(path)
    found: dict[str, Parts] = {}
    used: set[str] = set()
    empty = moments = 0
    for name in names:
        recording = _recording(name, of_place, of_stem) if PurePosixPath(name).suffix in _SUFFIXES else None
        marked = _marked(root / name) if recording else None
        if recording is None or marked is None:
            continue
        parts, without_label, without_length = marked
        empty, moments = empty + without_label, moments + without_length
        used.add(name)
        for span, values in parts.items():
            add(found.setdefault(recording, {}), span, values)
    if not found:
        return {}, [], set()
    shown = min(used)
    if len(found) < _LEAST * len(paths):
        note = f"not used: {len(used)} files such as {shown} mark parts of {len(found)} of {len(paths)} recordings"
        return {}, [note], set()
    n = sum(map(len, found.values()))
    notes = [f"parts of the recordings come from {len(used)} files such as {shown} ({n} parts)"]
    notes += [f"{empty} marks without a label are left out"] * (empty > 0)
    return found, notes + [_moments("the files", moments)] * (moments > 0), used


def _recording(name: str, of_place: Mapping[str, str], of_stem: Mapping[str, Sequence[str]]) -> str | None:
    """Return the recording that a file beside it is called after."""
    folder, stem = PurePosixPath(name).parent, PurePosixPath(name).stem
    pieces = stem.split(".")
    shorter = [".".join(pieces[:n]) for n in range(len(pieces), 0, -1)]
    for called in dict.fromkeys(name for each in shorter for name in (each, _ADDED.sub("", each))):
        place = (folder / called).as_posix()
        if place in of_place:
            return of_place[place]
        if len(of_stem.get(called, ())) == 1:
            return of_stem[called][0]
    return None


def _marked(path: Path) -> tuple[Parts, int, int] | None:
    """Return the parts that one recording's file marks, and how many marks have no label and no length.

    None if it marks none.
    """
    found = _audacity(path)
    if found is not None:
        return found
    try:
        rows = tables.read(path)
    except DataError:  # a text for people
        return None
    times = times_of(rows[0].values) if rows else None
    if times is None:
        return None
    parts, without_length = times.parts(path, rows)
    return parts, 0, without_length


def _audacity(path: Path) -> tuple[Parts, int, int] | None:
    """Return what `_marked` does of Audacity's labels: start, end and label between tabs; None if it is none."""
    lines = path.read_text("utf-8-sig", "replace").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("\\")]  # which are of frequencies
    matches = [match for line in lines if (match := _AUDACITY.fullmatch(line))]
    if not matches or len(matches) < len(lines):
        return None
    parts: Parts = {}
    empty = without_length = 0
    for match in matches:
        start, end, label = _seconds(match[1]), _seconds(match[2]), (match[3] or "").strip()
        if not label:
            empty += 1
        elif not start < end:
            without_length += 1
        else:
            add(parts, (start, end), {"label": label})
    return parts, empty, without_length


def _kind(words: Sequence[str]) -> str:
    if len(words) != 1:
        return "of file" if words == ["file", "offset"] else ""
    kinds = (("start", _STARTS), ("end", _ENDS), ("length", _LENGTHS), ("offset", {"offset"}), ("time", {"time"}))
    return next((kind for kind, known in kinds if words[0] in known), "")


def _unit(name: str) -> float:
    return 0.001 if _MILLISECONDS & {word.casefold() for word in _WORD.findall(name)} else 1.0


def _seconds(text: str) -> float:
    """Return seconds of ``12.5``, ``12,5`` or ``0:01:12.5``; not a number for other texts."""
    try:
        seconds = 0.0
        for part in text.strip().replace(",", ".").split(":"):
            if "_" in part:
                return float("nan")
            seconds = 60 * seconds + float(part)
        return seconds
    except ValueError:
        return float("nan")


def _moments(name: str, n: int) -> str:
    return f"{n} marks of {name} have no length and are left out"
