"""Layers' objectives to round weights by, and the least error of all roundings of a few weights."""

from itertools import product

import numpy as np

from stages.quantize import rounding_error, weight_grid
from stages.quantize.rounding_error import Objective
from stages.quantize.weight_grid import Grid


def problem(
    seed: int, *, rows: int, n_weights: int, filters: int, zeros: float = 0.0, bits: int = 4, gap: float = 0.0
) -> tuple[np.ndarray, Grid, Objective]:
    """Return random weights, their grid, and the objective of correlated inputs."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, n_weights)) @ rng.normal(size=(n_weights, n_weights)) + 1
    weights = rng.normal(size=(filters, n_weights)) * (rng.random((filters, n_weights)) >= zeros)
    found = rounding_error.of_rows(inputs, gap * rng.normal(size=(rows, filters)), centred=True)
    return weights, weight_grid.by_extremes(weights, bits), found


def least(weights: np.ndarray, to: Grid, found: Objective) -> float:
    """Return the least error of one filter over every choice of neighbours on the grid."""
    down = np.clip(np.floor(weights[0] / to.scale[0]), -to.last, to.last - 1)
    choices = [(low, low + 1) if w else (0.0,) for low, w in zip(down, weights[0], strict=True)]
    return min(float(found.error(to.values(np.array([each])) - weights)[0]) for each in product(*choices))
