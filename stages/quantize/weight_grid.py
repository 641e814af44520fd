"""Grid that weights are rounded to: symmetric integers, a scale for each filter."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Symmetric integers times a scale of each filter.

    Attributes
    ----------
    largest : np.ndarray, shape (n_filters, 1), float32
        Largest magnitude of each filter.
    last : int
        Integer that stands for it; the smallest is its negative.
    """

    largest: np.ndarray
    last: int

    @property
    def scale(self) -> np.ndarray:
        """Scale of each filter, shape (n_filters, 1): a float32, as files store it, in float64."""
        return (self.largest / np.float32(self.last)).astype(np.float64)

    def nearest(self, weights: np.ndarray) -> np.ndarray:
        """Return the nearest integers.

        Examples
        --------
        >>> Grid(np.array([[3.5]], np.float32), 7).nearest(np.array([[0.8, -9.0]])).tolist()
        [[2.0, -7.0]]
        """
        return np.clip(np.rint(weights / self.scale), -self.last, self.last)

    def values(self, integers: np.ndarray) -> np.ndarray:
        """Return the weights that integers stand for, float32 in float64."""
        return (integers * self.scale).astype(np.float32).astype(np.float64)


def by_extremes(weights: np.ndarray, bits: int) -> Grid:
    """Return the grid whose last integer is the largest magnitude of each filter.

    Parameters
    ----------
    weights : np.ndarray, shape (n_filters, n_weights)
    bits : int

    Examples
    --------
    >>> by_extremes(np.array([[3.5, -7.0]]), 4).scale.tolist()
    [[1.0]]
    """
    largest = np.abs(weights).max(axis=1, keepdims=True)
    return Grid(np.maximum(largest, 1e-9).astype(np.float32), 2 ** (bits - 1) - 1)
