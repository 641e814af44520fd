"""Rank units by the L1 norm of their incoming weights, relative to their layer.

References
----------
Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3; relative to the layer's L2 norm as in
Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern Recognition 133 (2023), section 4.
"""

from dataclasses import dataclass

import numpy as np

from stages.prune.criteria._common import relative

GRANULARITY = "unit"


@dataclass(frozen=True)
class Config:
    """The magnitude of units has no parameters."""


def importance(
    _config: Config, weights: np.ndarray, _statistic: np.ndarray | None, _rng: np.random.Generator
) -> np.ndarray:
    """Return the L1 norm of every row over the L2 norm of them all.

    Examples
    --------
    >>> importance(Config(), np.array([[1.0, -2.0], [4.0, 0.0]]), None, np.random.default_rng(0)).tolist()
    [0.6, 0.8]
    """
    return relative(np.abs(weights).sum(axis=1))
