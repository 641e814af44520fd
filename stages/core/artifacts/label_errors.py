"""`label_errors.json`: recordings whose labels a classifier that never saw them doubts most. Nothing acts on it."""

from dataclasses import dataclass
from pathlib import Path

from stages.core.artifacts import json_file

FILE = "label_errors.json"


@dataclass(frozen=True)
class Suspect:
    """A recording whose label may be wrong.

    Attributes
    ----------
    recording_id, label : str
    likely : str
        Label with the highest score; of several labels, those with a score of at least 0.5.
    quality : float
        How far the scores support the label, from 0 to 1.
    suspected : bool
        Whether confident learning counts it among the errors, beyond its rank.
    """

    recording_id: str
    label: str
    likely: str
    quality: float
    suspected: bool


@dataclass(frozen=True)
class LabelErrors:
    """The part of a ranking of all recordings that is worth listening to, least supported labels first.

    Attributes
    ----------
    n, groups : int
        Recordings that were ranked, and groups that they come from.
    parts : int
        Parts of the cross-validation by group that gives the scores; 0 if there are too few groups to rank anything.
    accuracy : float
        Share of the scores that agree with the labels as they are.
    suspected : int
        Errors by confident learning, among all recordings.
    suspects : tuple of Suspect
        The first tenth of the ranking.
    """

    n: int
    groups: int
    parts: int
    accuracy: float
    suspected: int
    suspects: tuple[Suspect, ...]


def read(folder: Path) -> LabelErrors:
    """Read `label_errors.json` of the naive stage's folder.

    Raises
    ------
    DataError
    """
    return json_file.read(LabelErrors, folder / FILE, stage="naive")


def write(folder: Path, found: LabelErrors) -> None:
    """Write `label_errors.json`."""
    json_file.write(folder / FILE, found)
