"""Rank weights at random, the same at every renewal: the control that any other criterion must beat."""

from dataclasses import dataclass

import numpy as np

GRANULARITY = "weight"


@dataclass(frozen=True)
class Config:
    """Random has no parameters; its seed is the fine-tuning's."""


def importance(
    _config: Config, weights: np.ndarray, _statistic: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return random numbers in the shape of `weights`.

    Examples
    --------
    >>> importance(Config(), np.zeros((2, 3)), None, np.random.default_rng(0)).shape
    (2, 3)
    """
    return rng.random(weights.shape, np.float32)
