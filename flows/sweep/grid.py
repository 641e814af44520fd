"""What the grid consists of: cells, and the variants of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """A variant to be.

    Attributes
    ----------
    name, scheme : str
    key : str
        In the store.
    aware : str
        Key of the quantisation-aware fine-tuning it is made of; empty for one that is quantised as it is.
    distilled : bool
        Whether the last fine-tuning, this one or the cell's, learns from the teacher too.
    """

    name: str
    scheme: str
    key: str
    aware: str = ""
    distilled: bool = False


@dataclass(frozen=True)
class Cell:
    """One fine-tuning, and the variants made of it.

    Attributes
    ----------
    name : str
        For file names, e.g. ``"polynomial-s0.90-seed1234"``; a criterion other than magnitude stands before it, and
        ``distilled`` after the schedule.
    title : str
        For people, e.g. ``"polynomial s=0.90 seed=1234"``.
    criterion, schedule : str
        Empty for the baseline, which is not fine-tuned.
    sparsity : float
        A fraction in [0, 1).
    seed : int
    key : str
        Of the fine-tuned network in the store.
    variants : tuple[Planned, ...]
    distilled : bool
        Whether the fine-tuning learns from the teacher too.
    """

    name: str
    title: str
    criterion: str
    schedule: str
    sparsity: float
    seed: int
    key: str
    variants: tuple[Planned, ...]
    distilled: bool = False
