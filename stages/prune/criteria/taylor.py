"""Rank weights by the change of the loss if they were removed, to first order: |w · dL/dw|, averaged over batches.

A masked weight is zero and counts for nothing, so it seldom returns.

References
----------
Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017, equation 7, here
of single weights; the running average as in Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR
2019, section 4.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.nn.keras import tf
from stages.prune.criteria._common import check_average

GRANULARITY = "weight"


@dataclass(frozen=True)
class Config:
    """Parameters of the Taylor criterion.

    Attributes
    ----------
    momentum : float
        Momentum of the running average over the batches, in [0, 1).
    warm_up : int
        Steps without pruning before the first choice.
    """

    momentum: float = 0.9
    warm_up: int = 10

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_average("taylor", self.momentum, self.warm_up)


def accumulate(config: Config, statistic: "tf.Tensor", weight: "tf.Tensor", gradient: "tf.Tensor") -> "tf.Tensor":
    """Return the running average of |w · dL/dw|."""
    return config.momentum * statistic + (1 - config.momentum) * abs(weight * gradient)


def importance(_config: Config, _weights: np.ndarray, statistic: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Return the running average.

    Examples
    --------
    >>> importance(Config(), np.zeros(2), np.array([0.2, 0.1]), np.random.default_rng(0)).tolist()
    [0.2, 0.1]
    """
    return statistic
