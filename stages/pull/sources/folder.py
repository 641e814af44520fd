"""Your own recordings: a CSV with the columns path, label and group (and perhaps split and site), or class folders.

    pull:
      source: folder
      options:
        folder: {root: /home/me/coughs, csv: labels.csv, labels: [healthy, ill]}
        # or, with files such as healthy/anna-03.wav, where the speaker stands before the dash:
        folder: {root: /home/me/coughs, group_pattern: '/(.+)-\\d+\\.'}
        # or, with everything in one folder, in files such as dog_anna_03.wav:
        folder: {root: /home/me/coughs, label_pattern: '^([^_]+)_', group_pattern: '_(.+)_'}

A label may be several names joined by `|`, or by `label_separator`: then the task is multi-label, and every class is
decided for on its own.
docs/labels_and_groups.md says what happens to names, tables and folders that are not as expected.

`root` lies outside what DVC watches: after changing the recordings there, run `dvc repro --force pull`.
"""

import dataclasses
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from stages.core.artifacts.recordings import SEPARATOR
from stages.core.audio.sources import SUFFIXES
from stages.core.project.errors import DataError, require
from stages.core.project.names import clean
from stages.pull import joined, own_csv, split_folders
from stages.pull.download import sync
from stages.pull.listing import Listing
from stages.pull.table import Layout, read_table
from stages.pull.tree import Tree, chosen, not_audio, walk

CITATION = "The user's own recordings."
LICENCE = "The user's own."
HOMEPAGE = ""
LABELS = None

OWNER = "pull.options.folder"
MISSING = ("nan", "none", "null", "na", "n/a", "#n/a", "<na>")
COLUMNS = ("path", "label", "group", "split", "site", "start_s", "end_s")


@dataclass(frozen=True)
class Config:
    """Where the recordings are and how to read their labels and groups.

    Attributes
    ----------
    root : str
        Folder of recordings; `~` stands for your home.
    csv : str or None
        CSV file, relative to `root`, with the columns path (relative to `root`), label and group, and perhaps split
        and site.
    columns : dict of str to str
        Names of these columns in the CSV's header, where they differ: ``{path: filename, group: speaker}``.
    encoding : str or None
        Encoding of the CSV, such as ``cp1252``. None recognises UTF-8, and UTF-16 and UTF-32 with a byte-order mark.
    delimiter : str or None
        Delimiter of the CSV. None recognises a comma, a semicolon or a tab.
    label_separator : str or None
        Character between the several labels of one recording, such as ``;``. None takes ``|``, and asks if another one
        seems to stand there.
    one_row_per_label : bool
        Several rows of one path are its several labels, instead of a mistake.
    missing_files : {"stop", "exclude"}
        What happens to rows whose file is missing.
    missing_values : tuple of str
        Texts, in any case, that stand for a missing value in the CSV or in a path.
    group_pattern : str or None
        Without a CSV: regular expression, searched for in each file's path relative to `root` (without its split
        folder); what its one pair of parentheses matches is the group.
    label_pattern : str or None
        Without a CSV: the same for the label. None takes the name of the folder directly in `root`.
    split_folders : bool or None
        Whether folders such as `train` and `test` hold the class folders, or stand in them, and name the published
        split. None asks if it looks so.
    include, exclude : tuple of str
        Globs of paths to take, all if empty, and to leave out; `*` stands for any characters, and a glob without a
        slash is compared with the file's name.
    labels : tuple of str
        Classes in output order, the positive one of two last; sorted if empty.
    """

    root: str
    csv: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    encoding: str | None = None
    delimiter: str | None = None
    label_separator: str | None = None
    one_row_per_label: bool = False
    missing_files: Literal["stop", "exclude"] = "stop"
    missing_values: tuple[str, ...] = MISSING
    group_pattern: str | None = None
    label_pattern: str | None = None
    split_folders: bool | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that exactly one of the two ways is taken, and that the patterns are some."""
        require(
            (self.csv is None) != (self.group_pattern is None),
            OWNER,
            "have either csv or group_pattern",
            {"csv": self.csv, "group_pattern": self.group_pattern},
            "A CSV names each file's label and group; group_pattern finds the group in the paths of class folders.",
        )
        for name, pattern in (("group", self.group_pattern), ("label", self.label_pattern)):
            if pattern is not None:
                advice = r"For a speaker before the first dash write '/([^/-]+)-'."
                rule = f"be a regular expression with one pair of parentheses around the {name}"
                try:
                    groups = re.compile(pattern).groups
                except re.error:
                    groups = 0
                require(groups == 1, f"{OWNER}.{name}_pattern", rule, pattern, advice)
        if self.csv is not None:
            given = {"label_pattern": self.label_pattern, "split_folders": self.split_folders}
            advice = "The CSV's own columns say it."
            require(not any(given.values()), OWNER, "have neither of these beside csv", given, advice)
        joined.require_separator(f"{OWNER}.label_separator", self.label_separator)
        known = set(self.columns) <= set(COLUMNS)
        require(known, f"{OWNER}.columns", f"have no keys but {', '.join(COLUMNS)}", sorted(map(str, self.columns)))

    @property
    def own_paths(self) -> dict[str, Path]:
        """What is the user's own, by the parameter that names it."""
        return {f"{OWNER}.root": Path(self.root).expanduser()} | ({f"{OWNER}.csv": self.table} if self.table else {})

    @property
    def table(self) -> Path | None:
        """The CSV file, if there is one."""
        return None if self.csv is None else Path(self.root).expanduser() / Path(self.csv).expanduser()


def fetch(config: Config, folder: Path, _mirror: Path | None) -> None:
    """Bring the CSV and the files it names, or what the class folders hold."""
    root = Path(config.root).expanduser()
    names = {entry.path.as_posix() for entry in _survey(config) if not entry.excluded}
    if config.table is not None and config.table.resolve().is_relative_to(root.resolve()):
        names.add(os.path.relpath(config.table, root))
    sync(root, names, folder)


def recordings(config: Config, _folder: Path) -> list[Listing]:
    """Read the CSV, or the class folders' names and the group from each path, where they are the user's own."""
    return _survey(config)


def _survey(config: Config) -> list[Listing]:
    """List everything there is, with what is passed over and why."""
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise DataError(f"{OWNER}.root must be a folder; {root} is none. Correct the path.")
    listed = _of_folders(config, root) if config.table is None else _of_csv(config, root, config.table)
    for name, globs in (("include", config.include), ("exclude", config.exclude)):
        for glob in globs:
            if not any(chosen(entry.path.as_posix(), [glob], []) for entry in listed):
                raise DataError(f"{OWNER}.{name} has {glob!r}, which fits no file below {root}. Correct the glob.")
    return listed


def _of_csv(config: Config, root: Path, table: Path) -> list[Listing]:
    if not table.is_file():
        what = "is no file" if table.exists() else "does not exist"
        raise DataError(f"{OWNER}.csv names {table}, which {what}. Correct the path.")
    layout = Layout(
        columns={name: config.columns.get(name, name) for name in COLUMNS},
        required=("path", "label", "group"),
        owner=OWNER,
        encoding=config.encoding,
        delimiter=config.delimiter,
    )
    rows = read_table(table, layout)
    separator = _separator(config, (row.values["label"] for row in rows))
    labelled = [
        dataclasses.replace(row, values=row.values | {"label": joined.apart(row.values["label"], separator)})
        for row in rows
    ]
    return own_csv.listings(table, labelled, root, _rules(config))


def _separator(config: Config, labels: Iterable[str]) -> str:
    """Return the character between the labels of a recording; ask for it if another one seems to stand there."""
    if config.label_separator is not None:
        return config.label_separator
    labels = sorted(set(labels))
    found = joined.separator_of(labels)
    example = next((label for label in labels if found and found in label), "")
    require(
        found is None,
        f"{OWNER}.label_separator",
        f"say whether {found!r} stands between several labels of a recording, as it seems to in {example!r}",
        None,
        f'Set it to "{found}" if so, or to "|" if each label is one name.',
    )
    return SEPARATOR


def _rules(config: Config) -> own_csv.Rules:
    return own_csv.Rules(
        owner=OWNER,
        missing_values=_missing(config),
        one_row_per_label=config.one_row_per_label,
        exclude_missing=config.missing_files == "exclude",
        include=config.include,
        exclude=config.exclude,
    )


def _of_folders(config: Config, root: Path) -> list[Listing]:
    tree, rules = walk(root), _rules(config)
    candidates, passed_over = [], list(tree.passed_over)
    for name in tree.files:
        kind = "" if PurePosixPath(name).suffix.lower() in SUFFIXES else not_audio(root / name)
        if kind:
            passed_over.append((name, f"no audio: {kind}"))
        elif config.label_pattern is None and "/" not in name:
            passed_over.append((name, "in no class folder"))
        else:
            candidates.append(name)
    taken = [name for name in candidates if chosen(name, config.include, config.exclude)]
    level = split_folders.level(taken, config.split_folders, OWNER, root)
    listed = [Listing(Path(name), label="", group="", excluded=reason) for name, reason in passed_over]
    listed += [Listing(Path(n), "", "", excluded=rules.reason(root, n)) for n in sorted(set(candidates) - set(taken))]
    for name in taken:
        fold, rest = split_folders.cut(name, level)
        label = _found(config, "label", rest) if config.label_pattern else clean(rest.partition("/")[0])
        group = _found(config, "group", rest)
        for what, value in (("label", label), ("group", group)):
            if value.casefold() in _missing(config):
                raise DataError(
                    f"the {what} of {name} must be given; {value!r} stands for a missing value. Rename the file or "
                    f"folder, or change {OWNER}.missing_values."
                )
        listed.append(Listing(Path(name), label=label, group=group, fold=fold))
    separator = _separator(config, (entry.label for entry in listed if entry.label))
    listed = [dataclasses.replace(entry, label=joined.apart(entry.label, separator)) for entry in listed]
    return listed if config.label_pattern else listed + _empty(tree, candidates, depth=2 if level == 0 else 1)


def _empty(tree: Tree, candidates: list[str], *, depth: int) -> list[Listing]:
    held = {PurePosixPath(name).parts[:depth] for name in candidates}
    passed_over = {name for name, _ in tree.passed_over}
    folders = (name for name in tree.folders if len(PurePosixPath(name).parts) == depth and name not in passed_over)
    return [
        Listing(Path(name), label="", group="", excluded="class folder without recordings")
        for name in folders
        if PurePosixPath(name).parts not in held
    ]


def _found(config: Config, what: Literal["label", "group"], name: str) -> str:
    pattern = config.label_pattern if what == "label" else config.group_pattern
    assert pattern is not None  # by Config's own rule
    match = re.search(pattern, name)
    found = clean(match.group(1) or "") if match else ""
    if not found:
        raise DataError(
            f"{OWNER}.{what}_pattern must find a {what} in every path; {pattern!r} finds none in {name}. Correct the "
            f"pattern, rename the file, or leave it out with {OWNER}.exclude."
        )
    return found


def _missing(config: Config) -> tuple[str, ...]:
    return tuple(value.casefold() for value in config.missing_values)
