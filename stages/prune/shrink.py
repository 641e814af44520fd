"""Remove the units of a network that do nothing, exactly: a smaller network that computes the same function.

A unit does nothing if no weight that matters reads it, or if it emits a constant - all its incoming weights are zero,
say - which the layers that read it can take into their biases. That is exact where the constant reaches every position
alike: not where a convolution pads a constant other than 0 with zeros.
"""

from typing import Any

import numpy as np

from stages.core.nn import channels, units
from stages.core.nn.keras import keras, tf
from stages.core.nn.units import FIXED, Step, Walk


def shrink(model: "keras.Model") -> tuple["keras.Model", dict[str, list[int]]]:
    """Return a network without the units that do nothing.

    Constants are followed from the input on, then what matters from the output back. A layer keeps one unit at least.

    Parameters
    ----------
    model : tf_keras.Model
        Functional or sequential, built. Not changed.

    Returns
    -------
    model : tf_keras.Model
        The same function, but for rounding; `model` itself if it has no such unit.
    kept : dict[str, list of int]
        Layer to the units it kept; layers that lost none are left out. `units.keep` builds from it.
    """
    return _Shrinking(model).result()


class _Shrinking:
    def __init__(self, model: "keras.Model") -> None:
        self.model, self.walk = model, Walk(model)
        self.values = {id(v): w for v, w in zip(model.weights, model.get_weights(), strict=True)}
        # Of every tensor, the value on each position of its last axis where it is constant, else NaN.
        self.constants: dict[int, np.ndarray] = {}
        for step in self.walk.steps:
            given = [self.constants[source] for source in step.sources]
            self.constants[step.target] = self._constants(step, given)

    def result(self) -> tuple["keras.Model", dict[str, list[int]]]:
        needed, kept = self._needed(), {}
        for group in self.walk.groups():
            start = self.walk.start(group.name)
            mine = needed[start : start + group.n_units]
            if not mine.any():
                mine[0] = True
            if not mine.all():
                kept[group.name] = np.flatnonzero(mine).tolist()
        if not kept:
            return self.model, {}
        for step in self.walk.steps:
            self._fold(step, needed)
        weights = [self.values[id(v)] for v in self.model.weights]
        return units.keep(self.model, kept, weights=weights), kept

    def _constants(self, step: Step, given: list[np.ndarray]) -> np.ndarray:
        """Return what is constant of a layer's output."""
        layer, kind, x = step.layer, step.kind, given[0] if given else np.zeros(0)
        if kind in ("convolution", "dense"):
            kernel = self._value(layer.kernel).reshape(-1, *layer.kernel.shape[-2:])
            padded = kind == "convolution" and _pads(layer)
            unknown = np.isnan(x) | (padded & (x != 0))
            offset = np.where(unknown, 0, x) @ kernel.sum(axis=0) + self._value(layer.bias)
            return _activate(layer, np.where((kernel[:, unknown] != 0).any(axis=(0, 1)), np.nan, offset))
        if kind == "depthwise":
            m = layer.depth_multiplier
            kernel = self._value(layer.depthwise_kernel).reshape(-1, len(x) * m)
            x = np.repeat(x, m)
            unknown = (np.isnan(x) | (_pads(layer) & (x != 0))) & (kernel != 0).any(axis=0)
            offset = np.where(np.isnan(x), 0, x) * kernel.sum(axis=0) + self._value(layer.bias)
            return _activate(layer, np.where(unknown, np.nan, offset))
        if kind == "normalisation":
            scale = 1 / np.sqrt(self._value(layer.moving_variance).astype(np.float64) + layer.epsilon)
            scale = scale if layer.gamma is None else scale * self._value(layer.gamma)
            known = np.where(np.isnan(x) & (scale == 0), 0, x)
            return (known - self._value(layer.moving_mean)) * scale + self._value(layer.beta)
        if kind == "lstm":
            return np.where(self._never_moves(layer, x), 0.0, np.nan)
        if kind == "elementwise":
            return _activate(layer, x)
        if kind == "padding":
            return np.where(x == 0, x, np.nan)
        if kind == "concatenation":
            return np.concatenate(given)
        if kind in ("pooling", "attention"):  # both return a weighted mean, or one, of what they read
            return x
        if kind == "rearrangement":
            moved = channels.rearranged(layer, x, tuple(layer.input_shape[1:]), tuple(layer.output_shape[1:]))
            if moved is not None:
                return moved
        return np.full(len(step.ids), np.nan)

    def _never_moves(self, layer: "keras.layers.Layer", x: np.ndarray) -> np.ndarray:
        """Return which LSTM cells stay 0: those whose candidate is 0 at every step."""
        cell, n = layer.cell, layer.cell.units
        if channels.activation_of(cell) not in ("tanh", "relu", "linear"):
            return np.zeros(n, bool)
        candidate = slice(2 * n, 3 * n)
        kernel, recurrent = self._value(cell.kernel)[:, candidate], self._value(cell.recurrent_kernel)[:, candidate]
        bias = np.broadcast_to(self._value(cell.bias), 4 * n)[candidate]
        still = (bias == 0) & ~(kernel[x != 0] != 0).any(axis=0)
        while True:
            fewer = still & ~(recurrent[~still] != 0).any(axis=0)
            if (fewer == still).all():
                return still
            still = fewer

    def _needed(self) -> np.ndarray:
        """Return which units some path of weights joins to the output; paths through constants that fold are cut."""
        groups = self.walk.groups()
        removable = np.zeros(self.walk.n_units + 1, bool)
        for group in groups:
            start = self.walk.start(group.name)
            removable[start : start + group.n_units] = True
        needed = ~removable
        reads = [read for step in self.walk.steps for read in self._reads(step)]
        while True:
            before = needed.copy()
            for rows, columns, read in reversed(reads):
                needed[rows[read[:, needed[columns]].any(axis=1)]] = True
            if (needed == before).all():
                return needed

    def _reads(self, step: Step) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the numbers of the units read, of the units that read, and who reads whom, of each kernel."""
        layer, kind = step.layer, step.kind
        if kind not in ("convolution", "dense", "lstm", "attention"):
            return []
        rows, x = step.ids_in[0], self.constants[step.sources[0]]
        kernel = layer.cell.kernel if kind == "lstm" else layer.kernel
        read = (self._value(kernel).reshape(-1, *kernel.shape[-2:]) != 0).any(axis=0)
        read &= ~self._folds(step, x)[:, None]
        if kind == "attention":
            return [(rows, np.array([FIXED]), read)]
        if kind != "lstm":
            return [(rows, step.ids, read)]
        columns = np.tile(step.ids, 4)
        recurrent = self._value(layer.cell.recurrent_kernel) != 0
        recurrent &= (self.constants[step.target] != 0)[:, None]
        return [(rows, columns, read), (step.ids, columns, recurrent)]

    def _folds(self, step: Step, x: np.ndarray) -> np.ndarray:
        """Return which of the constants that a layer reads can go into its bias."""
        if (step.kind == "convolution" and _pads(step.layer)) or self._offset(step) is None:
            return x == 0
        return ~np.isnan(x)

    def _offset(self, step: Step) -> "tuple[tf.Variable, int] | None":
        """Return the variable that takes a constant added to a layer's sums, and the sign it takes it with."""
        layer = step.layer
        bias = layer.cell.bias if step.kind == "lstm" else getattr(layer, "bias", None)
        if bias is not None:
            return bias, 1
        readers = [s for s in self.walk.steps if step.target in s.sources]
        follows = len(readers) == 1 and readers[0].kind == "normalisation" and step.target not in self.walk.outputs
        if step.kind != "lstm" and follows and channels.activation_of(layer) == "linear":
            return readers[0].layer.moving_mean, -1
        return None

    def _fold(self, step: Step, needed: np.ndarray) -> None:
        """Move the constants that a layer no longer reads into its bias."""
        if step.kind not in ("convolution", "dense", "lstm", "attention"):
            return
        x = self.constants[step.sources[0]]
        gone = ~needed[step.ids_in[0]] & ~np.isnan(x) & (x != 0)
        target = self._offset(step)
        if not gone.any() or target is None:
            return
        kernel = self._value(step.layer.cell.kernel if step.kind == "lstm" else step.layer.kernel).astype(np.float64)
        rows = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)[gone]
        variable, sign = target
        old = self.values[id(variable)]
        self.values[id(variable)] = (old + sign * (x[gone] @ rows)).astype(old.dtype)

    def _value(self, variable: Any) -> Any:
        return np.float32(0) if variable is None else self.values[id(variable)]


def _pads(layer: "keras.layers.Layer") -> bool:
    return layer.padding != "valid" and max(layer.kernel_size) > 1


def _activate(layer: "keras.layers.Layer", values: np.ndarray) -> np.ndarray:
    """Apply a layer's activation to what is known."""
    if "Dropout" in type(layer).__name__ or "Noise" in type(layer).__name__:
        return values
    if not channels.is_elementwise(layer):
        return np.full(len(values), np.nan)
    known = tf.constant(np.where(np.isnan(values), 0, values)[None], tf.float32)
    return np.where(np.isnan(values), np.nan, getattr(layer, "activation", layer)(known).numpy()[0])
