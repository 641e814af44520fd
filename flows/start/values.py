"""What the values of a field say: sides of a split, people, machines, codes, takes, numbers or words."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from stages.core.artifacts.split import SplitName

ENOUGH = 1.5  # recordings per value on average, from which on a field says more than which file it is
_SIDE_NAMES: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "heldout"), "test"),
}
_PERSON = re.compile(
    r"(actor|speaker|spk|spkr|subject|subj|sub|patient|pat|person|participant|user|voice|singer|child|animal|donor|id|"
    r"machine|unit)s?"
    r"[_\- ]?\d+",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{4}[-_. ]?\d{2}[-_. ]?\d{2}|\d{2}[-_. ]\d{2}[-_. ]\d{4}")
_KIND = re.compile(
    r"(class|label|category|cat|type|kind|digit|word|grade|level|stage|state|mode|fault|gear)[_\- ]?\d+", re.IGNORECASE
)


def side_of(name: str) -> SplitName | None:
    """Return the side of the split that a publisher's name means; None for other names, such as those of folds.

    Examples
    --------
    >>> side_of("Dev"), side_of("fold1")
    ('validation', None)
    """
    return _SIDE_NAMES.get(name.casefold())


def are_shared(values: Sequence[str]) -> bool:
    """Return whether there are several values, and fewer than recordings."""
    return 1 < len(set(values) - {""}) <= len(values) / ENOUGH


def are_numbers(values: Sequence[str]) -> bool:
    """Return whether values are numbers with zeros in front, as people's are: 01, 02, 10."""
    return all(value.isdecimal() and len(value) > 1 for value in values) and any(v.startswith("0") for v in values)


def are_words(values: Sequence[str]) -> bool:
    """Return whether no value holds a digit."""
    return all(not re.search(r"\d", value) for value in values)


def are_people(values: Sequence[str]) -> bool:
    """Return whether values number people or the like, or sessions: Actor_01, Actor_02; 2026-05-01, 2026-05-02."""
    distinct = set(values)
    return all(map(_PERSON.fullmatch, distinct)) or all(map(_DATE.fullmatch, distinct))


def are_ids(values: Sequence[str]) -> bool:
    """Return whether values number or encode something: s01, s02; 4f3a19; 00000026."""
    distinct = sorted(set(values))
    if all(_KIND.fullmatch(value) for value in distinct):
        return False
    prefixed = [re.fullmatch(r"([A-Za-z]+)[_\- ]?\d+", value) for value in distinct]
    prefixes = {match[1] for match in prefixed if match}
    letters = {"f", "m"}  # women and men: f0001, m0002
    if all(prefixed) and (len(prefixes) == 1 or {prefix.casefold() for prefix in prefixes} <= letters):
        return True
    codes = [re.fullmatch(r"(?=.*\d)[0-9a-fA-F]{3,}|\d{3,}", value) for value in distinct]
    return sum(code is not None for code in codes) > 0.8 * len(distinct)


def are_codes(values: Sequence[str]) -> bool:
    """Return whether values are letters and a number, many of each, as individuals are called: ANI01, MAG01, BAC03."""
    codes = [re.fullmatch(r"([A-Za-z]{2,})\d{2,}", value) for value in set(values)]
    return all(codes) and 2 * len({code[1] for code in codes if code}) > len(codes)


def are_takes(name: str, values: Sequence[str], fields: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a part counts takes: whole numbers without gaps in the last place of the name."""
    last = max((int(other[4:]) for other in fields if re.fullmatch(r"part\d+", other)), default=0)
    if name != f"part{last}" or not all(value.isdecimal() for value in values):
        return False
    numbers = {int(value) for value in values}
    return min(numbers) <= 1 and len(numbers) >= 0.9 * (max(numbers) - min(numbers) + 1)


def are_names_and_takes(values: Sequence[str]) -> bool:
    """Return whether values are a few names with a take's number behind: anna01, anna02, ben01."""
    names = [re.fullmatch(r"(.*[^\d])\d+", value) for value in values]
    distinct = {match[1] for match in names if match}
    return all(names) and 3 <= len(distinct) <= len(set(values)) / ENOUGH


def inside(labels: Sequence[str], parts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the parts of labels that occur in several of them; none unless they make up the labels.

    Parameters
    ----------
    labels : sequence of str
    parts : mapping of str to sequence of str
        Name of a field to its values, which are parts of the labels.
    """
    shared = {}
    for name, values in parts.items():
        of_value = _found_with([value.casefold() for value in values], labels)
        if len(of_value) > 1 and 2 * sum(len(each) > 1 for each in of_value.values()) > len(of_value):
            shared[name] = values
    apart = {tuple(value.casefold() for value in row) for row in zip(*shared.values(), strict=True)}
    return shared if len(apart) == len({value.casefold() for value in labels}) else {}


def follow(values: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether the label alone decides the value."""
    return all(len(found) == 1 for found in _found_with(labels, values).values())


def crossing(values: Sequence[str], labels: Sequence[str]) -> float:
    """Return the fraction of values that are found with two labels or more."""
    labels_of = _found_with(values, labels)
    return sum(len(found) > 1 for found in labels_of.values()) / len(labels_of)


def _found_with(keys: Sequence[str], others: Sequence[str]) -> dict[str, set[str]]:
    """Return each key with all that stands beside it."""
    found: dict[str, set[str]] = defaultdict(set)
    for key, other in zip(keys, others, strict=True):
        found[key].add(other)
    return found
