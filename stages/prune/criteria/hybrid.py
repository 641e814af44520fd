"""Rank units by the L1 norm of those of their weights that survive pruning by magnitude.

The network is fine-tuned while its weights are pruned, layer by layer, so that the few that are left come to carry what
it does; then whole units are ranked by them. The pruned weights then take their values in the given network again, so
that the remaining units are dense, and fine-tuning continues.

References
----------
Mou and Milanova, "Performance Analysis of Deep Learning Model-Compression Techniques for Audio Classification on Edge
Devices", Sci 6(2), 2024, section 3; Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern
Recognition 133 (2023), section 4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.core.project.errors import require
from stages.prune.criteria._common import relative

GRANULARITY = "unit"


@dataclass(frozen=True)
class Config:
    """Parameters of the hybrid criterion.

    Attributes
    ----------
    weight_sparsity : float
        Fraction of each layer's weights, in [0, 1), that has no say.
    first : float
        Fraction of the steps, in [0, 1), in which these are pruned before the first unit goes; 0 ranks as they are.
    """

    weight_sparsity: float = 0.95
    first: float = 0.3

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner, advice = "prune.options.hybrid.weight_sparsity", "Write 0.95 for 95 %."
        require(0 <= self.weight_sparsity < 1, owner, "be a fraction in [0, 1)", self.weight_sparsity, advice)
        require(0 <= self.first < 1, "prune.options.hybrid.first", "be a fraction in [0, 1)", self.first)


def weights_first(config: Config, n_steps: int) -> tuple[int, Callable[[int], tuple[bool, float]]]:
    """Prune the weights in ten rounds over the first two thirds of these steps, a cubic from 0 to `weight_sparsity`.

    Examples
    --------
    >>> n, at = weights_first(Config(weight_sparsity=0.8, first=0.3), 100)
    >>> n, at(20)
    (30, (True, 0.8))
    """
    n = round(config.first * n_steps)
    ramp = max(2 * n // 3, 1)

    def at(step: int) -> tuple[bool, float]:
        done = min(step, ramp) / ramp
        due = step <= ramp and (10 * step) // ramp > (10 * (step - 1)) // ramp
        return due, config.weight_sparsity * (1 - (1 - done) ** 3)

    return n, at


def importance(
    config: Config, weights: np.ndarray, _statistic: np.ndarray | None, _rng: np.random.Generator
) -> np.ndarray:
    """Return the L1 norm of what survives of every row over the L2 norm of them all.

    Examples
    --------
    >>> weights = np.array([[3.0, -1.0], [4.0, 1.0]])
    >>> importance(Config(weight_sparsity=0.5), weights, None, np.random.default_rng(0)).tolist()
    [0.6, 0.8]
    """
    magnitude = np.abs(weights)
    threshold = np.quantile(magnitude, config.weight_sparsity)
    return relative(np.where(magnitude >= threshold, magnitude, 0).sum(axis=1))
