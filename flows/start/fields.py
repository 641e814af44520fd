"""Fields of recordings: what folders, file names and tables tell of each one.

Every recording has ``folder1``, ``folder2`` ... from the root down, ``folder1.1``, ``folder1.2`` ... where such a
folder's name has several parts, ``part1``, ``part2`` ... of its file name (between separators), ``name`` (the file name
without a number at its end), ``code1``, ``code2`` ... where all file names are codes of one pattern without separators
(``03a01Fa``), and the columns of tables that list it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from stages.core.artifacts.recordings import part_id

SEPARATORS = re.compile(r"[_\-\s.+@#,()\[\]{}]+")
_WHEN = re.compile(  # a date, and perhaps a time
    r"(?<!\d)((?:19|20)\d\d)[-_.](0[1-9]|1[0-2])[-_.]([0-3]\d)"
    r"(?:([-_. T]+)([0-2]\d)[-_.:h]([0-5]\d)(?:[-_.:m]([0-5]\d))?)?(?!\d)"
)
_RUN = re.compile(r"\d+|[A-Z]+|[a-z]+")
_USUAL = 0.9  # fraction of names with the usual number of parts, below which only the first part means one thing


Span = tuple[float, float]
"""Start and end of a part of a recording (seconds)."""


@dataclass(frozen=True)
class Item:
    """One recording, or a part of one, and all that its path and the tables tell of it.

    Attributes
    ----------
    path : str
        Relative to the root, with slashes.
    fields : Mapping of str to str
    span : Span or None
        The part; None for all of it.
    """

    path: str
    fields: Mapping[str, str]
    span: Span | None = None

    @property
    def shown(self) -> str:
        """Its path, and the times if it is a part."""
        return self.path if self.span is None else part_id(self.path, *self.span)


@dataclass(frozen=True)
class Field:
    """A chosen field: its name, why it was chosen, and its value for each recording."""

    name: str
    reason: str
    values: tuple[str, ...]

    @property
    def distinct(self) -> list[str]:
        """Sorted distinct values."""
        return sorted(set(self.values))

    def of(self, rows: Sequence[int]) -> "Field":
        """Return the field of some recordings."""
        return replace(self, values=tuple(self.values[i] for i in rows))


def path_fields(paths: Sequence[str]) -> list[dict[str, str]]:
    """Return the fields that folders and file names give, the same ones for every path.

    Parameters
    ----------
    paths : sequence of str
        Relative to the root, with slashes.

    Examples
    --------
    >>> path_fields(["yes/anna_1.wav", "no/ben_2.wav"])[0]
    {'folder1': 'yes', 'part1': 'anna', 'part2': '1', 'name': 'anna'}
    >>> path_fields(["03a01Fa.wav", "08b02Wb.wav"])[1]
    {'part1': '08b02Wb', 'code1': '08', 'code2': 'b', 'code3': '02', 'code4': 'W', 'code5': 'b', 'name': '08b02Wb'}
    """
    split = [(PurePosixPath(p).parts[:-1], parts_of(PurePosixPath(p).stem)) for p in paths]
    depth = min((len(folders) for folders, _ in split), default=0)
    counts = [len(parts) for _, parts in split]
    usual = max(set(counts), key=counts.count, default=0)
    n_parts = usual if counts.count(usual) >= _USUAL * len(counts) else min(1, *counts)
    codes = _codes([parts[0] for _, parts in split]) if set(counts) == {1} else None
    inside = [_of_folders([folders[k] for folders, _ in split]) for k in range(depth)]
    found = []
    for i, ((folders, parts), path) in enumerate(zip(split, paths, strict=True)):
        fields = {f"folder{k + 1}": folders[k] for k in range(depth)}
        fields |= {f"folder{k + 1}.{j}": part for k in range(depth) for j, part in enumerate(inside[k][i], 1)}
        fields |= {f"part{k + 1}": parts[k] if k < len(parts) else "" for k in range(n_parts)}
        fields |= {f"code{k}": code for k, code in enumerate(codes[i], 1)} if codes else {}
        stem = PurePosixPath(path).stem
        fields["name"] = re.sub(r"[_\-\s.(]*\d+\)?$", "", stem) or stem
        found.append(fields)
    return found


def parts_of(name: str) -> list[str]:
    """Return what stands between the separators of a name; the name itself if there is nothing else.

    Examples
    --------
    >>> parts_of("[cel][cla]0001__2"), parts_of("New Recording (3)")
    (['cel', 'cla', '0001', '2'], ['New', 'Recording', '3'])
    >>> parts_of("2026-05-01 12.30.07")  # a date and a time are one part each
    ['20260501', '123007']
    """
    return [part for part in SEPARATORS.split(_WHEN.sub(_joined, name)) if part] or [name]


def _joined(when: re.Match[str]) -> str:
    year, month, day, between, *time = when.groups()
    date = year + month + day
    return f"{date}{between[0].replace('T', '_')}{''.join(filter(None, time))}" if between else date


def _of_folders(folders: Sequence[str]) -> list[list[str]]:
    """Return the parts of every folder's name, or the first and the rest if their numbers differ; none of words."""
    parts = [parts_of(folder) for folder in folders]
    if len(set(folders)) < 2 or min(map(len, parts)) < 2:
        return [[] for _ in folders]
    if len({len(each) for each in parts}) > 1:
        parts = [[each[0], "_".join(each[1:])] for each in parts]
    return parts


def _codes(stems: Sequence[str]) -> list[list[str]] | None:
    """Return the runs of digits, capitals and small letters of names that all have the same ones, three at least."""
    runs = [_RUN.findall(stem) for stem in stems]
    shapes = {tuple((len(run), run.isdigit(), run.isupper()) for run in each) for each in runs}
    whole = all("".join(each) == stem for each, stem in zip(runs, stems, strict=True))
    return runs if whole and len(shapes) == 1 and len(stems) > 1 and len(runs[0]) > 2 else None


def by_name(items: Sequence[Item]) -> dict[str, tuple[str, ...]]:
    """Return each field's values, one for each recording; empty where a recording lacks the field."""
    names = dict.fromkeys(name for item in items for name in item.fields)
    return {name: tuple(item.fields.get(name, "") for item in items) for name in names}


def from_path(name: str) -> bool:
    """Return whether a field is of the path and not of a table."""
    return re.fullmatch(r"folder\d+(\.\d+)?|(part|code)\d+|name", name) is not None


def position(name: str) -> int:
    """Return the place of a folder, part or code among its like, from 1; 9 for others."""
    return int(re.sub(r"\D", "", name) or 9)
