"""Names that people typed (labels, groups, sites): cleaned, and compared by meaning instead of by bytes."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

LONG = 8  # letters and digits from which on a single wrong letter makes two names similar
WORD = 3  # letters of a word that may be mistyped; shorter ones count something: `mic a`, `mic b`
MANY = 50_000  # more names than that were made by machines, which do not mistype

_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_LOOK_ALIKE = str.maketrans(  # letters that do not decompose, and those of other alphabets that look like Latin ones
    "\u0131\u00f8\u0142\u0111\u0127"  # Turkish, Danish, Polish, Croatian, Maltese
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u043a\u043c\u0442\u043d\u0432"  # Cyrillic
    "\u03bf\u03b1\u03bd\u03c1",  # Greek
    "ioldhaeopcyxijskmthboavp",
)
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00b4": "'", "`": "'"})


def clean(name: str) -> str:
    r"""Return a name in Unicode's composed form (NFC), without white space and invisible characters around it.

    Examples
    --------
    >>> clean("\ufeff dog\u00a0")
    'dog'
    >>> clean("Zoe\u0308") == "Zo\u00eb"
    True
    """
    composed = unicodedata.normalize("NFC", name)
    visible = [i for i, letter in enumerate(composed) if not _is_blank(letter)]
    return composed[visible[0] : visible[-1] + 1] if visible else ""


def similar(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the sets of names that probably mean the same.

    Two names are similar if they differ only in case, spacing, dashes and underscores, full or half width, accents,
    letters that look alike in another alphabet, punctuation around them, or the way a number is written (`1` and `1.0`,
    `dog1` and `dog01`); or, where they have at
    least `LONG` letters and digits, in one letter of a word that has at least `WORD` letters (Levenshtein distance 1).
    Three or more names that differ in the same letter enumerate something and are not similar for that; nor are names
    that differ in a word's first letter, which may turn it into its opposite (`symptomatic`, `asymptomatic`).

    Parameters
    ----------
    names : iterable of str
        Cleaned. Equal ones count once.

    Returns
    -------
    list of tuple of str
        Each sorted, with at least two names; no name is in two.

    Examples
    --------
    >>> similar(["dog00", "Dog00", "cat", "1", "1.0"])
    [('1', '1.0'), ('Dog00', 'dog00')]
    >>> similar(["hospital north", "hospitl north", "mic a", "mic b"])
    [('hospital north', 'hospitl north')]
    """
    distinct = sorted(set(names))
    leader = {name: name for name in distinct}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for first, second in (*_by_spelling(distinct), *_by_one_letter(distinct)):
        low, high = sorted((find(first), find(second)))
        leader[high] = low
    found: dict[str, list[str]] = defaultdict(list)
    for name in distinct:
        found[find(name)].append(name)
    return [tuple(alike) for alike in found.values() if len(alike) > 1]


def _is_blank(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cf", "Cc")


def _by_spelling(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    first: dict[str, str] = {}
    for name in names:
        folded = _fold(name)
        for key in (folded.replace(" ", ""), re.sub(r"[ _-]+", "_", folded)):
            if first.setdefault(key, name) != name:
                yield first[key], name


def _fold(name: str) -> str:
    """Return a name without case, width, accents of Latin letters, other alphabets and ways to write numbers."""
    wide = unicodedata.normalize("NFKC", _DASHES.sub("-", name).translate(_QUOTES)).casefold()
    wide = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), wide.translate(_LOOK_ALIKE))
    letters: list[str] = []
    for letter in unicodedata.normalize("NFKD", wide):
        accent = unicodedata.combining(letter) and letters and unicodedata.name(letters[-1], "").startswith("LATIN")
        if not accent and (letter.isspace() or not _is_blank(letter)):
            letters.append(letter)
    folded = re.sub(r"\s+", " ", unicodedata.normalize("NFC", "".join(letters))).strip(" '\".,;:")
    if re.fullmatch(r"[+-]?\d+\.\d+", folded):
        folded = folded.rstrip("0")
    folded = re.sub(r"(?<=\d)\.0*(?![\d.])", "", folded)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", folded) or name


def _by_one_letter(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(names) > MANY:
        return
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(_fold(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)), name)
    replaced: dict[str, list[str]] = defaultdict(list)
    for key in folded:
        for place in _places(key):
            shorter = key[:place] + key[place + 1 :]
            if shorter in folded and _is_long(shorter):
                yield folded[shorter], folded[key]
            replaced[f"{key[:place]}\0{key[place + 1 :]}"].append(key)
    yield from _pairs(replaced, folded)


def _places(key: str) -> Iterator[int]:
    """Yield where a letter may be mistyped."""
    if _is_long(key):
        for word in re.finditer(rf"[^\W\d_]{{{WORD},}}", key):
            yield from range(word.start() + 1, word.end())


def _is_long(key: str) -> bool:
    return sum(map(str.isalnum, key)) >= LONG


def _pairs(replaced: Mapping[str, Sequence[str]], folded: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for keys in replaced.values():
        if len(keys) == 2:
            yield folded[keys[0]], folded[keys[1]]
