"""Choose the split: the publisher's where it can be used, else by group."""

import shlex
from collections import Counter
from collections.abc import Mapping

from flows.start.choice import Choice
from flows.start.guess import EACH_FILE
from flows.start.naming import Names
from flows.start.values import side_of
from stages.core.artifacts.recordings import labels_of
from stages.core.artifacts.split import SPLITS, SplitName
from stages.core.project.errors import DataError

_SHOWN = 6  # labels with too few groups


def split(names: Names, warnings: list[str]) -> tuple[list[Choice], int]:
    """Return the choices of the split, and about how many recordings train.

    Parameters
    ----------
    names : Names
    warnings : list of str
        What the user should know is appended.

    Raises
    ------
    DataError
        If no split can hold every class on every side.
    """
    n, groups = len(names.items), len(names.group.distinct)
    if groups < 10 and names.group.name != EACH_FILE:
        warnings.append(
            f"{groups} groups are few: figures of a single split say little about others; "
            "`edac folds --by group` tests every group once"
        )
    fractions = (
        {"train": 0.70, "validation": 0.15, "test": 0.15}
        if groups >= 20
        else {"train": 0.60, "validation": 0.20, "test": 0.20}
    )
    published = names.split
    if published is not None:
        sides = {value: side_of(value) for value in published.distinct}
        problem = _problem(names, sides)
        if not problem:
            return _official(names, sides, fractions, warnings)
        warnings.append(f"{published.reason} cannot be used: {problem}; the split is made by group instead")
    sparse = _sparse(names)
    if sparse:
        raise DataError(
            f"every class needs recordings of at least 3 groups, one for each side of the split; {_few(sparse)}. "
            f"Record more speakers (or whatever the group is){_left_out(names, sparse)}, or name another field with "
            "--group."
        )
    reason = f"by group ({names.group.name}: {groups}), so that nobody is on two sides"
    return [
        Choice("split.method", "groups", reason),
        Choice("split.fractions", fractions, "more for validation and test where groups are few" * (groups < 20)),
        Choice("split.by_site", names.site is not None),
        *([Choice("split.ignore_published", True, "it cannot be used")] if published is not None else []),
        Choice("split.seed", 1234),
    ], round(n * fractions["train"])


def _official(
    names: Names, sides: Mapping[str, SplitName | None], fractions: dict[str, float], warnings: list[str]
) -> tuple[list[Choice], int]:
    published = names.split
    assert published is not None
    counts = Counter(published.values)
    if all(sides.values()):
        folds: dict[str, list[str]] = {}
        for value, side in sides.items():
            folds.setdefault(str(side), []).append(value)
        n_train = sum(counts[value] for value in folds.get("train", ()))
        if "validation" not in folds:
            folds = {"test": folds["test"]}
            n_train = round(n_train * fractions["train"] / (fractions["train"] + fractions["validation"]))
    else:
        last = max(published.distinct, key=lambda fold: (len(fold), fold))
        folds = {"test": [last]}
        n_train = round((len(names.items) - counts[last]) * 0.85)
        warnings.append(f"one fold ({last}) is tested; `edac folds` tests each of the {len(counts)} in turn")
    test_share = 1 / len(counts) if not all(sides.values()) else 0.2
    shares = {"train": round(0.85 * (1 - test_share), 4), "test": round(test_share, 4)}
    shares["validation"] = round(1 - sum(shares.values()), 4)
    return [
        Choice("split.method", "official", published.reason),
        Choice("split.folds", folds, "validation is taken from the rest, by group" * (len(folds) == 1)),
        Choice("split.fractions", {side: shares[side] for side in SPLITS}),
        Choice("split.by_site", False),
        Choice("split.seed", 1234),
    ], n_train


def _problem(names: Names, sides: Mapping[str, SplitName | None]) -> str:
    """Return why the publisher's split cannot be used, or nothing."""
    split = names.split
    assert split is not None
    where: dict[str, set[str]] = {}
    for group, value in zip(names.group.values, split.values, strict=True):
        where.setdefault(group, set()).add(value)
    shared = [group for group, found in where.items() if len(found) > 1]
    if shared:
        return f"{len(shared)} groups are on two of its sides, such as {shared[0]!r}"
    if all(sides.values()):
        labels = set(names.label.values)
        for value in split.distinct:
            held = {label for label, at in zip(names.label.values, split.values, strict=True) if at == value}
            missing = sorted(labels - held)
            if missing:
                return f"{value} has no {', '.join(missing[:6])}"
    return ""


def _sparse(names: Names) -> dict[str, int]:
    """Return the labels that have recordings of too few groups, and of how many."""
    groups: dict[str, set[str]] = {}
    for label, group in zip(names.label.values, names.group.values, strict=True):
        for name in labels_of(label):
            groups.setdefault(name, set()).add(group)
    return {label: len(groups[label]) for label in sorted(groups) if len(groups[label]) < len(SPLITS)}


def _few(sparse: Mapping[str, int]) -> str:
    shown = ", ".join(f"{label!r} has {n}" for label, n in list(sparse.items())[:_SHOWN])
    return shown + f", and {len(sparse) - _SHOWN} more" * (len(sparse) > _SHOWN)


def _left_out(names: Names, sparse: Mapping[str, int]) -> str:
    """Return the options that leave these labels out, where two others are left."""
    if len(names.classes) - len(sparse) < 2 or len(sparse) > _SHOWN:
        return ""
    return ", add " + " ".join(f"--leave-out {shlex.quote(label)}" for label in sparse)
