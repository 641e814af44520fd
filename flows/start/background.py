"""A label of background sounds, such as the folder ``_background_noise_``: an answer, and heard behind the others."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flows.start.choice import Choice
from flows.start.fields import Field, Span
from flows.start.listing import spread
from flows.start.naming import Names
from flows.start.values import side_of
from stages.core.artifacts.split import SPLITS
from stages.core.project.errors import DataError, ParameterError

BETWEEN = "background"
_BACKGROUND = re.compile(
    r"_*(noises?|(background|ambient|ambience)([_\- ]*(noises?|sounds?|recordings?))?)_*", re.IGNORECASE
)
_MARGIN = 0.25  # of a part's length, between a mark and what is not of it
_RATES, _TARGETS = (1.0, 5.0, 20.0, 60.0), 2  # false alarms an hour, of which that many are aimed at
_LEVELS_DB = [-5, 30]  # above the background; docs/decisions.md has what they did for words


def label_of(names: Names) -> str | None:
    """Return the label that is called as background sounds are, where others are beside it; None if there is none."""
    found = [label for label in names.classes if _BACKGROUND.fullmatch(label)]
    others = len(names.classes) - 1
    return found[0] if len(found) == 1 and (others > 1 or (others == 1 and found[0] == BETWEEN)) else None


def shared_out(names: Names) -> tuple[Names, str]:
    """Give every side of the split background sounds, or leave them out where they are too few for that.

    Parameters
    ----------
    names : Names

    Returns
    -------
    names : Names
        The same where there is no label of background sounds.
    note : str
        What became of them; empty if nothing did.
    """
    label = label_of(names)
    if label is None:
        return names, ""
    rows = [i for i, value in enumerate(names.label.values) if value == label]
    groups = {names.group.values[i] for i in rows}
    if len(groups) < len(SPLITS) <= len(rows):  # their names follow another pattern than those of the other sounds
        names = replace(names, group=_each_its_own(names, rows))
        turned, note = shared_out(names)
        apart = (
            f"each recording of {label!r} counts as a group, as {names.group.name} of their names tells too few apart"
        )
        return turned, "; ".join(filter(None, (apart, note)))
    if len(groups) < len(SPLITS):
        rest = sorted(set(range(len(names.items))) - set(rows))
        return names.of(rest), (
            f"{label!r} has recordings of {len(groups)} groups, and every side of the split needs one of its own: they "
            "are left out; three or more let a model answer noise with it and are heard behind the others in training"
        )
    split = names.split
    if split is None or None in map(side_of, split.distinct) or {split.values[i] for i in rows} == set(split.distinct):
        return names, ""
    turned = replace(names, split=_in_turn(split, [names.group.values[i] for i in rows], rows))
    return turned, f"the sides take recordings of {label!r} in turn, as the publisher's do not"


def _each_its_own(names: Names, rows: Sequence[int]) -> Field:
    """Return the group with every one of some rows in a group of its own, called by its path."""
    alone = set(rows)
    values = (names.items[i].path if i in alone else value for i, value in enumerate(names.group.values))
    return replace(names.group, values=tuple(values))


def _in_turn(split: Field, groups: Sequence[str], rows: Sequence[int]) -> Field:
    """Return the split with the groups of some rows on its sides in turn."""
    sides = sorted(split.distinct, key=lambda value: SPLITS.index(side_of(value) or "train"))
    turn = dict(zip(sorted(set(groups)), itertools.cycle(sides)))
    values = list(split.values)
    for row, group in zip(rows, groups, strict=True):
        values[row] = turn[group]
    return replace(split, values=tuple(values))


def between(names: Names) -> tuple[Names, str]:
    """Add parts of what lies before and between the marked parts of recordings, under a label of their own.

    They are as long as the median part, keep a quarter of that away from marks, and are at most as many as the most
    frequent label has, spread evenly.

    Parameters
    ----------
    names : Names

    Returns
    -------
    names : Names
    note : str

    Raises
    ------
    ParameterError
        If no part is marked, or the label is there already.
    DataError
        If nothing lies between the parts.
    """
    rows: dict[str, list[tuple[Span, int]]] = {}
    for i, item in enumerate(names.items):
        if item.span is not None:
            rows.setdefault(item.path, []).append((item.span, i))
    if not rows or BETWEEN in names.classes:
        got = f"a label {BETWEEN!r}" if rows else "none"
        raise ParameterError(
            f"--background must find marked parts of recordings, and no label {BETWEEN!r}; got {got}. Leave it out."
        )
    length = float(np.median([end - start for marked in rows.values() for (start, end), _ in marked]))
    found = [(i, span) for marked in rows.values() for i, span in _gaps(sorted(marked), length)]
    if not found:
        raise DataError(
            f"--background must find {1.5 * length:.2f} s or more between two marks of a recording; no two are that "
            "far apart. Leave it out."
        )
    chosen = [found[i] for i in spread(len(found), max(names.classes.values()))]
    taken = names.of([*range(len(names.items)), *(i for i, _ in chosen)])
    items = [*names.items, *(replace(names.items[i], span=span) for i, span in chosen)]
    label = replace(taken.label, values=(*names.label.values, *[BETWEEN] * len(chosen)))
    order = sorted(range(len(items)), key=lambda i: (items[i].path, items[i].span or (0.0, 0.0)))
    return replace(taken, items=tuple(items), label=label).of(order), (
        f"{len(chosen)} parts between the marked ones, each of {length:.2f} s, are the label {BETWEEN!r}, as asked for"
    )


def streams(names: Names) -> list[Choice]:
    """Return the choices that judge every variant on the recordings of validation and test as they were recorded.

    Parameters
    ----------
    names : Names
        As `between` returns them.
    """
    ends: dict[str, float] = {}
    for item in names.items:
        ends[item.path] = max(ends.get(item.path, 0.0), item.span[1] if item.span else 0.0)
    hours = 0.15 * sum(ends.values()) / 3600  # of validation, as the split shares recordings out
    targets = [rate for rate in _RATES if rate * hours >= 1][:_TARGETS]
    if not targets:
        return []
    return [
        Choice("evaluate.stream.marked", True, "recordings of validation and test are heard as a device hears them"),
        Choice("evaluate.stream.ignored", [BETWEEN]),
        Choice("evaluate.stream.false_alarms_per_hour", targets, f"what about {60 * hours:.0f} minutes can show"),
    ]


def _gaps(marked: Sequence[tuple[Span, int]], length: float) -> list[tuple[int, Span]]:
    """Return the parts of a length before and between marks, each with a row of the recording."""
    margin, begin, found = _MARGIN * length, 0.0, []
    for (start, end), row in marked:
        for k in range(math.floor((start - margin - begin) / length + 1e-9)):
            found.append((row, (round(begin + k * length, 6), round(begin + (k + 1) * length, 6))))
        begin = max(begin, end + margin)
    return found


def heard_behind(choices: Sequence[Choice], names: Names, clip_s: float) -> list[Choice]:
    """Return the choices with background sounds cut into clips, which are heard behind the others at every step.

    Parameters
    ----------
    choices : sequence of Choice
    names : Names
    clip_s : float
        Length of a clip (seconds).
    """
    label, found = label_of(names), list(choices)
    if label is None:
        return found
    more = {"background_db": _LEVELS_DB, "background": label}
    for i, choice in enumerate(found):
        if choice.name in ("train.vary", "prune.vary"):
            found[i] = replace(choice, value=choice.value | more)
    cut = any(choice.name == "features.segment" for choice in found)
    if not cut and not names.in_parts:  # what lies between marks is clips already
        reason = f"a long recording of {label!r} becomes many clips"
        found.append(Choice("features.segment", {"hop_s": clip_s}, reason))
    return found
