"""Groups left out and groups drawn anew, as weights, so that a metric sees all of them at once."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.core.scoring.weights import GroupWeights

MIN_GROUPS = 10
MIN_GROUPS_OF_CLASS = 3
FEW_GROUPS = 30
_BLOCK = 4_000_000  # draws made at a time: 32 MB
_MOST_LEFT_OUT = 1000


@functools.lru_cache(maxsize=16)
def group_draws(n_groups: int, *, resamples: int, seed: int) -> np.ndarray:
    """Draw whole groups with replacement, as often as there are groups; drawn once in a process for all variants.

    Clips of one speaker or recording resemble each other; drawing clips one by one would make intervals too narrow.
    See Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8.

    Parameters
    ----------
    n_groups : int
    resamples : int
    seed : int

    Returns
    -------
    np.ndarray, shape (resamples, n_groups), unsigned int
        How often each group is part of each resample; read-only.

    >>> group_draws(3, resamples=5, seed=0).sum(axis=1).tolist()
    [3, 3, 3, 3, 3]
    """
    rng, rows = np.random.default_rng(seed), max(1, _BLOCK // max(n_groups, 1))
    even = np.full(n_groups, 1 / n_groups)
    parts = [rng.multinomial(n_groups, even, size=min(rows, resamples - i)) for i in range(0, resamples, rows)]
    smallest = np.min_scalar_type(max((part.max() for part in parts), default=0))
    draws = np.concatenate([np.zeros((0, n_groups), smallest), *(part.astype(smallest) for part in parts)])
    draws.flags.writeable = False
    return draws


def few_groups(n_groups: int) -> str:
    """Return a warning about figures that rest on few groups; empty from `FEW_GROUPS` on.

    >>> few_groups(4)
    '4 groups are too few for an interval (10 are needed): the figures may be chance.'
    >>> few_groups(163)
    ''
    """
    if n_groups < MIN_GROUPS:
        return f"{n_groups} groups are too few for an interval ({MIN_GROUPS} are needed): the figures may be chance."
    if n_groups < FEW_GROUPS:
        return f"{n_groups} groups are few: the intervals are wide, and the truth may lie anywhere in them."
    return ""


@dataclass(frozen=True)
class Measured:
    """One figure: of all clips, with each group left out, and of each bootstrap resample.

    Attributes
    ----------
    value : float
    left_out : np.ndarray, shape (n_left_out,)
    resampled : np.ndarray, shape (resamples,)
        NaN where a resample leaves the figure undefined.
    """

    value: float
    left_out: np.ndarray
    resampled: np.ndarray

    def __sub__(self, other: "Measured") -> "Measured":
        """Return the difference of two figures of the same draws."""
        return Measured(self.value - other.value, self.left_out - other.left_out, self.resampled - other.resampled)


@dataclass(frozen=True)
class Draws:
    """Groups of clips, and the draws from them that uncertainty is computed from.

    Attributes
    ----------
    groups : np.ndarray, shape (n,), str
    has : np.ndarray, shape (n, n_classes), 0 or 1
        Which classes each clip has; of a multi-label task, also which it has not.
    resamples : int
        Bootstrap resamples.
    seed : int

    >>> draws = Draws(np.array(["a", "a", "b"]), np.eye(2)[[0, 0, 1]], resamples=100, seed=1)
    >>> mean = draws.measure(lambda weights: weights @ np.array([1.0, 1.0, 0.0]) / weights.sum(axis=-1))
    >>> round(mean.value, 3), mean.left_out.tolist(), mean.resampled.shape
    (0.667, [0.0, 1.0], (100,))
    """

    groups: np.ndarray
    has: np.ndarray
    resamples: int
    seed: int

    @classmethod
    def of(cls, y: np.ndarray, groups: np.ndarray, n_classes: int, *, resamples: int, seed: int) -> "Draws":
        """Make draws for labels, (n,) int or of a multi-label task (n, n_classes)."""
        has = np.hstack([y, 1 - y]) if y.ndim == 2 else np.eye(n_classes, dtype=np.int64)[y]
        return cls(groups, has, resamples, seed)

    @cached_property
    def _names(self) -> tuple[np.ndarray, np.ndarray]:
        names, membership = np.unique(self.groups, return_inverse=True)
        return names, membership

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self._names[0])

    @cached_property
    def _held(self) -> np.ndarray:
        """Clips of each group and class, (n_groups, n_classes)."""
        held = np.zeros((self.n_groups, self.has.shape[1]))
        np.add.at(held, self._names[1], self.has)
        return held

    @cached_property
    def rarest_class_groups(self) -> int:
        """Groups that hold the rarest of the classes that are present."""
        found = (self._held > 0).sum(axis=0)
        return int(found[found > 0].min(initial=self.n_groups))

    def effective_groups(self, *, by_class: bool) -> int:
        """Return how many groups a figure rests on; one that compares classes, on as many of each as of the rarest."""
        return min(2 * self.rarest_class_groups, self.n_groups) if by_class else self.n_groups

    def refusal(self, *, by_class: bool) -> str:
        """Say why no interval can be given; empty if one can.

        Parameters
        ----------
        by_class : bool
            Whether the figure compares classes, so that the rarest class limits what it tells.
        """
        if self.n_groups < MIN_GROUPS:
            return f"{self.n_groups} groups; an interval needs {MIN_GROUPS}"
        if by_class and self.rarest_class_groups < MIN_GROUPS_OF_CLASS:
            return f"{self.rarest_class_groups} groups of a class; an interval needs {MIN_GROUPS_OF_CLASS}"
        return ""

    @cached_property
    def _parts(self) -> np.ndarray:
        """Which left-out part each group is in: one of its own, or from a thousand groups on, dealt out by stratum."""
        order = np.argsort(self._held.argmax(axis=1), kind="stable")
        parts = np.empty(self.n_groups, int)
        parts[order] = np.arange(self.n_groups) % min(self.n_groups, _MOST_LEFT_OUT)
        return parts

    @cached_property
    def strata(self) -> np.ndarray:
        """The most frequent class of each left-out part, (n_left_out,)."""
        held = np.zeros((self._parts.max() + 1, self._held.shape[1]))
        np.add.at(held, self._parts, self._held)
        return held.argmax(axis=1)

    @cached_property
    def weights(self) -> GroupWeights:
        """Weights of all rows: all clips, then each part left out, then the resamples."""
        draws = group_draws(self.n_groups, resamples=self.resamples, seed=self.seed)
        kept = self._parts != np.arange(len(self.strata))[:, np.newaxis]
        rows = [np.ones((1, self.n_groups), draws.dtype), kept.astype(draws.dtype), draws]
        return GroupWeights(np.concatenate(rows), self._names[1])

    def split(self, values: np.ndarray) -> Measured:
        """Return the figures of all rows of `weights`, (1 + n_left_out + resamples,), by what they are."""
        end = 1 + len(self.strata)
        return Measured(float(values[0]), values[1:end], values[end:])

    def measure(self, figure: Callable[[GroupWeights], np.ndarray]) -> Measured:
        """Compute a figure of weights, (n_rows,), on every row."""
        return self.split(figure(self.weights))
