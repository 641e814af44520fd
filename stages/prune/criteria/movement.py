"""Rank weights by their movement away from zero in fine-tuning: the sum of -w · dL/dw over the steps.

Here a masked weight is zero while it is masked, where the paper keeps its value and learns a score from the gradient of
the masked product; it seldom returns.

References
----------
Sanh et al., "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS 2020, section 3, equation 3.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.nn.keras import tf
from stages.prune.criteria._common import check_average

GRANULARITY = "weight"


@dataclass(frozen=True)
class Config:
    """Parameters of the movement criterion.

    Attributes
    ----------
    warm_up : int
        Steps without pruning before the first choice.
    """

    warm_up: int = 10

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_average("movement", 0.0, self.warm_up)


def accumulate(_config: Config, statistic: "tf.Tensor", weight: "tf.Tensor", gradient: "tf.Tensor") -> "tf.Tensor":
    """Return the sum of -w · dL/dw."""
    return statistic - weight * gradient


def importance(_config: Config, _weights: np.ndarray, statistic: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Return the sum.

    Examples
    --------
    >>> importance(Config(), np.zeros(2), np.array([0.2, -0.1]), np.random.default_rng(0)).tolist()
    [0.2, -0.1]
    """
    return statistic
