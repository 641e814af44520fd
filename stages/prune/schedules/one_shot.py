"""Prune to the full sparsity at the first step, with masks that stay; the remaining steps recover.

References
----------
Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015, section 3, one
round of it.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """One shot has no parameters."""


def sparsity_at(_config: Config, target: float, _n_steps: int, _n_units: int) -> Callable[[int], tuple[bool, float]]:
    """Return the schedule as the contract of this folder has it.

    Examples
    --------
    >>> at = sparsity_at(Config(), 0.8, 10, 0)
    >>> at(1), at(2)
    ((True, 0.8), (False, 0.8))
    """
    return lambda step: (step == 1, target)
