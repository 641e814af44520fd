"""The profile of what a variant was made for, which travels with its release: `stages.runtime.drift`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.split import SplitName
from stages.core.project import files
from stages.core.project.progress import track
from stages.core.scoring.resampling import MIN_GROUPS
from stages.runtime import drift
from stages.runtime.drift import Profile, Reference
from stages.select import golden

PARTS = 10
"""Parts of about equal size that the clips are divided into."""
SIDES: tuple[SplitName, ...] = ("validation", "train")
RATE = 0.001
"""Probability of a report on a day without drift."""
MOST_TRAINING_CLIPS = 1000
"""Training clips from which no further group is heard."""


@dataclass(frozen=True)
class Sounds:
    """Statistics that do not depend on the model, which every variant's profile shares.

    Attributes
    ----------
    references : dict[str, Reference]
    groups : np.ndarray, shape (n,), str
        Groups of the validation clips.
    """

    references: dict[str, Reference]
    groups: np.ndarray


def sounds(features: Path) -> Sounds | None:
    """Hear validation and training clips; None if those of validation are of fewer than `MIN_GROUPS` groups.

    No training clip is an altered copy. A model is surer of training clips than of others, so that its scores are not
    compared with theirs; a sound is as loud whether a model was trained on it or not.

    Parameters
    ----------
    features : Path
        Folder of the features stage.
    """
    frontend = frontend_file.read(features)
    groups = np.array([clip.group for clip in clips_file.read(features, "validation")], dtype=str)
    if len(np.unique(groups)) < MIN_GROUPS:
        return None
    heard: list[dict[str, float]] = []
    heard_groups: list[str] = []
    for side in SIDES:
        clips, split = clips_file.read(features, side), dataset.read_split(features, side)
        rows = np.arange(len(clips)) if side == "validation" else _of_training(clips)
        for i in track(rows, f"profile, {side}"):
            heard.append(drift.of_sound(golden.samples_of(clips[i], frontend), split.x[i]))
            heard_groups.append(clips[i].group)
    values = {name: np.array([each[name] for each in heard]) for name in heard[0]}
    return Sounds({name: reference(each, np.array(heard_groups)) for name, each in values.items()}, groups)


def _of_training(clips: Sequence[Clip]) -> np.ndarray:
    """Return the rows of the original clips of groups in random order, until there are clips enough."""
    original = np.array([not clip.parent for clip in clips], dtype=bool)
    names, membership = np.unique([clip.group for clip in clips], return_inverse=True)
    sizes = np.bincount(membership, weights=original, minlength=len(names))
    order = np.random.default_rng(0).permutation(len(names))
    before = np.cumsum(sizes[order]) - sizes[order]
    return np.flatnonzero(original & np.isin(membership, order[before < MOST_TRAINING_CLIPS]))


def write(path: Path, heard: Sounds, stored: Path) -> Profile:
    """Write a variant's profile.

    Parameters
    ----------
    path : Path
        File to write.
    heard : Sounds
    stored : Path
        The variant's ``scores/<variant>.npz``.
    """
    with np.load(stored) as kept:
        scores = kept["validation"].reshape(len(heard.groups), -1).astype(np.float64)
    found = Profile(heard.references | {"scores": reference(scores.max(axis=1), heard.groups)}, RATE)
    files.write_json(path, asdict(found))
    return found


def reference(values: np.ndarray, groups: np.ndarray) -> Reference:
    """Divide a statistic's values into parts of about equal size, and measure how alike the clips of a group are.

    The design effects have as many degrees of freedom as equal groups with the same fourth moment of the sizes.

    Parameters
    ----------
    values : np.ndarray, shape (n,)
    groups : np.ndarray, shape (n,), str

    References
    ----------
    Kish, *Survey Sampling* (1965), section 5.4 (design effect of a ratio over clusters).
    """
    inner = np.quantile(values, np.arange(1, PARTS) / PARTS, method="higher")
    edges, n = np.unique(inner[inner > values.min()]), len(values)
    parts = np.searchsorted(edges, values, side="right")
    shares = np.bincount(parts, minlength=len(edges) + 1) / n
    _, membership = np.unique(groups, return_inverse=True)
    sizes = np.bincount(membership).astype(float)
    freedom = max(float(np.sum(sizes**2) ** 2 / np.sum(sizes**4)) - 1, 1.0)
    sums = [np.bincount(membership, each[parts]) for each in drift.contrasts(shares.tolist())]
    effects = [max(float(np.sum(each**2)) / n, 1.0) for each in sums]
    return Reference(
        tuple(float(f"{edge:.9g}") for edge in edges),
        tuple(round(float(share), 6) for share in shares),
        n,
        tuple(round(effect, 4) for effect in effects),
        round(float(np.sum(sizes**2)) / n, 4),
        round(freedom, 4),
    )
