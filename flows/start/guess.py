"""Guess which field holds label, group, split and site: by what it is called, and by how its values are spread."""

import re
from collections.abc import Mapping, Sequence

from flows.start.fields import Field, Item, by_name, from_path, position
from flows.start.values import (
    ENOUGH,
    are_codes,
    are_ids,
    are_names_and_takes,
    are_numbers,
    are_people,
    are_shared,
    are_takes,
    are_words,
    crossing,
    follow,
    side_of,
)
from stages.core.project.errors import ParameterError

_CALLED = {
    "label": "label labels class classes class_name category target keyword word command tag tags primary_label "
    "common_name sound_class scene_label scene event_label event emotion genre instrument species diagnosis disease "
    "status digit condition sentence transcript choice choices",
    "group": "group speaker speakers speaker_id spk spk_id subject subject_id patient patient_id participant "
    "participant_id contributor user user_id client client_id person person_id actor singer performer artist animal "
    "animal_id machine machine_id individual donor child case case_id src_file source_file source_id fsid recording_id "
    "session session_id author recordist uploader identifier",
    "split": "split set subset partition fold folds",
    "site": "site source source_label device microphone mic location hospital centre center room recorder phone "
    "channel",
}
_ENDS = {"label": ("status", "label", "class", "species", "diagnosis", "emotion", "disease"), "group": ("id",)}
"""Last words of a column, such as `covid_status` or `dog_id`, that say what it is if it is the only one."""
CALLED = {kind: tuple(word.replace("_", "") for word in words.split()) for kind, words in _CALLED.items()}
MOST_CLASSES = 1000
EACH_FILE = "file"
_LEAST = -1.0  # score of a field that numbers people, machines or takes: no label that nobody asked for
_AS_LIKELY = 1.0  # difference of scores within which two fields may both be the label


def called(items: Sequence[Item], kind: str, taken: set[str], least: int = 2) -> Field | None:
    """Return the table's column that is called as the kind is, in the order of likelihood.

    Case and all but letters and digits do not count: ``Patient ID`` is ``patient_id``; nor do the objects that hold an
    entry of JSON: ``annotations.result.choices`` is ``choices``, unless there is such a column. It has
    `least` different values.
    """
    fields = {
        re.sub(r"[^a-z0-9]", "", name.casefold().rpartition(".")[2]): (name, values)
        for name, values in sorted(by_name(items).items(), key=lambda field: -field[0].count("."))
        if name not in taken and not from_path(name)
    }
    for word in CALLED[kind]:
        if word in fields and len(set(fields[word][1]) - {""}) >= least:
            name, values = fields[word]
            return Field(name, f"the table's column {name!r}", values)
    ends = [each for each in fields.values() if kind in _ENDS and _ends(each[0], _ENDS[kind]) and are_shared(each[1])]
    return Field(ends[0][0], f"the table's column {ends[0][0]!r}", ends[0][1]) if len(ends) == 1 else None


def _ends(name: str, words: Sequence[str]) -> bool:
    return re.split(r"[^a-z0-9]+", name.casefold().strip())[-1] in words


def split(items: Sequence[Item]) -> Field | None:
    """Return the field with the publisher's sides or folds, if there is one."""
    fields = dict(sorted(by_name(items).items(), key=lambda each: (from_path(each[0]), "." in each[0])))
    for name, values in fields.items():
        sides = {side_of(value) for value in values}
        if None not in sides and "test" in sides and len(sides) > 1 and not name.startswith(("part", "code")):
            return Field(name, f"the publisher's {' / '.join(sorted(set(values)))}", values)
    for name, values in fields.items():
        folds = set(values)
        numbered = all(re.fullmatch(r"(fold|split|set)[_\- ]?\d+", value, re.IGNORECASE) for value in folds)
        if name.startswith("folder") and numbered and len(folds) > 1:
            return Field(name, f"the publisher's {len(folds)} folds", values)
    column = called(items, "split", set())
    if column and 2 <= len(set(column.values)) <= 20 and "" not in column.values:
        return Field(column.name, f"the publisher's {len(set(column.values))} folds", column.values)
    return None


def label(items: Sequence[Item], taken: set[str], least: int = 2) -> Field:
    """Return the field that seems to hold the label; a table's column of that name needs `least` different values.

    Raises
    ------
    ParameterError
        If that cannot be told.
    """
    column = called(items, "label", taken, least)
    if column:
        return column
    scores = _label_scores(items, taken)
    best = max(scores, key=lambda name: scores[name], default=None)
    tables = any(not from_path(name) for name in by_name(items) if name not in taken)
    if best is None or scores[best] < _LEAST or (tables and not best.startswith("folder")):
        raise ParameterError(
            "the field that holds the label cannot be told. Name it with --label FIELD, or several with commas that "
            f"have 1 where their label holds. {listed(items)}"
        )
    return Field(best, _said(best), by_name(items)[best])


def other_labels(items: Sequence[Item], chosen: Field, taken: set[str]) -> list[str]:
    """Return the fields, with their values, that may be the label just as well as a folder or part that was chosen."""
    if not from_path(chosen.name):
        return []
    scores, fields = _label_scores(items, set()), by_name(items)
    least = scores.get(chosen.name, float("inf")) - _AS_LIKELY
    digits = all(value.isdecimal() for value in chosen.values)

    def may(name: str, score: float) -> bool:
        values = fields[name]
        if name in {*taken, "name"} or follow(values, chosen.values):
            return False
        words = are_words(values) and crossing(values, chosen.values) > 0.5
        return (
            score >= max(0.0, least)
            or words
            or (digits and name.startswith("part") and are_takes(name, values, fields))
        )

    return [described(name, fields[name]) for name, score in scores.items() if may(name, score)]


def _label_scores(items: Sequence[Item], taken: set[str]) -> dict[str, float]:
    fields = {name: values for name, values in by_name(items).items() if name not in taken}
    scores = {}
    for name, values in fields.items():
        n = len(set(values) - {""})
        few = 2 <= n <= min(MOST_CLASSES, max(2, len(items) / (2 if name.startswith("folder") else 3)))
        if name == "name" and all(value.isdecimal() for value in values):
            continue  # numbers of recordings
        if not few or not _for_guesses(name) or name.startswith("code") or "" in values or all(map(side_of, values)):
            continue
        folder, place = name.startswith("folder"), position(name)
        score = 10.0 if folder else 3 - place / 10 + 2 * (place == 1)
        stands = folder and _in_stem(items, name)
        numbered = are_ids(values) or (stands and are_numbers(values))
        score -= 12 if are_people(values) or (name == "name" and _holds_people(fields)) else 8 * numbered
        score -= 4 * (name == "name" and not are_words(values))
        score -= 3 * (folder and not numbered and are_numbers(values))  # as people's folders are, or classes'
        score -= 6 * (not folder and are_takes(name, values, fields))
        score += 2 * are_words(values)
        score += 2 * (stands and not numbered)
        scores[name] = score - n / 1e4
    return scores


def group(items: Sequence[Item], chosen: Field, taken: set[str]) -> Field:
    """Return the field that tells which recordings belong together; ``file`` if none does.

    Parameters
    ----------
    items : sequence of Item
    chosen : Field
        The label.
    taken : set of str
        Fields that are something else.
    """
    column = called(items, "group", taken)
    if column and "" not in column.values:
        return column
    scores = {}
    fields = {name: values for name, values in by_name(items).items() if name not in taken and _for_guesses(name)}
    for name, values in fields.items():
        distinct = set(values)
        few = 3 <= len(distinct) <= len(items) / ENOUGH
        if "" in distinct or not few or all(map(side_of, distinct)) or follow(values, chosen.values):
            continue
        if are_takes(name, values, fields) or (name == "name" and all(value.isdecimal() for value in distinct)):
            continue
        score = 4.0 * name.startswith("folder") + 2 * are_ids(values) + 4 * crossing(values, chosen.values)
        score += 4.0 * are_people(values) - position(name) / 10
        score += 1.0 * all(not value.isdecimal() or len(value) > 2 for value in distinct)
        score += 2.0 * are_codes(values) - 3.0 * are_names_and_takes(values)
        scores[name] = score
    best = max(scores, key=lambda name: scores[name], default=None)
    if best is None or scores[best] < 0.9:
        return Field(EACH_FILE, "nothing tells which recordings belong together", tuple(i.path for i in items))
    return Field(best, _said(best), fields[best])


def _said(name: str) -> str:
    return "the folders' names" if name.startswith("folder") else f"{name} of the file names"


def described(name: str, values: Sequence[str]) -> str:
    """Return a field's name, the number of its values and the first of them."""
    distinct = sorted(set(values) - {""})
    return f"{name} ({len(distinct)}: {', '.join(distinct[:3])}{', ...' if len(distinct) > 3 else ''})"


def listed(items: Sequence[Item]) -> str:
    """Return a sentence with the fields that may be chosen."""
    fields = by_name(items).items()
    shown = [described(name, v) for name, v in fields if 1 < len(set(v) - {""}) <= max(2, len(items) / ENOUGH)]
    return f"Fields: {'; '.join(shown)}." if shown else "No field has two values or more that recordings share."


def _in_stem(items: Sequence[Item], name: str) -> bool:
    return all(item.fields[name].casefold() in item.path.rpartition("/")[2].casefold() for item in items)


def _for_guesses(name: str) -> bool:
    """Return whether a field of the path may be guessed to be something; parts of folders are asked for by name."""
    return from_path(name) and "." not in name


def _holds_people(fields: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a part of the file names numbers people or the like."""
    return any(are_people(values) for name, values in fields.items() if name.startswith("part"))
