"""Rank weights by their absolute value.

References
----------
Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015, section 3.
"""

from dataclasses import dataclass

import numpy as np

GRANULARITY = "weight"


@dataclass(frozen=True)
class Config:
    """Magnitude has no parameters."""


def importance(
    _config: Config, weights: np.ndarray, _statistic: np.ndarray | None, _rng: np.random.Generator
) -> np.ndarray:
    """Return the absolute values of `weights`, of any shape.

    Examples
    --------
    >>> importance(Config(), np.array([[0.3, -0.2], [-0.01, 0.05]]), None, np.random.default_rng(0)).tolist()
    [[0.3, 0.2], [0.01, 0.05]]
    """
    return np.abs(weights)
