"""A user's own recordings: a CSV of `path,label,group[,split][,site]`, or one folder per class.

    pull:
      source: folder
      options:
        folder: {root: /home/me/coughs, csv: labels.csv, labels: [healthy, ill]}
        # or, with files such as healthy/anna-03.wav, where the speaker is what stands before the dash:
        folder: {root: /home/me/coughs, group_pattern: '/(.+)-\\d+\\.'}

A label may be several names joined by `|`: then the task is multi-label, and every class is decided for on its own.

`root` lies outside what DVC watches: after changing the recordings there, run `dvc repro --force pull`.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from stages.core.project.errors import DataError, require
from stages.pull.download import sync
from stages.pull.listing import Listing

CITATION = "The user's own recordings."
LICENCE = "The user's own."
HOMEPAGE = ""
LABELS = None


@dataclass(frozen=True)
class Config:
    """Where the recordings are and how to read their labels and groups.

    Attributes
    ----------
    root : str
        Folder of recordings.
    csv : str or None
        CSV file below `root` with the columns path (relative to `root`), label and group, and perhaps split and site.
    group_pattern : str or None
        Without a CSV: regular expression, searched for in each file's path relative to `root`; what its one pair of
        parentheses matches is the group.
    labels : tuple of str
        Classes in output order, the positive one of two last; sorted if empty.
    """

    root: str
    csv: str | None = None
    group_pattern: str | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that exactly one of the two ways is taken, and that the pattern is one."""
        owner = "pull.options.folder"
        require(
            (self.csv is None) != (self.group_pattern is None),
            owner,
            "have either csv or group_pattern",
            {"csv": self.csv, "group_pattern": self.group_pattern},
            "A CSV names each file's label and group; group_pattern finds the group in the paths of class folders.",
        )
        if self.group_pattern is not None:
            advice = r"For a speaker before the first dash write '/([^/-]+)-'."
            rule = "be a regular expression with one pair of parentheses around the group"
            try:
                groups = re.compile(self.group_pattern).groups
            except re.error:
                groups = 0
            require(groups == 1, f"{owner}.group_pattern", rule, self.group_pattern, advice)


def fetch(config: Config, folder: Path, _mirror: Path | None) -> None:
    """Copy the CSV and the files it names, or the class folders."""
    root = Path(config.root)
    if not root.is_dir():
        raise DataError(f"pull.options.folder.root must be a folder; {root} is none. Correct the path.")
    if config.csv is None:
        names = [p.relative_to(root).as_posix() for p in root.glob("*/**/*") if p.is_file() and not _hidden(p, root)]
        sync(root, names, folder)
    elif not (root / config.csv).is_file():
        raise DataError(f"pull.options.folder.csv names {root / config.csv}, which does not exist. Correct the path.")
    else:
        listed = _of_csv(root / config.csv)
        for entry in listed:
            if not (root / entry.path).is_file():
                raise DataError(f"{root / config.csv} names {entry.path}, which is not below {root}. Correct the path.")
        sync(root, {config.csv, *(entry.path.as_posix() for entry in listed)}, folder)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read the CSV, or the class folders' names and the group from each path."""
    if config.csv is not None:
        return _of_csv(folder / config.csv)
    assert config.group_pattern is not None  # by Config's own rule
    listed = []
    for path in sorted(folder.glob("*/**/*")):
        if path.is_file() and not _hidden(path, folder):
            name = path.relative_to(folder)
            match = re.search(config.group_pattern, name.as_posix())
            if not match or not match.group(1):
                raise DataError(
                    f"pull.options.folder.group_pattern must find a group in every path; {config.group_pattern!r} "
                    f"finds none in {name.as_posix()}. Correct the pattern or rename the file."
                )
            listed.append(Listing(path=name, label=name.parts[0], group=match.group(1)))
    return listed


def _of_csv(path: Path) -> list[Listing]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets put a byte-order mark first
            reader = csv.DictReader(stream)
            rows, columns = list(reader), reader.fieldnames or []
    except UnicodeDecodeError:
        raise DataError(f"{path} must be text in UTF-8; it is not. Save it as CSV in UTF-8.") from None
    for column in ("path", "label", "group"):
        if column not in columns:
            raise DataError(
                f"{path} must have the columns path, label and group, separated by commas; it has no {column}. Add it."
            )
    for number, row in enumerate(rows, start=2):
        for column in ("path", "label", "group"):
            if not row[column]:
                raise DataError(f"{path}, line {number}: {column} must be given; it is empty. Fill it in.")
        if Path(row["path"]).is_absolute() or ".." in Path(row["path"]).parts:
            raise DataError(f"{path}, line {number}: path must lie below the root; got {row['path']}. Move the file.")
    return [
        Listing(
            path=Path(row["path"]),
            label=row["label"],
            group=row["group"],
            site=row.get("site") or "",
            fold=row.get("split") or "",
        )
        for row in rows
    ]


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
