"""Folders such as `train` and `test` above or below the class folders: recognised, asked about, and read."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from stages.core.project.errors import DataError

_SIDES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_OTHERS = re.compile(r"dev|devel|development|eval|evaluation|holdout|(fold|split)[ _-]?\d+")
_AROUND = re.compile(r"(?:[ _.-]*(?:sets?|data|dataset|split|audios?|sounds?|wavs?|files|clips|samples|recordings))+$")
"""Words behind a side's name: `train_set`, `Testing Data`."""


def level(names: Sequence[str], wanted: bool | None, owner: str, root: Path) -> int | None:
    """Return at which level of the paths the split's folders stand: 0, 1, or None for none.

    Parameters
    ----------
    names : sequence of str
        Paths of recordings relative to the root.
    wanted : bool or None
        The user's `split_folders`.
    owner : str
        Section of the parameters, for messages.
    root : Path

    Raises
    ------
    DataError
        If folders look like a split and the user has not said whether they are, or says so and none do.
    """
    found = next((i for i in (0, 1) if _looks_so(names, i)), None)
    if wanted is None and found is not None:
        folders = sorted({PurePosixPath(name).parts[found] for name in names if name.count("/") > found})
        raise DataError(
            f"{root} has folders named like a split ({', '.join(folders[:5])}); set {owner}.split_folders: true if "
            "they are one and hold or stand in the class folders, or false if they are classes themselves."
        )
    if wanted and found is None:
        raise DataError(
            f"{owner}.split_folders must be false where no folders of {root} are named like a split (train/dog/a.wav, "
            "or dog/train/a.wav). Rename them, or remove the parameter."
        )
    return found if wanted else None


def cut(name: str, at: int | None) -> tuple[str, str]:
    """Return the side of the split that a path names, empty if none, and the path without that folder.

    Examples
    --------
    >>> cut("training/dog/a.wav", 0), cut("dog/fold1/a.wav", 1), cut("dog/a.wav", None)
    (('train', 'dog/a.wav'), ('fold1', 'dog/a.wav'), ('', 'dog/a.wav'))
    """
    parts = PurePosixPath(name).parts
    if at is None or len(parts) <= at + 1:
        return "", name
    return _SIDES.get(_named(parts[at]), parts[at]), "/".join((*parts[:at], *parts[at + 1 :]))


def _looks_so(names: Sequence[str], at: int) -> bool:
    folders = {parts[at] for name in names if len(parts := PurePosixPath(name).parts) > at + 1}
    named = {folder for folder in folders if _is_split(folder)}
    if at and any(name.count("/") <= at for name in names):
        return False
    return bool(named) and (named == folders or len({_SIDES.get(_named(f), f) for f in named}) > 1)


def _is_split(folder: str) -> bool:
    name = _named(folder)
    return name in _SIDES or bool(_OTHERS.fullmatch(name))


def _named(folder: str) -> str:
    """Return a folder's name without case and the words behind it that tell nothing.

    >>> _named("Testing Data"), _named("train_set"), _named("dataset")
    ('testing', 'train', 'dataset')
    """
    name = folder.strip().casefold()
    return _AROUND.sub("", name) or name
