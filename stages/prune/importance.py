"""Masks that keep the most important weights or units, by a partition in linear time."""

import math
from collections.abc import Sequence
from itertools import repeat

import numpy as np

SAMPLE = 2**16  # of a kernel's weights, to find near which value its threshold lies


def most_important(
    importances: Sequence[np.ndarray],
    sparsity: float,
    scope: str = "layer",
    *,
    min_kept: int = 1,
    round_up_to: int = 1,
    scales: Sequence[float] | None = None,
) -> list[np.ndarray]:
    """Return masks that keep the most important weights or units.

    Parameters
    ----------
    importances : Sequence of np.ndarray, each of shape (n,)
        Importance of each weight of a kernel, or of each unit of a layer.
    sparsity : float
        Fraction to prune, in [0, 1): of each array, or of all together.
    scope : {"layer", "global"}
    min_kept : int
        Number kept of each array in any case.
    round_up_to : int
        Multiple to which the number kept of each array is rounded up.
    scales : Sequence[float] or None
        Multiplier on the sparsity of each array; scope ``"layer"`` only.

    Returns
    -------
    list of np.ndarray, bool
        Masks of the same shapes, True where kept. Ties keep the first.

    Examples
    --------
    >>> [mask.tolist() for mask in most_important([np.array([3.0, 1.0, 2.0, 0.0])], 0.5)]
    [[True, False, True, False]]
    """
    if scope == "layer":
        counts = [_n_kept(i.size, sparsity * scale) for i, scale in zip(importances, scales or repeat(1), strict=False)]
        return [_largest(i, _round_up(max(n, min_kept), round_up_to)) for i, n in zip(importances, counts, strict=True)]
    together = np.concatenate(importances).astype(np.float32, copy=False)
    bounds = np.cumsum([importance.size for importance in importances])[:-1]
    for part, importance in zip(np.split(together, bounds), importances, strict=True):
        part[_largest(importance, min_kept)] = np.inf
    n = max(_n_kept(together.size, sparsity), min_kept * len(importances))
    masks = np.split(_largest(together, n), bounds)
    if round_up_to == 1:
        return masks
    return [_largest(i, _round_up(int(mask.sum()), round_up_to)) for i, mask in zip(importances, masks, strict=True)]


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _n_kept(size: int, sparsity: float) -> int:
    return max(int(np.round(np.float32(size) * (1 - np.float32(sparsity)))), 1)  # in float32, as tfmot rounds


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Return the mask of the n largest of `values`, shape (size,).

    Only the values near the threshold are partitioned; a sample brackets it (Floyd, Rivest, "Expected time bounds for
    selection", Communications of the ACM 18(3), 1975, section 2). Where the sample misleads, all are partitioned.
    """
    n = min(n, values.size)
    low, high = _bracket(values, n)
    mask = values > high
    near = np.flatnonzero((values < low) == mask)
    missing = n - np.count_nonzero(mask)
    if not 0 < missing <= near.size:
        near, missing, mask = np.arange(values.size), np.intp(n), np.zeros(values.size, bool)
    candidates = values[near]
    threshold = np.partition(candidates, near.size - missing)[near.size - missing]
    mask[near[candidates > threshold]] = True
    mask[near[candidates == threshold][: n - np.count_nonzero(mask)]] = True
    return mask


def _bracket(values: np.ndarray, n: int) -> tuple[float, float]:
    """Return two bounds that almost surely bracket the n-th largest value."""
    sample = values[:: values.size // SAMPLE | 1]  # odd, so that no row of a power of two is always left out
    share = n / values.size
    middle, spread = sample.size * (1 - share), 4 * math.sqrt(sample.size * share * (1 - share)) + 1
    first, last = int(middle - spread), int(middle + spread)
    if first < 0 or last >= sample.size:
        return -math.inf, math.inf
    ordered = np.partition(sample, [first, last])
    return ordered[first], ordered[last]
