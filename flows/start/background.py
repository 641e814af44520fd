"""A label of background sounds, such as the folder ``_background_noise_``: an answer, and heard behind the others."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

from flows.start.choice import Choice
from flows.start.fields import Field
from flows.start.naming import Names
from flows.start.values import side_of
from stages.core.artifacts.split import SPLITS

_BACKGROUND = re.compile(
    r"_*(noises?|(background|ambient|ambience)([_\- ]*(noises?|sounds?|recordings?))?)_*", re.IGNORECASE
)
_LEVELS_DB = [-5, 30]  # above the background; docs/decisions.md has what they did for words


def label_of(names: Names) -> str | None:
    """Return the label that is called as background sounds are, where others are beside it; None if there is none."""
    found = [label for label in names.classes if _BACKGROUND.fullmatch(label)]
    return found[0] if len(found) == 1 and len(names.classes) > 2 else None


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
    if not any(choice.name == "features.segment" for choice in found):
        reason = f"a long recording of {label!r} becomes many clips"
        found.append(Choice("features.segment", {"hop_s": clip_s}, reason))
    return found
