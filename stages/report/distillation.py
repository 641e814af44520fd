"""Compare a teacher with its students on the validation split, beside published tables of a teacher and its students.

`edac table distillation` prints it from the folders of the last `dvc repro`. A teacher never scores the test split; the
students' test figures are in `models/evaluation/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import rel_entr

from stages.core.artifacts import dataset
from stages.core.artifacts import evaluation as evaluation_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import teacher as teacher_file
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.teacher import TeacherReport
from stages.core.artifacts.variant import read_variants
from stages.core.project import lazy
from stages.core.project.errors import DataError
from stages.core.scoring import thresholds
from stages.core.scoring.interval import DASH
from stages.core.scoring.thresholds import Threshold
from stages.core.training.teacher import softened
from stages.report.document import Document, Section
from stages.report.paper import Paper

if TYPE_CHECKING:
    from sklearn import metrics as sklearn_metrics
else:
    sklearn_metrics = lazy.module("sklearn.metrics")

HALF_A_STEP = 2.0**-9  # of an 8-bit score, as which a student's 0 counts: its KL would be infinite


@dataclass(frozen=True)
class Row:
    """Size, speed and metrics of one model on the validation split.

    Attributes
    ----------
    name : str
    parameters : int or None
        Number of parameters before quantisation; None if unknown.
    raw_bytes, deflated_bytes : int or None
    cpu_ms : float or None
        Time per second of audio; for a student that of its file alone, the median on one thread.
    accuracy, precision, recall, f1, roc_auc : float or None
        Precision and recall are the positive class's of a binary task, at the model's threshold; with more classes all
        are means over the classes present. None if undefined.
    kl : float
        Kullback-Leibler divergence from the teacher's probabilities (nats), the mean over clips, and over classes of
        a multi-label task.
    """

    name: str
    parameters: int | None
    raw_bytes: int | None
    deflated_bytes: int | None
    cpu_ms: float | None
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    kl: float


@dataclass(frozen=True)
class Folders:
    """Output folders of the stages distill, features, sweep and evaluate."""

    teacher: Path
    features: Path
    sweep: Path
    evaluation: Path


def collect(folders: Folders) -> tuple[list[Row], int]:
    """Read the rows of the teacher and of every variant, and the number of validation clips.

    Raises
    ------
    DataError
        If there is no teacher, or no sweep yet.
    """
    path, sweep = folders.teacher / teacher_file.FILE, folders.sweep / "variants.json"
    teacher = teacher_file.read(folders.teacher) if path.is_file() else TeacherReport(teacher=None)
    if teacher.validation is None:
        raise DataError(f"{path} names no teacher. Set distill.teacher in params.yaml and run `dvc repro evaluate`.")
    if not sweep.is_file():
        raise DataError(f"{sweep} does not exist. Run `dvc repro evaluate` first.")
    clip_s = frontend_file.read(folders.features).clip_s
    y = dataset.read_labels(folders.features, "validation").y
    logits = np.load(folders.teacher / "logits_validation.npy")
    clips = _Clips(y, softened(logits, 1.0, y.ndim == 2))
    about = teacher.about
    cpu = about.get("cpu_seconds_per_second")
    size = about.get("parameters"), about.get("bytes"), None, None if cpu is None else 1000 * cpu
    name = f"teacher: {about['kind']}"
    rows = [clips.row(name, size, clips.taught, None, teacher.validation.pooled)]
    latencies = evaluation_file.latencies(folders.evaluation)
    for variant in read_variants(sweep):
        scores = np.load(folders.sweep / "scores" / f"{variant.name}.npz")["validation"]
        ms = latencies.get(variant.name)
        judged, cpu_ms = variant.metrics["validation"], None if ms is None else ms / clip_s
        its_size = variant.parameters, variant.raw_bytes, variant.deflated_bytes, cpu_ms
        rows.append(clips.row(variant.name, its_size, scores, judged.threshold, judged.pooled))
    return rows, len(y)


@dataclass(frozen=True)
class _Clips:
    """Labels of the clips and the teacher's probabilities, (n, n_outputs)."""

    y: np.ndarray
    taught: np.ndarray

    def row(
        self,
        name: str,
        size: tuple[int | None, int | None, int | None, float | None],
        scores: np.ndarray,
        threshold: Threshold | None,
        judged: Mapping[str, Estimate],
    ) -> Row:
        flat = scores.reshape(len(self.y), -1)
        decided = thresholds.predict(flat[:, 0] if flat.shape[1] == 1 else scores, self._threshold(threshold))
        figures = {name: judged[name].value for name in ("accuracy", "f1", "roc_auc")}
        precision, recall = precision_and_recall(self.y, decided, binary=flat.shape[1] == 1)
        kl = divergence(self.taught, flat, multi_label=self.y.ndim == 2)
        return Row(name, *size, figures["accuracy"], precision, recall, figures["f1"], figures["roc_auc"], kl)

    def _threshold(self, threshold: Threshold | None) -> Threshold | None:
        return [thresholds.DEFAULT_THRESHOLD] * self.y.shape[1] if threshold is None and self.y.ndim == 2 else threshold


def precision_and_recall(y: np.ndarray, predicted: np.ndarray, *, binary: bool) -> tuple[float, float]:
    """Return both, of two classes the positive one's, else the means over the classes present."""
    present = [i for i in range(y.shape[1]) if y[:, i].any()] if y.ndim == 2 else np.unique(y)
    average, labels = ("binary", None) if binary else ("macro", present)
    precision, recall, _, _ = sklearn_metrics.precision_recall_fscore_support(
        y, predicted, average=average, labels=labels, zero_division=0
    )
    return float(precision), float(recall)


def divergence(taught: np.ndarray, scores: np.ndarray, *, multi_label: bool) -> float:
    """Return KL(teacher || student) in nats, the mean over clips and, of sigmoids, over outputs.

    Parameters
    ----------
    taught, scores : np.ndarray, shape (n, n_outputs)
        Probabilities.
    multi_label : bool
    """
    if multi_label or scores.shape[1] == 1:
        taught, scores = np.stack([taught, 1 - taught], axis=-1), np.stack([scores, 1 - scores], axis=-1)
    return float(rel_entr(taught.astype(np.float64), np.where(scores == 0, HALF_A_STEP, scores)).sum(axis=-1).mean())


def document(rows: Sequence[Row], n: int, paper: Paper) -> Document:
    """Put our table of teacher and students together with the published ones.

    Parameters
    ----------
    rows : Sequence[Row]
    n : int
        Number of clips in the validation split.
    paper : Paper
    """
    head = [field.name for field in fields(Row)]
    note = f"The validation split, n = {n}; `cpu_ms` per second of audio, `kl` in nats."
    sections = [Section(head, [list(map(_shown, asdict(row).values())) for row in rows], after=note)]
    for table in paper.tables:
        lines = [(row.name, *row.published) for row in table.rows]
        about = f"Published: {table.title}. {' '.join(table.how.split())}"
        sections.append(Section(["Model", *(column.name for column in table.columns)], lines, before=about))
    return Document("", "", sections, (), [asdict(row) for row in rows])


def _shown(value: str | int | float | None) -> str:
    if value is None:
        return DASH
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
