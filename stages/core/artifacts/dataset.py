"""The features folder: one array, one table, and the graph that made them.

features.npy    (n_clips, ...) float32, memory-mapped
clips.csv       row i describes features[i]
frontend.tflite waveform to features, as the device runs it
frontend.json   plug-in name, its parameters, `sample_rate`, `clip_samples`, `align`, `feature_shape`,
                `labels`; where the classifier takes crops of the features along time, `crops`, whose scores are
                averaged, and `crop_length` (steps of time); `bands`, as of `Split`

A task is *multi-label* if a clip of it, on whatever side, has several labels. Then `y` says of every class whether a
clip has it, and a network has a sigmoid for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.core.artifacts.recordings import labels_of
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.runtime import crops

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
CLIP_COLUMNS = ("clip_id", "path", "split", "label", "group", "site", "parent")


@dataclass(frozen=True)
class Truth:
    """What is known of one side's clips, all but how they sound: `y`, `groups` and `sites` as `Split` has them."""

    y: np.ndarray
    groups: np.ndarray
    sites: np.ndarray


@dataclass(frozen=True)
class Split:
    """One side of the split, ready to learn from or to be judged on.

    Attributes
    ----------
    x : np.ndarray, shape (n, ...), float32
        Features.
    y : np.ndarray, shape (n,), int64; of a multi-label task (n, n_classes), 0 or 1
        Index into `labels`; or whether a clip has each of them.
    clip_ids, groups, sites : np.ndarray, shape (n,), str
    labels : tuple[str, ...]
        In output order; the positive class of a binary task is last.
    n_crops : int
        What a clip's score is the mean of.
    crop_length : int or None
        Steps of time that the classifier takes at once; None for all.
    sample_rate : int
        Of the front end (Hz).
    bands : tuple[float, ...] or None
        Where the features are levels in dB of the density of power, the bands' centre frequencies (Hz); none of
        waveforms; None if they are something else.
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

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.y)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the classifier takes at once."""
        n_steps, *rest = self.x.shape[1:]
        return (self.crop_length or n_steps, *rest)

    @property
    def crops(self) -> np.ndarray:
        """What a clip is judged by: a view of shape (n, n_crops, *input_shape), float32."""
        return crops.crops(self.x, self.n_crops, self.input_shape[0])

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several labels."""
        return self.y.ndim == 2


def describe(folder: Path) -> dict[str, Any]:
    """Return what `frontend.json` of a features folder says."""
    described: dict[str, Any] = files.read_json(folder / "frontend.json")
    return {"crops": 1, "crop_length": None, "bands": None} | described


def read_truth(folder: Path, name: SplitName) -> Truth:
    """Read what is known of one side of the split, without its features."""
    table = files.read_csv(folder / "clips.csv")
    on_side = [clip for clip in table if clip["split"] == name]
    groups, sites = (np.array([clip[key] for clip in on_side], dtype=str) for key in ("group", "site"))
    return Truth(_truth(table, name, describe(folder)["labels"]), groups, sites)


def read_split(folder: Path, name: SplitName) -> Split:
    """Read one side of the split from a features folder.

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
    if not (folder / "clips.csv").is_file():
        raise DataError(f"{folder} holds no clips.csv. Run `dvc repro features` first.")
    described = describe(folder)
    labels: Sequence[str] = described["labels"]
    table = files.read_csv(folder / "clips.csv")
    rows = [i for i, clip in enumerate(table) if clip["split"] == name]

    def column(key: str) -> np.ndarray:
        return np.array([table[i][key] for i in rows], dtype=str)

    return Split(
        x=np.load(folder / "features.npy", mmap_mode="r")[rows],
        y=_truth(table, name, labels),
        clip_ids=column("clip_id"),
        groups=column("group"),
        sites=column("site"),
        labels=tuple(labels),
        n_crops=described["crops"],
        crop_length=described["crop_length"],
        sample_rate=described.get("sample_rate", 0),
        bands=None if described["bands"] is None else tuple(described["bands"]),
    )


def indicators(y: np.ndarray, n_classes: int) -> np.ndarray:
    """Return which classes each clip has, (n, n_classes) int64, 0 or 1, of a `y` of any task."""
    return y if y.ndim == 2 else np.eye(n_classes, dtype=np.int64)[y]


def _truth(table: Sequence[Mapping[str, str]], name: SplitName, labels: Sequence[str]) -> np.ndarray:
    """Return `y` of one side; the whole table tells which kind of task it is."""
    numbers = [[labels.index(label) for label in labels_of(clip["label"])] for clip in table]
    on_side = [number for clip, number in zip(table, numbers, strict=True) if clip["split"] == name]
    if max(map(len, numbers), default=1) == 1:
        return np.array(on_side, dtype=np.int64).reshape(-1)
    y = np.zeros((len(on_side), len(labels)), dtype=np.int64)
    for row, number in zip(y, on_side, strict=True):
        row[number] = 1
    return y
