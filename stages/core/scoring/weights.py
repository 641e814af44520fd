"""Weights of clips for many resamples at once, kept per group: the clips of a group always have the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

_PART = 1 << 19  # weights of clips at a time: 4 MB, which stays in a processor's cache
_PRODUCT = 1 << 22  # weights of groups at a time: 32 MB


@dataclass(frozen=True)
class GroupWeights:
    """Weights of n clips in every row of a resampling; multiplies and sums as the matrix (n_rows, n) would.

    Attributes
    ----------
    of_groups : np.ndarray, shape (n_rows, n_groups)
        Weight of the clips of each group.
    group_of : np.ndarray, shape (n,), int
        Group of each clip.

    >>> weights = GroupWeights(np.array([[1, 1], [0, 2]]), np.array([0, 0, 1]))
    >>> (weights @ np.array([1.0, 2.0, 4.0])).tolist(), weights.sum().tolist()
    ([7.0, 8.0], [3.0, 2.0])
    """

    of_groups: np.ndarray
    group_of: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.of_groups)

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted sums of values, (n,) to (n_rows,), or (n, k) to (n_rows, k): summed by group first."""
        n_groups = self.of_groups.shape[1]
        columns = values.reshape(len(values), -1).T
        sums = np.stack([np.bincount(self.group_of, weights=column, minlength=n_groups) for column in columns], axis=1)
        rows = max(1, _PRODUCT // max(n_groups, 1))
        parts = [self.of_groups[i : i + rows].astype(np.float64) @ sums for i in range(0, len(self), rows)]
        return np.concatenate(parts).reshape(len(self), *values.shape[1:])

    def sum(self, axis: int = -1) -> np.ndarray:
        """Return the sum of the clips' weights in every row; `axis` is the last, as NumPy's callers say it."""
        assert axis in (-1, 1)
        return self @ np.ones(len(self.group_of))

    def take(self, clips: np.ndarray, axis: int = -1) -> np.ndarray:
        """Return the weights of some clips, (n_rows, len(clips)); `axis` is the last."""
        assert axis in (-1, 1)
        return self.of_groups.take(self.group_of[clips], axis=1)

    def restricted(self, clips: np.ndarray | slice) -> "GroupWeights":
        """Return the weights of some clips only."""
        return GroupWeights(self.of_groups, self.group_of[clips])

    def parts(self) -> Iterator["GroupWeights"]:
        """Yield a few rows at a time, in float64."""
        rows = max(1, _PART // max(len(self.group_of), 1))
        for start in range(0, len(self), rows):
            yield GroupWeights(self.of_groups[start : start + rows].astype(np.float64), self.group_of)


Weights = np.ndarray | GroupWeights
"""An array (..., n) with the weights of n clips, or `GroupWeights`."""


def in_parts(weights: Weights, figure: Callable[[Weights], np.ndarray]) -> np.ndarray:
    """Compute figures (..., n_rows) of a few rows at a time, so that what they need stays in the cache.

    >>> in_parts(np.ones((2, 3)), lambda weights: weights.sum(axis=-1)).tolist()
    [3.0, 3.0]
    """
    if isinstance(weights, np.ndarray):
        return figure(weights)
    return np.concatenate([figure(part) for part in weights.parts()], axis=-1)
