"""Find label, group, split and site of recordings in their fields: as the user says, or as `guess` has it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flows.start import guess
from flows.start.fields import Field, Item, by_name, from_path
from flows.start.guess import EACH_FILE
from flows.start.values import are_numbers, are_words, crossing, inside
from stages.core.artifacts.recordings import SEPARATOR, labels_of
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.names import clean
from stages.core.project.params import known
from stages.pull import joined

_HOLDS = dict.fromkeys(("1", "1.0", "true", "yes"), True) | dict.fromkeys(("0", "0.0", "false", "no", ""), False)


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
    left_out : tuple of str
        Labels to leave out, and the recordings that have no other.
    background : bool
        Whether what lies between marked parts becomes a label, so that one other is enough.
    """

    label: str | None = None
    group: str | None = None
    split: str | None = None
    site: str | None = None
    label_separator: str | None = None
    left_out: tuple[str, ...] = ()
    background: bool = False

    @property
    def least(self) -> int:
        """Number of labels that there must be."""
        return 1 if self.background else 2


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

    @property
    def in_parts(self) -> bool:
        """Whether some of the recordings are parts of recordings."""
        return any(item.span for item in self.items)

    def of(self, rows: Sequence[int]) -> "Names":
        """Return the names of some recordings."""
        return replace(
            self,
            items=tuple(self.items[i] for i in rows),
            label=self.label.of(rows),
            group=self.group.of(rows),
            split=self.split and self.split.of(rows),
            site=self.site and self.site.of(rows),
        )


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
    split = _asked(items, asked.split, "split") if asked.split else guess.split(items)
    taken = _with_folder(split) if split else set()
    label = (
        _asked(items, asked.label, "label")
        if asked.label
        else guess.label(items, taken | {asked.group or ""}, asked.least)
    )
    n = len(items)
    items, label, split = _labelled(items, label, split)
    if len(items) < n:
        notes.append(f"{n - len(items)} recordings have no label and are left out")
    label = _apart(label, asked.label_separator, notes)
    items, label, split = _labelled(items, _without(label, asked.left_out, notes), split)
    if len(label.distinct) < asked.least:
        least = "a label" if asked.background else "two labels"
        raise DataError(
            f"the recordings must have at least {least}; {label.name} holds {len(label.distinct)} "
            f"({', '.join(label.distinct)}). Name another field with --label. {guess.listed(items)}"
        )
    taken |= _with_folder(label)
    site = _asked(items, asked.site, "site") if asked.site else guess.called(items, "site", taken)
    taken |= {site.name} if site else set()
    group = _asked(items, asked.group, "group") if asked.group else guess.group(items, label, taken)
    others = [] if asked.label else guess.other_labels(items, label, taken | {group.name})
    if others:
        first = others[0].partition(" ")[0]
        notes.append(f"the label may as well be {' or '.join(others)}; --label {first} takes that")
    notes += [] if asked.label or asked.group else _other_way_round(label, group)
    notes += _in_part(items, split, group)
    notes += [] if asked.label else _put_together(items, label)
    notes += _perhaps_several(label) if asked.label_separator is None else []
    notes += _plurals(label)
    if group.name == EACH_FILE:
        notes.append(
            "no field tells whom a recording is of, so that each counts as its own group; if one person or machine "
            "made several, name the field with --group, or the figures will be too good"
        )
    return Names(tuple(items), label, group, split, site, tuple(notes))


def _other_way_round(label: Field, group: Field) -> list[str]:
    """Say if the group may be the label just as well, as in `anna/bell/1.wav`, where folders of people come first."""
    if not are_words(group.values):
        return []
    options = f"--label {group.name} --group {label.name}"
    if are_numbers(label.values):
        return [f"{label.name} holds numbers and {group.name} words: if it is people that are numbered, add {options}"]
    if from_path(label.name) and from_path(group.name) and crossing(group.values, label.values) > 0.5:
        taken, other = (guess.described(field.name, field.values) for field in (label, group))
        return [f"{taken} is taken for the label, {other} for the group; if it is the other way round, add {options}"]
    return []


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


def _labelled(items: Sequence[Item], label: Field, split: Field | None) -> tuple[list[Item], Field, Field | None]:
    """Return the recordings that have a label."""
    keep = [i for i, value in enumerate(label.values) if value]
    return [items[i] for i in keep], label.of(keep), split and split.of(keep)


def _without(label: Field, left_out: Sequence[str], notes: list[str]) -> Field:
    """Return the field without some labels, and say how many recordings have no other."""
    if not left_out:
        return label
    names = {name for value in label.values for name in labels_of(value)}
    for name in left_out:
        if clean(name) not in map(clean, names):
            raise ParameterError(f"--leave-out must name a label; got {name!r}. {known(name, names)}")
    asked = set(map(clean, left_out))
    gone = {name for name in names if clean(name) in asked}
    values = tuple(SEPARATOR.join(name for name in labels_of(value) if name not in gone) for value in label.values)
    shown = ", ".join(map(repr, sorted(gone)))
    notes.append(f"{shown} left out, as asked for; recordings that have no other label: {values.count('')}")
    return replace(label, values=values)


def _with_folder(found: Field) -> set[str]:
    """Return the names of a field and of the folder that it is a part of."""
    return {found.name, found.name.partition(".")[0]} if from_path(found.name) else {found.name}


def _put_together(items: Sequence[Item], label: Field) -> list[str]:
    """Say of which fields the labels seem to be put together, as `anna_happy` and `ben_sad` are of name and mood."""
    if not from_path(label.name):
        return []
    fields = by_name(items).items()
    parts = inside(label.values, {name: values for name, values in fields if name.startswith(f"{label.name}.")})
    if len(parts) < 2:
        return []
    shown = " and ".join(guess.described(name, values) for name, values in parts.items())
    return [
        f"the labels are put together of {shown}; if one is the label and another tells whom or what it is of, name "
        f"them: --label {list(parts)[-1]} --group {next(iter(parts))}"
    ]


def _perhaps_several(label: Field) -> list[str]:
    """Say which labels may be several, as `dog,animal` and `cat,animal` may."""
    found = joined.shared_part(label.distinct)
    if found is None:
        return []
    part, character = found
    return [
        f"{part!r} is a part of several labels; if {character!r} stands between the labels of a recording, add "
        f"--label-separator '{character}'"
    ]


def _plurals(label: Field) -> list[str]:
    """Say which labels differ in a final s only, as folders of two sides may: `train/cat`, `test/cats`."""
    names = {name.casefold(): name for value in label.values for name in labels_of(value)}
    pairs = [(one, many) for key, one in names.items() if (many := names.get(f"{key}s"))]
    shown = ", ".join(f"{one!r} and {many!r}" for one, many in pairs)
    return [f"{shown} are labels of their own; if they mean the same, give them one name"] if pairs else []


def _in_part(items: Sequence[Item], split: Field | None, group: Field) -> list[str]:
    """Say which columns of a table would hold the split or the group, were they not empty in some rows."""
    columns = {
        "split": (guess.called(items, "split", set()), split),
        "group": (guess.called(items, "group", set()), group),
    }
    return [
        f"the table's column {column.name!r} has no {kind} for {column.values.count('')} recordings and is not used"
        for kind, (column, chosen) in columns.items()
        if column and "" in column.values and (chosen is None or chosen.name != column.name)
    ]


def _asked(items: Sequence[Item], wanted: str, kind: str) -> Field:
    if wanted == EACH_FILE and kind == "group":
        return Field(EACH_FILE, "as asked for: each recording its own", tuple(item.path for item in items))
    fields = by_name(items)
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
