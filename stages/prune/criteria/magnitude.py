"""Weights nearest to zero go first.

References
----------
Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015, section 3.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Config:
    """Magnitude has no parameters."""


def importance(config: Config, weights: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Return the absolute values of `weights`, of any shape."""
    return np.abs(weights)
