"""GPTQ: round one input's weights after the other, and let the weights that are left make up for the error so far.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023,
algorithm 1, in descending order of the inputs' squares. The paper factorises the inverse of the second moments; the
same rounding follows from a factor of the second moments themselves, column by column from its last: it is Babai's
nearest plane (Chen et al., "The Geometry of LLM Quantization: GPTQ as Babai's Nearest Plane Algorithm", 2025). A layer
with fewer rows than weights, such as the first dense layer of the EDAC CNN with 23,000 inputs, has a second form that
needs no matrix of weights by weights.
"""

import numpy as np

from stages.quantize.rounding_error import Objective
from stages.quantize.weight_grid import Grid


def round_weights(weights: np.ndarray, grid: Grid, objective: Objective) -> np.ndarray:
    """Return the integers.

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
    order = np.argsort(-(objective.root**2).sum(axis=0), kind="stable")
    few = objective.damping > 0 and objective.root.shape[0] < objective.root.shape[1]
    integers = np.empty_like(weights)
    integers[:, order] = (_by_rows if few else _by_moments)(weights[:, order], grid, objective, order)
    return integers


def _by_moments(weights: np.ndarray, grid: Grid, objective: Objective, order: np.ndarray) -> np.ndarray:
    root = objective.root[:, order]
    second = root.T @ root
    second[np.diag_indices(len(second))] += objective.damping
    # From the first column on: a lower triangular factor of which the last rows are those of the last columns.
    factor = np.linalg.cholesky(second[::-1, ::-1]).T[::-1, ::-1]
    target = weights + np.linalg.solve(second, root.T @ objective.gap).T
    scale, integers, left = (
        grid.scale[:, 0],
        np.empty_like(weights),
        np.zeros_like(weights.T),
    )  # what each rounded weight lacks
    for i in range(weights.shape[1]):
        wanted = target[:, i] + (factor[i, :i] @ left[:i]) / factor[i, i]
        integers[:, i] = _nearest(wanted, weights[:, i], scale, grid.last)
        left[i] = target[:, i] - integers[:, i] * scale
    return integers


def _by_rows(weights: np.ndarray, grid: Grid, objective: Objective, order: np.ndarray) -> np.ndarray:
    columns = np.ascontiguousarray(objective.root[:, order].T)
    inverse = np.eye(columns.shape[1]) / objective.damping  # of the rows' products over the weights that are left
    gains = np.empty_like(columns)
    for i in reversed(range(len(columns))):
        along = inverse @ columns[i]
        gains[i] = along / (1 + columns[i] @ along)
        inverse -= np.outer(gains[i], along)
    scale, integers, left = grid.scale[:, 0], np.empty_like(weights), objective.gap.copy()
    for i in range(len(columns)):
        wanted = weights[:, i] + gains[i] @ left
        integers[:, i] = _nearest(wanted, weights[:, i], scale, grid.last)
        left -= np.outer(columns[i], integers[:, i] * scale - weights[:, i])
    return integers


def _nearest(wanted: np.ndarray, weights: np.ndarray, scale: np.ndarray, last: int) -> np.ndarray:
    return np.where(weights == 0, 0.0, np.clip(np.rint(wanted / scale), -last, last))
