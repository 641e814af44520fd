"""Rank units by the change of the loss if they were removed, to first order, relative to their layer.

The published criterion is |z · dL/dz| of a unit's output z before its activation, averaged over the batch and the
positions before the absolute value is taken. As z is linear in the weights into the unit, the sum over the positions
of z · dL/dz is the sum over those weights, the bias among them, of w · dL/dw, and no activations need be kept.

Scale and offset of a normalisation that follows count as weights into the unit. Before one that takes its statistics
from the batch, as in training and in ACDNet's code, the sum is 0 whatever the unit does: its scale is divided out.

References
----------
Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017, equations 7, 8.
Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern Recognition 133 (2023), section 4.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.nn.keras import tf
from stages.prune.criteria._common import check_average, relative

GRANULARITY = "unit"


@dataclass(frozen=True)
class Config:
    """Parameters of the Taylor criterion of units.

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
        check_average("filter_taylor", self.momentum, self.warm_up)


def accumulate(config: Config, statistic: "tf.Tensor", weight: "tf.Tensor", gradient: "tf.Tensor") -> "tf.Tensor":
    """Return the running average of w · dL/dw."""
    return config.momentum * statistic + (1 - config.momentum) * (weight * gradient)


def importance(_config: Config, _weights: np.ndarray, statistic: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Return the absolute sum of every row over the L2 norm of them all.

    Examples
    --------
    >>> importance(Config(), np.zeros((2, 2)), np.array([[1.0, 2.0], [-4.0, 0.0]]), np.random.default_rng(0)).tolist()
    [0.6, 0.8]
    """
    return relative(np.abs(statistic.sum(axis=1)))
