"""One split of a features folder as arrays.

A features folder holds

features.npy    (n_clips, ...) float32, memory-mapped; the clips of one side follow one another
clips.csv       row i describes features[i]; see `stages.core.artifacts.clips`
frontend.tflite waveform to features, as the device runs it
frontend.json   see `stages.core.artifacts.frontend`

A task is *multi-label* if any clip, in whatever split, has several labels. Then `y` is an indicator matrix, and a
network has a sigmoid per class.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.split import SplitName
from stages.core.project.errors import require
from stages.runtime import crops

FILES = ("features.npy", clips_file.FILE, frontend_file.FILE)
"""Files whose contents determine what a network learns."""


@dataclass(frozen=True)
class SplitLabels:
    """Labels, groups and sites of a split, without features.

    Attributes
    ----------
    y : np.ndarray, shape (n,), int64, or (n, n_classes) for a multi-label task
        See `Split`.
    groups, sites : np.ndarray, shape (n,), str
    recordings : np.ndarray, shape (n,), str
        Recording that each clip is a part or all of.
    """

    y: np.ndarray
    groups: np.ndarray
    sites: np.ndarray
    recordings: np.ndarray = field(default_factory=lambda: np.zeros(0, str))


@dataclass(frozen=True)
class Split:
    """One split with its features.

    Attributes
    ----------
    x : np.ndarray, shape (n, ...), float32
        Features; read-only, and read from the file as they are used.
    y : np.ndarray, shape (n,), int64, or (n, n_classes) for a multi-label task
        Index into `labels`; for a multi-label task 1 for every class that a clip has, else 0.
    clip_ids, groups, sites : np.ndarray, shape (n,), str
    labels : tuple[str, ...]
        Labels in output order; the positive class of a binary task is last.
    n_crops : int
        Crops per clip; a clip's score is their mean.
    crop_length : int or None
        Time steps in one crop; None if the classifier takes the whole clip.
    sample_rate : int
        Sample rate of the front end (Hz).
    bands : tuple[float, ...] or None
        See `stages.core.artifacts.frontend.Frontend`.
    recordings : np.ndarray, shape (n,), str
        Recording that each clip is a part or all of.
    """

    x: np.ndarray
    y: np.ndarray
    clip_ids: np.ndarray
    groups: np.ndarray
    sites: np.ndarray
    labels: tuple[str, ...]
    n_crops: int = 1
    crop_length: int | None = None
    sample_rate: int = 0
    bands: tuple[float, ...] | None = None
    recordings: np.ndarray = field(default_factory=lambda: np.zeros(0, str))

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.y)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one crop, the input of the classifier."""
        n_steps, *rest = self.x.shape[1:]
        return (self.crop_length or n_steps, *rest)

    @property
    def crops(self) -> np.ndarray:
        """Crops of every clip, a view of shape (n, n_crops, *input_shape), float32."""
        return crops.crops(self.x, self.n_crops, self.input_shape[0])

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several labels."""
        return self.y.ndim == 2

    def of_label(self, label: str | None, owner: str) -> np.ndarray:
        """Return which clips have a label, (n,) int, ascending; all of them for None.

        Parameters
        ----------
        label : str or None
        owner : str
            Parameter that names it, for the message.

        Raises
        ------
        ParameterError
            If no clip has it.
        """
        if label in self._of_labels:
            return self._of_labels[label]
        found = np.arange(len(self))
        if label is not None:
            rule = f"be a label of training clips ({', '.join(self.labels)})"
            require(label in self.labels, owner, rule, label)
            found = np.flatnonzero(indicators(self.y, len(self.labels))[:, self.labels.index(label)])
            require(len(found) > 0, owner, rule, label)
        self._of_labels[label] = found
        return found

    @cached_property
    def _of_labels(self) -> dict[str | None, np.ndarray]:
        return {}  # asked for at every step of a training

    @cached_property
    def label_sets(self) -> "LabelSets":
        """The clips by what they are labelled."""
        return LabelSets.of(self.y)


@dataclass(frozen=True)
class LabelSets:
    """Clips by their labels: those of a set have exactly the same.

    Attributes
    ----------
    set_of : np.ndarray, shape (n,), int
        Set of each clip.
    members : tuple of np.ndarray, int
        Clips of each set, ascending.

    >>> sets = LabelSets.of(np.array([0, 1, 0, 1, 1]))
    >>> sets.n_others(1), [sets.other(1, k) for k in range(2)]
    (2, [0, 2])
    """

    set_of: np.ndarray
    members: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, y: np.ndarray) -> "LabelSets":
        """Sort clips by their labels, (n,) or (n, n_classes)."""
        kinds, set_of = np.unique(y, axis=0, return_inverse=True)
        set_of = set_of.reshape(-1)
        order, ends = np.argsort(set_of, kind="stable"), np.cumsum(np.bincount(set_of, minlength=len(kinds)))
        return cls(set_of, tuple(np.split(order, ends[:-1])))

    def n_others(self, clip: int) -> int:
        """Return how many clips have other labels than a clip has."""
        return len(self.set_of) - len(self.members[self.set_of[clip]])

    def other(self, clip: int, k: int) -> int:
        """Return the clip that is number `k`, from 0, of those that have other labels than a clip has."""
        own = self.members[self.set_of[clip]]
        return k + int(np.searchsorted(own - np.arange(len(own)), k, side="right"))


def read_labels(folder: Path, name: SplitName) -> SplitLabels:
    """Read the labels, groups and sites of one split of a features folder."""
    table = clips_file.read(folder)
    in_split = [clip for clip in table if clip.split == name]
    return SplitLabels(
        y=_y(table, name, frontend_file.read(folder).labels),
        groups=np.array([clip.group for clip in in_split], dtype=str),
        sites=np.array([clip.site for clip in in_split], dtype=str),
        recordings=np.array([clip.recording_id for clip in in_split], dtype=str),
    )


def read_split(folder: Path, name: SplitName) -> Split:
    """Read one split of a features folder with its features.

    Parameters
    ----------
    folder : Path
    name : {"train", "validation", "test"}
        Augmented clips are part of ``"train"`` only.

    Raises
    ------
    DataError
        If the folder is incomplete.
    """
    table = clips_file.read(folder)
    frontend = frontend_file.read(folder)
    rows = [i for i, clip in enumerate(table) if clip.split == name]
    return Split(
        x=_rows(np.load(folder / "features.npy", mmap_mode="r"), rows),
        y=_y(table, name, frontend.labels),
        clip_ids=np.array([table[i].clip_id for i in rows], dtype=str),
        groups=np.array([table[i].group for i in rows], dtype=str),
        sites=np.array([table[i].site for i in rows], dtype=str),
        labels=frontend.labels,
        n_crops=frontend.crops,
        crop_length=frontend.crop_length,
        sample_rate=frontend.sample_rate,
        bands=frontend.bands,
        recordings=np.array([table[i].recording_id for i in rows], dtype=str),
    )


def indicators(y: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the indicator matrix of the labels of any task: (n, n_classes) int64, 1 for every class that a clip has.

    >>> indicators(np.array([1, 0]), 2).tolist()
    [[0, 1], [1, 0]]
    """
    return y if y.ndim == 2 else np.eye(n_classes, dtype=np.int64)[y]


def _rows(features: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Return rows of a mapped file: a part of the map if they follow one another, else a copy of them."""
    if rows and rows[-1] - rows[0] == len(rows) - 1:
        return np.asarray(features[rows[0] : rows[-1] + 1])
    chosen = np.asarray(features[rows])
    chosen.flags.writeable = False
    return chosen


def _y(table: Sequence[Clip], name: SplitName, labels: Sequence[str]) -> np.ndarray:
    """Return `y` of one split; the whole table decides whether the task is multi-label."""
    numbers = [[labels.index(label) for label in clip.labels] for clip in table]
    in_split = [number for clip, number in zip(table, numbers, strict=True) if clip.split == name]
    if max(map(len, numbers), default=1) == 1:
        return np.array(in_split, dtype=np.int64).reshape(-1)
    y = np.zeros((len(in_split), len(labels)), dtype=np.int64)
    for row, number in zip(y, in_split, strict=True):
        row[number] = 1
    return y
