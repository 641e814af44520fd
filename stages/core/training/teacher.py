"""The `distill` section of `params.yaml`, and the teacher's folder that students read."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from stages.core.artifacts import teacher as teacher_file
from stages.core.artifacts.dataset import Split
from stages.core.artifacts.teacher import Teacher
from stages.core.project import files
from stages.core.project.errors import DataError, require
from stages.core.project.params import Options


@dataclass(frozen=True)
class Distillation:
    """Parameters of knowledge distillation: the teacher, and the weights of its part of the loss.

    Attributes
    ----------
    teacher : str or None
        Teacher: a file of `stages/distill/teachers/`. None: no teacher.
    seed : int
        Seed of the teacher's training.
    threads : int
        Threads of one operator in the teacher's training; part of the result.
    options : dict
        Teacher's name to its parameters.
    train : bool
        Whether the baseline is distilled, if there is a teacher; `sweep.distilled` says so for fine-tunings.
    temperature : float
        Temperature T of the softmax, above 0 and at most 100.
    alpha : float
        Weight of the cross-entropy with the targets, in [0, 1]; the teacher's logits have the rest. A term of weight 0
        is not computed: 1, with the two below at 0, trains without a teacher.
    feature_penalty : float
        Weight of the mean square of the encoder's output, as for wav2vec 2.0's feature encoder (Baevski et al.,
        arXiv:2006.11477, 2020, in the code published with it).
    hidden_cosine : float
        Weight of 1 minus the cosine similarity between the input of the student's last layer and the teacher's
        embedding. Where the widths differ, a learned projection maps the former; it is dropped after training. The
        embeddings' mean over the training split is subtracted first, as it would dominate the cosine.
    """

    teacher: str | None = None
    seed: int = 1234
    threads: int = 2
    options: Options = field(default_factory=dict)
    train: bool = True
    temperature: float = 2.0
    alpha: float = 0.5
    feature_penalty: float = 0.0
    hidden_cosine: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.seed >= 0, "distill.seed", "be 0 or more", self.seed)
        require(self.threads >= 1, "distill.threads", "be at least 1", self.threads)
        temperature = self.temperature
        require(0 < temperature <= 100, "distill.temperature", "be above 0 and at most 100", temperature, "Try 2.0.")
        advice = "1 learns from the targets alone."
        require(0 <= self.alpha <= 1, "distill.alpha", "be a fraction in [0, 1]", self.alpha, advice)
        for name in ("feature_penalty", "hidden_cosine"):
            require(getattr(self, name) >= 0, f"distill.{name}", "be 0 (off) or more", getattr(self, name))

    @property
    def enabled(self) -> bool:
        """Whether there is a teacher and any of its terms has a weight."""
        return self.teacher is not None and (self.alpha < 1 or self.feature_penalty > 0 or self.hidden_cosine > 0)


@dataclass(frozen=True)
class TeacherTargets:
    """The teacher's outputs for the clips of the training split.

    Attributes
    ----------
    rule : Distillation
        Weights of the loss.
    logits : np.ndarray, shape (n, n_outputs), float32
        Logits, one column for a binary task.
    embeddings : np.ndarray, shape (n, d), float32
        Embeddings of mean 0; d is 0 if `hidden_cosine` is off.
    """

    rule: Distillation
    logits: np.ndarray
    embeddings: np.ndarray

    def columns(self, *, multi_label: bool) -> np.ndarray:
        """Return probabilities at the temperature, then embeddings: shape (n, n_outputs + d), float32.

        They are blended as the targets are.
        """
        return np.concatenate([softened(self.logits, self.rule.temperature, multi_label), self.embeddings], axis=1)


def softened(logits: np.ndarray, temperature: float, multi_label: bool) -> np.ndarray:
    """Return the probabilities of logits at a temperature: softmax, or a sigmoid for each output.

    Parameters
    ----------
    logits : np.ndarray, shape (n, n_outputs)
    temperature : float
    multi_label : bool
        A sigmoid for each output; a single output has one anyway.

    Returns
    -------
    np.ndarray, shape (n, n_outputs), float32

    Examples
    --------
    >>> softened(np.array([[0.0, 0.0]]), 2.0, multi_label=False).tolist()
    [[0.5, 0.5]]
    """
    z = logits / np.float64(temperature)
    exclusive = logits.shape[1] > 1 and not multi_label
    return (scipy.special.softmax(z, axis=1) if exclusive else scipy.special.expit(z)).astype(np.float32)


@dataclass(frozen=True)
class TeacherFolder:
    """The folder that the stage `distill` writes, and the weights of the loss.

    Attributes
    ----------
    folder : Path
        Folder of `teacher.json`, `logits_train.npy` and, for some teachers, `embeddings_train.npy`.
    rule : Distillation
        Weights of the loss.
    """

    folder: Path
    rule: Distillation

    def identity(self) -> list[Any]:
        """Return everything of the teacher that can change a student, for the student's key.

        Raises
        ------
        DataError
            If the folder is incomplete.
        """
        rule = self.rule
        outputs = [self._file("logits_train"), *([self._file("embeddings_train")] if rule.hidden_cosine else [])]
        numbers = (rule.temperature, rule.alpha, rule.feature_penalty, rule.hidden_cosine)
        return [*numbers, *map(files.sha256, outputs), asdict(self.provenance())]

    def targets(self, split: Split) -> TeacherTargets:
        """Read the teacher's outputs for the training split.

        Raises
        ------
        DataError
            If the folder is incomplete or belongs to other clips, or if embeddings are missing.
        """
        logits, embeddings = np.load(self._file("logits_train")), np.zeros((len(split), 0), np.float32)
        if self.rule.hidden_cosine:
            embeddings = np.load(self._file("embeddings_train"))
            embeddings = embeddings - embeddings.mean(axis=0)
        labels = teacher_file.read(self.folder).labels
        if len(logits) != len(split) or labels != split.labels:
            raise DataError(
                f"{self.folder} must answer for the {len(split)} training clips of {', '.join(split.labels)}; it "
                f"answers for {len(logits)} of {', '.join(labels)}. Run `dvc repro distill` again."
            )
        return TeacherTargets(self.rule, logits, embeddings)

    def provenance(self) -> Teacher:
        """Return the teacher's kind and licence, for the description of a student's network."""
        return teacher_file.read(self.folder).named

    def _file(self, name: str) -> Path:
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            cosine = " Of a teacher without embeddings, set distill.hidden_cosine to 0." if "embeddings" in name else ""
            raise DataError(f"{self.folder} holds no {path.name}. Run `dvc repro distill` first.{cosine}")
        return path


def teacher_folder(folder: Path, rule: Distillation) -> TeacherFolder | None:
    """Return the teacher's folder, or None without a teacher or where all of its terms have weight 0."""
    return TeacherFolder(folder, rule) if rule.enabled else None
