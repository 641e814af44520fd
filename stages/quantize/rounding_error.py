"""Error that rounding adds to a layer's output on calibration clips, as a function of the change of its weights.

With inputs x of the float network, inputs x' of the network whose earlier layers are rounded already, weights W and a
change D of them, the output error of a row is (W + D) x' - W x = D x' - W (x - x'). Its mean square over the rows of
the calibration clips is quadratic in D. The part of it that is the same for all clips is left out where the bias takes
it up (`centred`).
"""

from dataclasses import dataclass

import numpy as np

from stages.quantize.weight_layers import Layer, Values

DAMPING = 0.01
"""Penalty on the change of a weight, in mean squares of an input; GPTQ's own default. Without it, a layer with fewer
rows than weights fits the calibration clips alone."""
_CHUNK = 16  # clips at a time


@dataclass(frozen=True)
class Objective:
    """Mean squared output error of each filter: ``|gap - root @ change|² + damping * |change|²``.

    Attributes
    ----------
    root : np.ndarray, shape (k, n_weights)
        Rows of inputs, or a smaller matrix with the same second moments.
    gap : np.ndarray, shape (k, n_filters)
        Error that earlier layers' rounding left, in the terms of `root`.
    damping : float
    mean_input : np.ndarray, shape (n_weights,)
        Mean of x'.
    mean_gap : np.ndarray, shape (n_filters,)
        Mean of W (x - x').
    """

    root: np.ndarray
    gap: np.ndarray
    damping: float
    mean_input: np.ndarray
    mean_gap: np.ndarray

    def error(self, change: np.ndarray) -> np.ndarray:
        """Return the error of each filter, shape (n_filters,), of a change of shape (n_filters, n_weights)."""
        left = self.gap - self.root @ change.T
        return np.asarray((left**2).sum(axis=0) + self.damping * (change**2).sum(axis=1))

    def gradient(self, change: np.ndarray) -> np.ndarray:
        """Return the gradient of `error`, shape (n_filters, n_weights)."""
        left = self.gap - self.root @ change.T
        return np.asarray(2 * (self.damping * change - left.T @ self.root))

    def bias_change(self, change: np.ndarray) -> np.ndarray:
        """Return what a bias must gain for the mean output error of each filter to be 0, shape (n_filters,)."""
        return np.asarray(self.mean_gap - change @ self.mean_input)


def measure(
    layer: Layer, exact: bytes, rounded: bytes, weights: np.ndarray, clips: np.ndarray, *, centred: bool
) -> Objective:
    """Measure a layer's objective on calibration clips.

    Parameters
    ----------
    layer : Layer
    exact : bytes
        The float32 file.
    rounded : bytes
        The same with the weights of earlier layers rounded.
    weights : np.ndarray, shape (n_filters, n_weights)
        The weights of the float32 file.
    clips : np.ndarray, shape (n, ...), float32
    centred : bool
        Whether a bias takes up the mean error.
    """
    values = [(Values(exact, source), Values(rounded, source)) for source in layer.sources]

    def rows(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = [(layer.rows(a.of(chunk)), layer.rows(b.of(chunk))) for a, b in values]
        x, seen = (np.concatenate(each).astype(np.float64) for each in zip(*pairs, strict=True))
        return seen, (x - seen) @ weights.T

    chunks = [clips[i : i + _CHUNK] for i in range(0, len(clips), _CHUNK)]
    n_weights = weights.shape[1]
    first = rows(chunks[0])
    if len(first[0]) * len(clips) < n_weights * len(chunks[0]):
        inputs, gap = (np.concatenate(each) for each in zip(first, *map(rows, chunks[1:]), strict=True))
        return of_rows(inputs, gap, centred=centred)
    second, cross = np.zeros((n_weights, n_weights)), np.zeros((n_weights, len(weights)))
    mean_input, mean_gap, n = np.zeros(n_weights), np.zeros(len(weights)), 0
    for i, chunk in enumerate(chunks):
        inputs, gap = first if i == 0 else rows(chunk)
        second += inputs.T @ inputs
        cross += inputs.T @ gap
        mean_input += inputs.sum(axis=0)
        mean_gap += gap.sum(axis=0)
        n += len(inputs)
    mean_input, mean_gap = mean_input / n, mean_gap / n
    second, cross = second / n, cross / n
    if centred:
        second -= np.outer(mean_input, mean_input)
        cross -= np.outer(mean_input, mean_gap)
    second[np.diag_indices(n_weights)] += _damping(np.diag(second))
    root = np.linalg.cholesky(second).T
    return Objective(root, np.linalg.solve(root.T, cross), 0.0, mean_input, mean_gap)


def of_rows(inputs: np.ndarray, gap: np.ndarray, *, centred: bool) -> Objective:
    """Return the objective of rows of inputs and of the error that each starts with.

    Parameters
    ----------
    inputs : np.ndarray, shape (n, n_weights)
    gap : np.ndarray, shape (n, n_filters)
    centred : bool
        Whether a bias takes up the mean error.
    """
    mean_input, mean_gap = inputs.mean(axis=0), gap.mean(axis=0)
    if centred:
        inputs, gap = inputs - mean_input, gap - mean_gap
    root, gap = inputs / np.sqrt(len(inputs)), gap / np.sqrt(len(gap))
    return Objective(root, gap, _damping((root**2).sum(axis=0)), mean_input, mean_gap)


def _damping(squares: np.ndarray) -> float:
    return float(DAMPING * squares.mean()) or 1.0
