"""Cells of a sweep's grid, the variants of each, and the folders that they are made from."""

from dataclasses import dataclass
from pathlib import Path

from stages.core.training.teacher import TeacherFolder


@dataclass(frozen=True)
class PlannedVariant:
    """A variant that a sweep is to make.

    Attributes
    ----------
    name : str
        Its name in tables, and its file's.
    scheme : str
        Quantisation scheme.
    key : str
        Its key in the store.
    qat_key : str
        Key of the quantisation-aware training that it is made from; empty for post-training quantisation.
    distilled : bool
        Whether its last fine-tuning, the cell's or the quantisation-aware one, also learns from the teacher.
    """

    name: str
    scheme: str
    key: str
    qat_key: str = ""
    distilled: bool = False


@dataclass(frozen=True)
class Cell:
    """One fine-tuning of the grid, and the variants made from it.

    Attributes
    ----------
    name : str
        Name for files, for example ``"polynomial-s0.90-seed1234"``. A criterion other than magnitude comes first, and
        ``distilled`` follows the schedule.
    title : str
        Name for people, for example ``"polynomial s=0.90 seed=1234"``.
    criterion, schedule : str
        Plug-ins of pruning; empty for the baseline, which is not fine-tuned.
    sparsity : float
        Target fraction of zeros, in [0, 1).
    seed : int
        Seed of the fine-tuning.
    key : str
        Key of the fine-tuned network in the store.
    variants : tuple[PlannedVariant, ...]
        One per quantisation scheme.
    distilled : bool
        Whether the fine-tuning also learns from the teacher.
    """

    name: str
    title: str
    criterion: str
    schedule: str
    sparsity: float
    seed: int
    key: str
    variants: tuple[PlannedVariant, ...]
    distilled: bool = False


@dataclass(frozen=True)
class Sources:
    """Outputs of earlier stages that cells are made from.

    Attributes
    ----------
    baseline : Path
        Folder of the trained baseline.
    features : Path
        Folder of the features.
    teacher : TeacherFolder or None
        The teacher's folder and how to learn from it; None without a teacher.
    """

    baseline: Path
    features: Path
    teacher: TeacherFolder | None = None


@dataclass(frozen=True)
class Workspace:
    """Where one fine-tuning works.

    Attributes
    ----------
    folder : Path
        Empty folder that takes its results.
    checkpoint : Path
        File that a killed fine-tuning resumes from.
    threads : int
        Threads of one operator; part of the result.
    """

    folder: Path
    checkpoint: Path
    threads: int
