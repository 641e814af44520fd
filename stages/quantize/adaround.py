"""AdaRound: learn for each weight whether it is rounded up or down.

Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, equations 21 to 24: a rectified
sigmoid between the two neighbours on the grid, pushed to either end by a regulariser whose exponent falls. The layer's
error is a quadratic function of its weights (`stages.quantize.rounding_error`), so that each step sees all
calibration clips and a thousand steps do for the paper's ten thousand. The activation function is not part of it.
"""

import numpy as np

from stages.quantize.rounding_error import Objective
from stages.quantize.weight_grid import Grid

STEPS = 1000
LEARNING_RATE = 0.02
REGULARISATION = 0.1
WARM_UP = 0.2
"""Fraction of the steps before the regulariser begins."""
EXPONENTS = 20.0, 2.0
"""Exponents of the regulariser at its beginning and at its end."""
STRETCH = -0.1, 1.1
"""Ends that the sigmoid is stretched to before it is clipped to 0 and 1."""


def round_weights(weights: np.ndarray, grid: Grid, objective: Objective) -> np.ndarray:
    """Return the integers, each one of the two neighbours of its weight.

    Parameters
    ----------
    weights : np.ndarray, shape (n_filters, n_weights)
        Weights that are 0 stay 0: they were pruned.
    grid : Grid
    objective : Objective

    Returns
    -------
    np.ndarray, shape (n_filters, n_weights), whole numbers as float64
    """
    low, high = STRETCH
    scale = grid.scale
    down = np.clip(np.floor(weights / scale), -grid.last, grid.last - 1)
    start = np.clip(weights / scale - down, 0.01, 0.99)
    logits = np.log((start - low) / (high - start))
    size = float(((objective.root**2).sum() + objective.damping) / weights.shape[1]) * scale**2
    mean, square = np.zeros_like(logits), np.zeros_like(logits)
    for step in range(STEPS):
        sigmoid = 1 / (1 + np.exp(-logits))
        up = np.clip(sigmoid * (high - low) + low, 0, 1)
        slope = np.where((up > 0) & (up < 1), sigmoid * (1 - sigmoid) * (high - low), 0)
        gradient = objective.gradient((down + up) * scale - weights) * scale / size
        done = (step / STEPS - WARM_UP) / (1 - WARM_UP)
        if done >= 0:
            first, last = EXPONENTS
            exponent = last + (first - last) * (1 + np.cos(np.pi * done)) / 2
            away = 2 * up - 1
            gradient -= 2 * REGULARISATION * exponent * np.abs(away) ** (exponent - 1) * np.sign(away)
        gradient *= slope
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        logits -= LEARNING_RATE * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return np.where(weights == 0, 0.0, down + (logits >= -np.log(-(low - 0.5) / (high - 0.5))))
