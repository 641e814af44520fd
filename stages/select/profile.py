"""The profile of what a variant was made for, which travels with its release: `stages.runtime.drift`."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.project import files
from stages.core.project.progress import track
from stages.core.scoring.resampling import MIN_GROUPS
from stages.runtime import drift
from stages.runtime.drift import Profile, Reference
from stages.select import golden

PARTS = 5
"""Parts of about equal size that the validation clips are divided into."""
RATE = 0.001
"""Probability of a report on a day without drift."""


@dataclass(frozen=True)
class Sounds:
    """Statistics of the validation clips that every variant's profile shares.

    Attributes
    ----------
    references : dict[str, Reference]
    groups : np.ndarray, shape (n,), str
    """

    references: dict[str, Reference]
    groups: np.ndarray


def sounds(features: Path) -> Sounds | None:
    """Hear the validation clips; None if they are of fewer than `MIN_GROUPS` groups.

    Parameters
    ----------
    features : Path
        Folder of the features stage.
    """
    frontend, clips = frontend_file.read(features), clips_file.read(features, "validation")
    if len({clip.group for clip in clips}) < MIN_GROUPS:
        return None
    split = dataset.read_split(features, "validation")
    heard = [
        drift.of_sound(golden.samples_of(clip, frontend), x)
        for clip, x in zip(track(clips, "profile"), split.x, strict=True)
    ]
    values = {name: np.array([each[name] for each in heard]) for name in heard[0]}
    return Sounds({name: reference(each, split.groups) for name, each in values.items()}, split.groups)


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
    """Divide a statistic's values into parts of about equal size.

    Clips of one group resemble each other, and are worth fewer: their number is divided by the mean design effect of
    the parts' shares, the variance of a share over groups against that of independent clips.

    Parameters
    ----------
    values : np.ndarray, shape (n,)
    groups : np.ndarray, shape (n,), str

    References
    ----------
    Kish, *Survey Sampling* (1965), section 5.4 (design effect of a ratio over clusters).
    """
    inner = np.quantile(values, np.arange(1, PARTS) / PARTS, method="higher")
    edges = np.unique(inner[inner > values.min()])
    within = np.searchsorted(edges, values, side="right")[:, np.newaxis] == np.arange(len(edges) + 1)
    shares = within.mean(axis=0)
    _, membership = np.unique(groups, return_inverse=True)
    excess = np.zeros((membership.max() + 1, len(shares)))
    np.add.at(excess, membership, within - shares)
    spread = len(values) * shares * (1 - shares)
    effects = np.square(excess).sum(axis=0)[spread > 0] / spread[spread > 0]
    effective = len(values) / max(float(effects.mean()) if len(effects) else 1.0, 1.0)
    digits = tuple(float(f"{edge:.9g}") for edge in edges)
    return Reference(digits, tuple(round(float(share), 6) for share in shares), round(effective, 2))
