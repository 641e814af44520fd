"""Find label, group, split and site of recordings in their folders, file names and tables.

Every recording has *fields*: ``folder1``, ``folder2`` ... from the root down, ``part1``, ``part2`` ... of its file name
(between separators), ``name`` (the file name without a number at its end) and the columns of tables that list it. A
field is chosen by what it is called and by how its values are spread over the recordings.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from stages.core.artifacts.recordings import SEPARATOR, labels_of
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.params import known
from stages.pull import joined

SEPARATORS = re.compile(r"[_\-\s.+@#,]+")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "heldout"), "test"),
}
_CALLED = {
    "label": "label labels class classes category target keyword word command tag tags species diagnosis disease "
    "status digit",
    "group": "group speaker speakers speaker_id spk subject subject_id patient patient_id participant participant_id "
    "contributor user user_id client client_id person animal machine machine_id individual src_file source_file "
    "source_id fsid recording_id session session_id",
    "split": "split set subset partition fold folds",
    "site": "site source device microphone mic location hospital centre center room recorder phone channel",
}
CALLED = {kind: tuple(words.split()) for kind, words in _CALLED.items()}
MOST_CLASSES = 1000
EACH_FILE = "file"
NONE = "none"
_HOLDS = dict.fromkeys(("1", "1.0", "true", "yes"), True) | dict.fromkeys(("0", "0.0", "false", "no", ""), False)
_ENOUGH = 1.5  # recordings per value on average, from which on a field says more than which file it is


@dataclass(frozen=True)
class Item:
    """One recording and all that its path and the tables tell of it.

    Attributes
    ----------
    path : str
        Relative to the root, with slashes.
    fields : Mapping of str to str
    """

    path: str
    fields: Mapping[str, str]


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


@dataclass(frozen=True)
class Asked:
    """The user's choice of fields; None where they leave it to us.

    A choice is a field's name, or a regular expression with one pair of parentheses; of the label, or several fields
    of 0 and 1 with commas between them, one for each class.

    Attributes
    ----------
    label, group, split, site : str or None
        ``"file"`` for the group makes every recording its own; ``"none"`` uses no split or no site.
    label_separator : str or None
        Character between the several labels of a recording; None takes ``|``, or what seems to stand there.
    """

    label: str | None = None
    group: str | None = None
    split: str | None = None
    site: str | None = None
    label_separator: str | None = None


@dataclass(frozen=True)
class Names:
    """The recordings, and the field found for each kind of name.

    Attributes
    ----------
    items : tuple of Item
        The recordings that have a label.
    label, group : Field
    split, site : Field or None
    notes : tuple of str
        Remarks on the choice for the user.
    """

    items: tuple[Item, ...]
    label: Field
    group: Field
    split: Field | None = None
    site: Field | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def classes(self) -> Counter[str]:
        """Number of recordings of each single label."""
        return Counter(name for value in self.label.values for name in labels_of(value))


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
    """
    split = [(PurePosixPath(p).parts[:-1], SEPARATORS.split(PurePosixPath(p).stem)) for p in paths]
    depth = min((len(folders) for folders, _ in split), default=0)
    counts = [len(parts) for _, parts in split]
    usual = max(set(counts), key=counts.count, default=0)
    n_parts = (
        usual if counts.count(usual) >= 0.9 * len(counts) else min(1, *counts)
    )  # ragged names: only the first part means one thing
    found = []
    for (folders, parts), path in zip(split, paths, strict=True):
        fields = {f"folder{i + 1}": folders[i] for i in range(depth)}
        fields |= {f"part{i + 1}": parts[i] if i < len(parts) else "" for i in range(n_parts)}
        stem = PurePosixPath(path).stem
        fields["name"] = re.sub(r"[_\-\s.(]*\d+\)?$", "", stem) or stem
        found.append(fields)
    return found


def find(items: Sequence[Item], asked: Asked) -> Names:
    """Choose the fields that hold label, group, split and site.

    Parameters
    ----------
    items : sequence of Item
    asked : Asked

    Returns
    -------
    Names

    Raises
    ------
    ParameterError
        If what the user asked for is no field and no regular expression, or the label cannot be told.
    DataError
        If fewer than two classes are found.
    """
    notes: list[str] = []
    split = _asked(items, asked.split, "split") if asked.split else _split(items)
    taken = {split.name} if split else set()
    label = _asked(items, asked.label, "label") if asked.label else _label(items, taken)
    keep = [i for i, value in enumerate(label.values) if value]
    if len(keep) < len(items):
        notes.append(f"{len(items) - len(keep)} recordings have no label and are left out")
    items = [items[i] for i in keep]
    label, split = _kept(label, keep), _kept(split, keep) if split else None
    label = _apart(label, asked.label_separator, notes)
    if len(label.distinct) < 2:
        raise DataError(
            f"the recordings must have at least two labels; {label.name} holds {len(label.distinct)} "
            f"({', '.join(label.distinct)}). Name another field with --label. {_listed(items)}"
        )
    taken |= {label.name}
    site = _asked(items, asked.site, "site") if asked.site else _called(items, "site", taken)
    taken |= {site.name} if site else set()
    group = _asked(items, asked.group, "group") if asked.group else _group(items, label, taken)
    notes += _in_part(items, split, group)
    if group.name == EACH_FILE:
        notes.append(
            "no field tells whom a recording is of, so that each counts as its own group; if one person or machine "
            "made several, name the field with --group, or the figures will be too good"
        )
    return Names(tuple(items), label, group, split, site, tuple(notes))


def _apart(label: Field, separator: str | None, notes: list[str]) -> Field:
    """Return the field with `|` between the labels of a recording, and say where that is a guess."""
    seems = joined.separator_of(label.distinct) if separator is None else None
    values = tuple(joined.apart(value, separator or seems or SEPARATOR) for value in label.values)
    if seems:
        names = sorted({name for value in values for name in labels_of(value)})
        notes.append(
            f"{seems!r} is taken to stand between several labels of a recording ({', '.join(names[:6])}"
            f"{', ...' if len(names) > 6 else ''}); --label-separator '{SEPARATOR}' keeps each text as one label"
        )
    return Field(label.name, label.reason, values)


def _in_part(items: Sequence[Item], split: Field | None, group: Field) -> list[str]:
    """Say which columns of a table would hold the split or the group, were they not empty in some rows."""
    columns = {"split": (_called(items, "split", set()), split), "group": (_called(items, "group", set()), group)}
    return [
        f"the table's column {column.name!r} has no {kind} for {column.values.count('')} recordings and is not used"
        for kind, (column, chosen) in columns.items()
        if column and "" in column.values and (chosen is None or chosen.name != column.name)
    ]


def _kept(chosen: Field, keep: Sequence[int]) -> Field:
    return Field(chosen.name, chosen.reason, tuple(chosen.values[i] for i in keep))


def _asked(items: Sequence[Item], wanted: str, kind: str) -> Field:
    if wanted == EACH_FILE and kind == "group":
        return Field(EACH_FILE, "as asked for: each recording its own", tuple(item.path for item in items))
    fields = _fields(items)
    if wanted in fields:
        return Field(wanted, "as asked for", fields[wanted])
    columns = [name.strip() for name in wanted.split(",")]
    if kind == "label" and len(columns) > 1 and any(name in fields for name in columns):
        return _of_columns(columns, fields)
    try:
        pattern = re.compile(wanted)
    except re.error:
        pattern = re.compile("")
    if pattern.groups != 1:
        raise ParameterError(
            f"--{kind} must be a field or a regular expression with one pair of parentheses; got {wanted!r}. "
            f"{known(wanted, fields)}"
        )
    values = []
    for item in items:
        match = pattern.search(item.path)
        if not match or not match[1]:
            raise ParameterError(f"--{kind} must find something in every path; {wanted!r} finds none in {item.path}.")
        values.append(match[1])
    return Field(wanted, "the regular expression asked for", tuple(values))


def _of_columns(columns: Sequence[str], fields: Mapping[str, Sequence[str]]) -> Field:
    """Return the label that columns of 0 and 1 tell, one for each class."""
    for name in columns:
        if name not in fields:
            raise ParameterError(f"--label must name fields; got {name!r}. {known(name, fields)}")
        odd = sorted({value for value in fields[name] if value.casefold() not in _HOLDS})
        if odd:
            raise ParameterError(
                f"--label must name columns of 0 and 1 where it names several; {name} has {odd[0]!r}. Correct it, or "
                "name one field."
            )
    rows = zip(*(fields[name] for name in columns), strict=True)
    held = ([name for name, value in zip(columns, row, strict=True) if _HOLDS[value.casefold()]] for row in rows)
    return Field(",".join(columns), "a column of 0 and 1 for each label", tuple(SEPARATOR.join(each) for each in held))


def _fields(items: Sequence[Item]) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for item in items for name in item.fields)
    return {name: tuple(item.fields.get(name, "") for item in items) for name in names}


def _from_path(name: str) -> bool:
    return re.fullmatch(r"(folder|part)\d+|name", name) is not None


def _listed(items: Sequence[Item]) -> str:
    shown = []
    for name, values in _fields(items).items():
        distinct = sorted(set(values) - {""})
        if 1 < len(distinct) <= max(2, len(items) / _ENOUGH):
            shown.append(f"{name} ({len(distinct)}: {', '.join(distinct[:3])}{', ...' if len(distinct) > 3 else ''})")
    return f"Fields: {'; '.join(shown)}." if shown else "No field has two values or more."


def _called(items: Sequence[Item], kind: str, taken: set[str]) -> Field | None:
    """Return the table's column that is called as the kind is, in the order of likelihood."""
    fields = {name.casefold(): (name, values) for name, values in _fields(items).items() if name not in taken}
    for word in CALLED[kind]:
        if word in fields and not _from_path(fields[word][0]) and len(set(fields[word][1]) - {""}) > 1:
            name, values = fields[word]
            return Field(name, f"the table's column {name!r}", values)
    return None


def _split(items: Sequence[Item]) -> Field | None:
    fields = _fields(items)
    for name, values in fields.items():
        sides = {SPLIT_NAMES.get(value.casefold()) for value in values}
        if None not in sides and "test" in sides and len(sides) > 1 and not name.startswith("part"):
            return Field(name, f"the publisher's {' / '.join(sorted(set(values)))}", values)
    for name, values in fields.items():
        folds = set(values)
        numbered = all(re.fullmatch(r"(fold|split|set)[_\- ]?\d+", value, re.IGNORECASE) for value in folds)
        if name.startswith("folder") and numbered and len(folds) > 1:
            return Field(name, f"the publisher's {len(folds)} folds", values)
    column = _called(items, "split", set())
    if column and 2 <= len(set(column.values)) <= 20 and "" not in column.values:
        return Field(column.name, f"the publisher's {len(set(column.values))} folds", column.values)
    return None


def _label(items: Sequence[Item], taken: set[str]) -> Field:
    column = _called(items, "label", taken)
    if column:
        return column
    fields = {name: values for name, values in _fields(items).items() if name not in taken}
    tables = {name: values for name, values in fields.items() if not _from_path(name)}
    scores = {}
    for name, values in fields.items():
        n = len(set(values) - {""})
        if not 2 <= n <= min(MOST_CLASSES, max(2, len(items) / 3)) or name in tables or "" in values:
            continue
        folder, position = name.startswith("folder"), int(re.sub(r"\D", "", name) or 9)
        score = 10.0 if folder else 3 - position / 10 + 2 * (position == 1)
        score -= 8 * _is_id(values) + 6 * (not folder and _is_index(name, values, fields))
        score += 2 * all(not re.search(r"\d", value) for value in values) + 2 * (folder and _in_stem(items, name))
        scores[name] = score - len(set(values)) / 1e4
    best = max(scores, key=lambda name: scores[name], default=None)
    if best is None or (tables and not best.startswith("folder")):
        raise ParameterError(
            "the field that holds the label cannot be told. Name it with --label FIELD, or several with commas that "
            f"have 1 where their label holds. {_listed(items)}"
        )
    said = "the folders' names" if best.startswith("folder") else f"{best} of the file names"
    return Field(best, said, fields[best])


def _in_stem(items: Sequence[Item], name: str) -> bool:
    return all(item.fields[name].casefold() in item.path.rpartition("/")[2].casefold() for item in items)


def _is_id(values: Sequence[str]) -> bool:
    """Return whether values number or encode something: s01, s02; 4f3a19; 00000026."""
    distinct = sorted(set(values))
    prefixed = [re.fullmatch(r"([A-Za-z]+)\d+", value) for value in distinct]
    if all(prefixed) and len({match[1] for match in prefixed if match}) == 1:
        return True
    codes = [re.fullmatch(r"(?=.*\d)[0-9a-fA-F]{3,}|\d{3,}", value) for value in distinct]
    return sum(code is not None for code in codes) > 0.8 * len(distinct)


def _is_index(name: str, values: Sequence[str], fields: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a part counts takes: whole numbers without gaps in the last place of the name."""
    last = max((int(other[4:]) for other in fields if re.fullmatch(r"part\d+", other)), default=0)
    if name != f"part{last}" or not all(value.isdecimal() for value in values):
        return False
    numbers = {int(value) for value in values}
    return min(numbers) <= 1 and len(numbers) >= 0.9 * (max(numbers) - min(numbers) + 1)


def _group(items: Sequence[Item], label: Field, taken: set[str]) -> Field:
    column = _called(items, "group", taken)
    if column and "" not in column.values:
        return column
    scores = {}
    fields = {name: values for name, values in _fields(items).items() if name not in taken and _from_path(name)}
    for name, values in fields.items():
        distinct = set(values)
        if "" in distinct or not 3 <= len(distinct) <= len(items) / _ENOUGH or _follows(values, label.values):
            continue
        if _is_index(name, values, fields) or (name == "name" and all(value.isdecimal() for value in distinct)):
            continue
        crossing = _crossing(values, label.values)
        position = int(re.sub(r"\D", "", name) or 9)
        score = 4.0 * name.startswith("folder") + 2 * _is_id(values) + 4 * crossing - position / 10
        score += 1.0 * all(not value.isdecimal() or len(value) > 2 for value in distinct)
        score -= 3.0 * _is_numbered(values)
        scores[name] = score
    best = max(scores, key=lambda name: scores[name], default=None)
    if best is None or scores[best] < 0.9:
        return Field(EACH_FILE, "nothing tells which recordings belong together", tuple(i.path for i in items))
    said = "the folders' names" if best.startswith("folder") else f"{best} of the file names"
    return Field(best, said, fields[best])


def _is_numbered(values: Sequence[str]) -> bool:
    """Return whether values are a few names with a take's number behind: anna01, anna02, ben01."""
    names = [re.fullmatch(r"(.*[^\d])\d+", value) for value in values]
    distinct = {match[1] for match in names if match}
    return all(names) and 3 <= len(distinct) <= len(set(values)) / _ENOUGH


def _follows(values: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether the label alone decides the value."""
    seen: dict[str, set[str]] = defaultdict(set)
    for value, label in zip(values, labels, strict=True):
        seen[label].add(value)
    return all(len(found) == 1 for found in seen.values())


def _crossing(values: Sequence[str], labels: Sequence[str]) -> float:
    """Return the fraction of values that are found with two labels or more."""
    seen: dict[str, set[str]] = defaultdict(set)
    for value, label in zip(values, labels, strict=True):
        seen[value].add(label)
    return sum(len(found) > 1 for found in seen.values()) / len(seen)
