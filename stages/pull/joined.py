"""Several labels of one recording in one text: which character stands between them, and the labels apart."""

from collections import Counter
from collections.abc import Iterable

from stages.core.artifacts.recordings import SEPARATOR
from stages.core.project.errors import require
from stages.core.project.names import clean

CANDIDATES = (";", ",", "/", "+", "&")


def separator_of(labels: Iterable[str]) -> str | None:
    """Return the character that seems to stand between several labels of a recording.

    It does so where the parts of a joined label are labels of their own, those of half of all parts at least; or
    where joined labels have three or more lengths and most of their parts are found in two or more of them.

    Parameters
    ----------
    labels : iterable of str
        As the source gives them.

    Returns
    -------
    str or None
        None if each label seems to be one name. ``|``, which always stands between labels, is no answer.

    Examples
    --------
    >>> separator_of(["bird;frog", "bird", "frog", "rain"])
    ';'
    >>> separator_of(["Bark, Dog", "Bark, Dog, Rain", "Dog, Growl, Rain, Wind", "Rain, Wind"])
    ','
    >>> separator_of(["engine, diesel", "engine, petrol", "dog"])
    """
    names = {clean(label) for label in labels}
    for candidate in CANDIDATES:
        several = [parts for name in names if len(parts := _parts(name, candidate)) > 1]
        counts = Counter(part for parts in several for part in parts)
        alone = [part for part in counts if part in names]
        by_themselves = any(set(parts) <= set(alone) for parts in several) and 2 * len(alone) >= len(counts)
        repeated = sum(n > 1 for n in counts.values())
        if by_themselves or (len({len(parts) for parts in several}) > 2 and 2 * repeated > len(counts)):
            return candidate
    return None


def shared_part(labels: Iterable[str]) -> tuple[str, str] | None:
    """Return a part that several labels have in common and the character beside it; None if there is none.

    Whether such labels are one name or several is for a person to say, unless `separator_of` tells.

    Parameters
    ----------
    labels : iterable of str

    Examples
    --------
    >>> shared_part(["Bark,Dog,Animal", "Meow,Cat,Animal", "Rain,Water"])
    ('Animal', ',')
    >>> shared_part(["R&B", "rock"])
    """
    names = sorted({clean(label) for label in labels})
    for candidate in CANDIDATES:
        apart = [_parts(name, candidate) for name in names]
        counts = Counter(part for parts in apart for part in parts)
        common = [part for parts in apart if len(parts) > 1 for part in parts if counts[part] > 1]
        if common:
            return common[0], candidate
    return None


def require_separator(parameter: str, given: str | None) -> None:
    """Refuse what cannot stand between labels.

    Parameters
    ----------
    parameter : str
        For the message.
    given : str or None
        None is left open.

    Raises
    ------
    ParameterError
    """
    one = given is None or (len(given) == 1 and given.isprintable() and not given.isalnum() and not given.isspace())
    require(one, parameter, "be one character, no letter, digit or space", given, 'Write ";" for `bird;rain`.')


def apart(label: str, separator: str) -> str:
    """Return a label with `|` between its parts, each of them once.

    Parameters
    ----------
    label, separator : str

    Examples
    --------
    >>> apart("bird; frog;bird;", ";")
    'bird|frog'
    >>> apart("bird; frog", "|")
    'bird; frog'
    """
    return label if separator == SEPARATOR else SEPARATOR.join(_parts(label, separator))


def _parts(label: str, separator: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for text in label.split(separator) if (part := clean(text))))
