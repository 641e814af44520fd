"""Inputs and outputs of a teacher. There is no test split here, and no path leads to one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.dataset import Split
from stages.core.audio import decode
from stages.core.project import lazy
from stages.core.project.errors import DataError
from stages.runtime.audio import clip
from stages.runtime.hearing import DEFAULT, Hearing

if TYPE_CHECKING:
    from sklearn import model_selection
else:
    model_selection = lazy.module("sklearn.model_selection")

SideName = Literal["train", "validation"]
SIDES: tuple[SideName, ...] = ("train", "validation")


@dataclass(frozen=True)
class Side:
    """One side of the split.

    Attributes
    ----------
    split : Split
        The student's features, with those of augmented and masked copies.
    paths : tuple[Path, ...]
        Audio file of each clip; a masked copy's is the one that it masks.
    clip_s : float
        Length of a clip (seconds).
    align : {"start", "middle"}
        Where a recording of another length is cut or padded; see `stages.runtime.audio.fit_length`.
    spans : tuple
        Start and end of each clip in its file (seconds), or None for the whole file; empty if all are whole files.
    hearing : Hearing
        Rules by which recordings are heard.
    """

    split: Split
    paths: tuple[Path, ...]
    clip_s: float
    align: str
    spans: tuple[tuple[float, float] | None, ...] = ()
    hearing: Hearing = DEFAULT

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.split)

    def clip_samples(self, sample_rate: int) -> int:
        """Return the length of every clip at a rate (Hz)."""
        return round(self.clip_s * sample_rate)

    def waveforms(self, sample_rate: int, first: int = 0) -> Iterator[np.ndarray]:
        """Yield every clip in the order of `split`, cut or padded as the front end does it.

        Parameters
        ----------
        sample_rate : int
            To resample to (Hz).
        first : int
            Clip to begin with.

        Yields
        ------
        np.ndarray, shape (clip_samples(sample_rate),), float32
            Samples in [-1, 1]; for a masked copy, the same object as for the clip before.

        Raises
        ------
        DataError
            If a file is missing or cannot be decoded.
        """
        last, waveform = None, np.empty(0, np.float32)
        spans = self.spans or (None,) * len(self.paths)
        for part in list(zip(self.paths, spans, strict=True))[first:]:
            if part != last:  # masked copies follow what they mask
                path, span = part
                samples = decode.load(path, sample_rate, self.hearing, span)
                last, waveform = part, clip(samples, self.clip_samples(sample_rate), self.align, self.hearing)
            yield waveform


@dataclass(frozen=True)
class TeacherInputs:
    """Both sides of the split that a teacher is trained on and scores.

    Attributes
    ----------
    train, validation : Side
        No group is on both.
    labels : tuple[str, ...]
        In output order; the positive class of a binary task is last.
    multi_label : bool
        True if a clip may have several labels.
    """

    train: Side
    validation: Side
    labels: tuple[str, ...]
    multi_label: bool

    def __post_init__(self) -> None:
        """Check that no group is in both splits."""
        common = set(self.train.split.groups) & set(self.validation.split.groups)
        if common:
            raise DataError(
                f"A teacher must not learn from a group that it answers for; got {str(min(common))!r} in both the "
                "training and the validation split. Run `dvc repro split` again."
            )

    @property
    def n_outputs(self) -> int:
        """Number of logits per clip: 1 for a binary task, else one per label."""
        return 1 if len(self.labels) == 2 and not self.multi_label else len(self.labels)

    def sides(self) -> Iterator[tuple[str, Side]]:
        """Yield the name of each side and the side."""
        yield "train", self.train
        yield "validation", self.validation

    def require_labels(self, labels: Sequence[str], teacher: str) -> None:
        """Check that a teacher's labels are the task's, in the task's order.

        Parameters
        ----------
        labels : Sequence[str]
        teacher : str
            Name of the teacher for the message, such as its folder.

        Raises
        ------
        DataError
            If they are not.
        """
        if tuple(labels) != self.labels:
            raise DataError(
                f"{teacher} must answer for the labels {', '.join(self.labels)}, in this order; it answers for "
                f"{', '.join(labels)}. Choose a teacher of the same task, or train one for this task."
            )


@dataclass(frozen=True)
class TeacherOutputs:
    """Logits of a teacher for both sides, and facts about it.

    Attributes
    ----------
    logits : Mapping
        ``"train"`` and ``"validation"`` to (n, `TeacherInputs.n_outputs`) float32, in the order of the clips: before
        the softmax, or before the sigmoid of each class; for a binary task one column, the positive class's logit less
        the negative's.
    labels : tuple[str, ...]
        Labels of the columns; for a binary task both, the positive last.
    sha256 : str
        Digest of everything that its outputs depend on besides the clips.
    about : Mapping
        For `teacher.json`: at least `kind`, and, where it is known, `parameters`, `bytes`, `licence` and
        `cpu_seconds_per_second`, of audio.
    embeddings : Mapping
        Either side to (n, d) float32, for `distill.hidden_cosine`; empty if there are none.
    """

    logits: Mapping[str, np.ndarray]
    labels: tuple[str, ...]
    sha256: str
    about: Mapping[str, Any]
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_inputs(features: Path) -> TeacherInputs:
    """Read what a teacher is given from a features folder and the audio files that its table names.

    Raises
    ------
    DataError
        If the folder is incomplete, or if a group is on two sides.
    """
    train, validation = (_read_side(features, name) for name in SIDES)
    return TeacherInputs(train, validation, train.split.labels, train.split.multi_label)


def _read_side(features: Path, name: SideName) -> Side:
    frontend, clips = frontend_file.read(features), clips_file.read(features, name)
    return Side(
        dataset.read_split(features, name),
        tuple(clip.path for clip in clips),
        clip_s=frontend.clip_s,
        align=frontend.align,
        spans=tuple(clip.span for clip in clips),
        hearing=frontend.hearing,
    )


def parts(split: Split, n: int, *, seed: int, owner: str) -> list[np.ndarray]:
    """Divide the clips into n parts of whole groups; a single-label task has every class spread over them.

    Parameters
    ----------
    split : Split
    n : int
        Number of parts.
    seed : int
    owner : str
        Name of the parameter that holds `n`, for the message.

    Returns
    -------
    list of np.ndarray, int
        Row numbers of each part.

    Raises
    ------
    DataError
        If a class has fewer groups than there are to be parts.
    """
    for label, has in zip(split.labels, dataset.indicators(split.y, len(split.labels)).T, strict=True):
        n_groups = len(np.unique(split.groups[has == 1]))
        if n_groups < n:
            raise DataError(
                f"{owner} must be at most the number of groups of each class; got {n}, and {label!r} has {n_groups} in "
                "the training split. Lower it."
            )
    folds = (model_selection.GroupKFold if split.multi_label else model_selection.StratifiedGroupKFold)(
        n, shuffle=True, random_state=seed
    )
    return [part for _, part in folds.split(split.x, split.y, split.groups)]
