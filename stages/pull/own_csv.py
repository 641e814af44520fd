"""Rows of a user's own CSV as listings: paths found below the root, several rows of one path joined."""

import dataclasses
import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from stages.core.artifacts.recordings import SEPARATOR, labels_of
from stages.core.project.errors import DataError
from stages.core.project.names import clean
from stages.pull.listing import Listing
from stages.pull.table import Row
from stages.pull.tree import DANGLING, HIDDEN, chosen, walk
from stages.runtime.hidden import is_hidden

MISSING = "missing"
Span = tuple[float, float]
_SHOWN = 5  # missing files in a sentence


@dataclass(frozen=True)
class Rules:
    """How the rows of a CSV are read.

    Attributes
    ----------
    owner : str
        Section of the parameters, for messages.
    missing_values : tuple of str
        Texts that stand for a missing value, in lower case.
    one_row_per_label : bool
        Several rows of one path are its several labels.
    exclude_missing : bool
        Exclude rows without a file instead of stopping.
    include, exclude : tuple of str
        Globs of paths.
    """

    owner: str
    missing_values: tuple[str, ...]
    one_row_per_label: bool = False
    exclude_missing: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def reason(self, root: Path, name: str) -> str:
        """Return why a file is left out; empty if it is not."""
        if not chosen(name, self.include, self.exclude):
            return f"left out by {self.owner}'s include or exclude"
        if is_hidden(PurePosixPath(name)):
            return HIDDEN
        if not (root / name).is_file():
            return DANGLING if (root / name).is_symlink() else MISSING
        return "" if os.access(root / name, os.R_OK) else "cannot be read (permission denied)"


@dataclass(frozen=True)
class _Paths:
    """Files below the root, found by what a person wrote."""

    root: Path

    @cached_property
    def known(self) -> Mapping[str, list[str]]:
        """Every file below the root, by its path in composed Unicode."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in walk(self.root).files:
            found[clean(name)].append(name)
        return found

    def find(self, written: str) -> str | None:
        """Return a path relative to the root, in the file system's spelling where there is such a file.

        None if the path does not lead below the root.
        """
        for spelling in (written, written.replace("\\", "/")):
            name = self._relative(spelling)
            if name is not None and (self.root / name).is_file():
                return name
        name = self._relative(written.replace("\\", "/"))
        if name is not None and len(same := self.known.get(clean(name), [])) == 1:
            return same[0]
        return name

    def _relative(self, written: str) -> str | None:
        if re.match(r"[A-Za-z]:/", written):
            return None
        path = Path(written)
        if written.startswith("~") and not (self.root / path).exists():
            path = path.expanduser()
        if path.is_absolute():
            for place, root in ((path, self.root.absolute()), (os.path.realpath(path), os.path.realpath(self.root))):
                if Path(place).is_relative_to(root):
                    path = Path(place).relative_to(root)
                    break
        name = os.path.normpath(path)
        return None if path.is_absolute() or name == "." or PurePosixPath(name).parts[0] == ".." else name

    def like(self, name: str) -> str:
        """Return a sentence's beginning that suggests what was meant, or nothing."""
        stem = PurePosixPath(name).with_suffix("").as_posix().casefold()
        alike = [
            there
            for names in self.known.values()
            for there in names
            if there.casefold() == name.casefold() or PurePosixPath(there).with_suffix("").as_posix().casefold() == stem
        ]
        return f"Did you mean {alike[0]}? " if alike else ""


def listings(table: Path, rows: Sequence[Row], root: Path, rules: Rules) -> list[Listing]:
    """Return one listing for each path of a table, or each part of one.

    Parameters
    ----------
    table : Path
        For messages.
    rows : sequence of Row
        With the columns path, label and group, and perhaps site, split, and start_s and end_s (seconds): the part of
        the file that is a recording of its own.
    root : Path
    rules : Rules

    Returns
    -------
    list of Listing

    Raises
    ------
    DataError
        For a value that is missing, a path that leads out of the root or to no file, or rows of one path that
        contradict each other, with the lines.
    """
    paths = _Paths(root)
    values = [dataclasses.replace(row, values=_present(table, row, rules)) for row in rows]
    some_splits = any(row.values["split"] for row in values)
    of_path: dict[tuple[str, Span | None], list[Row]] = defaultdict(list)
    for row in values:
        name = paths.find(row.values["path"])
        if name is None:
            raise DataError(
                f"{table}, line {row.line}: path must lie below the root {root}; got {row.values['path']}. Move the "
                "file, or correct the path."
            )
        of_path[name, _span(table, row)].append(row)
    reasons = {name: rules.reason(root, name) for name, _ in of_path}
    missing = {name: rows[0].line for (name, _), rows in of_path.items() if reasons[name] in (MISSING, DANGLING)}
    if missing and not rules.exclude_missing:
        raise DataError(_missing(table, missing, root, paths.like(next(iter(missing))), rules))
    return [
        dataclasses.replace(
            _listing(table, name, found, rules),
            excluded=reasons[name],
            start_s=span and span[0],
            end_s=span and span[1],
            notes=tuple(f"split is empty in line {r.line} of {table.name}" for r in found if not r.values["split"])
            if some_splits
            else (),
        )
        for (name, span), found in of_path.items()
    ]


def _span(table: Path, row: Row) -> Span | None:
    """Return the part of the file (seconds) that a row is about; None for all of it."""
    given = row.values["start_s"], row.values["end_s"]
    if given == ("", ""):
        return None
    try:
        start, end = (math.nan if "_" in text else float(text) for text in given)
    except ValueError:
        start, end = math.nan, math.nan
    if not 0 <= start < end < math.inf:
        raise DataError(
            f"{table}, line {row.line}: start_s and end_s must be seconds with 0 <= start_s < end_s, with a decimal "
            f"point, or both empty; got {given[0]!r} and {given[1]!r}. Correct them."
        )
    return start, end


def _present(table: Path, row: Row, rules: Rules) -> dict[str, str]:
    """Return a row's values, those that stand for a missing one made empty; refuse the row if it needs one."""
    stand = {name for name, value in row.values.items() if value.casefold() in rules.missing_values}
    for name in ("path", "label", "group"):
        parts = labels_of(row.values[name]) if name == "label" else ()
        lost = [part for part in parts if clean(part).casefold() in rules.missing_values]
        if not row.values[name]:
            raise DataError(f"{table}, line {row.line}: {name} must be given; it is empty. Fill it in.")
        if name in stand or lost:
            raise DataError(
                f"{table}, line {row.line}: {name} must be given; got {row.values[name]!r}, which stands for a missing "
                f"value. Fill it in, or change {rules.owner}.missing_values."
            )
    return {name: "" if name in stand else value for name, value in row.values.items()}


def _missing(table: Path, missing: Mapping[str, int], root: Path, like: str, rules: Rules) -> str:
    lines = ", ".join(f"{name} (line {line})" for name, line in list(missing.items())[:_SHOWN])
    if len(missing) == 1:
        what = f"{next(iter(missing))}, which is not below {root} (line {next(iter(missing.values()))})"
    else:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        what = f"{len(missing)} files that are not below {root}: {lines}{more}"
    return f"{table} names {what}. {like}Correct the path, or set {rules.owner}.missing_files: exclude."


def _listing(table: Path, name: str, rows: Sequence[Row], rules: Rules) -> Listing:
    first = rows[0]
    if len(rows) > 1 and not rules.one_row_per_label:
        lines = " and ".join(str(row.line) for row in rows[:2])
        raise DataError(
            f"{table} lists {name} {len(rows)} times, in lines {lines}{' and others' * (len(rows) > 2)}. Keep one row, "
            f"or set {rules.owner}.one_row_per_label: true if each holds one of its labels."
        )
    for row in rows[1:]:
        for column in ("group", "site", "split"):
            if row.values[column] != first.values[column]:
                raise DataError(
                    f"{table}, line {row.line}: {column} of {name} must be {first.values[column]!r}, as in line "
                    f"{first.line}; got {row.values[column]!r}. Correct one of them."
                )
    several = sorted({clean(label) for row in rows for label in labels_of(row.values["label"])})
    return Listing(
        path=Path(name),
        label=SEPARATOR.join(several) if len(rows) > 1 else first.values["label"],
        group=first.values["group"],
        site=first.values["site"],
        fold=first.values["split"],
    )
