"""Fold the batch normalisation that the converter leaves: a product and a sum for every value, and in integers two more
roundings.

The converter folds a normalisation into the convolution or dense layer right before it. Here it goes back through a
pooling to such a layer, or forward into the layers that read it: where an activation stands before it, say. Both are
exact but for rounding, and are done only where they are: not back through a maximum if a scale is negative, not forward
into a convolution that pads with zeros what the normalisation shifts.

References
----------
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018,
section 3.2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.nn.channels import activation_of, rearranged
from stages.core.nn.keras import keras
from stages.core.nn.units import Step, Walk

_LINEAR = ("convolution", "dense", "depthwise")


def fold_normalisation(model: "keras.Model") -> "keras.Model":
    """Return a network that computes the same without the normalisations that can be folded.

    Parameters
    ----------
    model : tf_keras.Model
        Functional or sequential, built. Not changed.

    Returns
    -------
    tf_keras.Model
        Uncompiled, for inference; `model` itself if there is nothing to fold.
    """
    return _Folding(model).result()


@dataclass(frozen=True)
class _Read:
    """A layer that reads normalised values: which of the normalisation's channels stands at each of its inputs."""

    step: Step
    channels: np.ndarray


class _Folding:
    def __init__(self, model: "keras.Model") -> None:
        self.model, self.walk = model, Walk(model)
        self.values = {id(v): w.astype(np.float64) for v, w in zip(model.weights, model.get_weights(), strict=True)}
        self.biased: dict[str, np.ndarray] = {}  # layer without a bias to the one it gets
        self.folded = {s.layer.name for s in self.walk.steps if type(s.layer).__name__ == "BatchNormalization"}
        for step in self.walk.steps:
            if step.layer.name in self.folded and not (step.kind == "normalisation" and self._fold(step)):
                self.folded.remove(step.layer.name)

    def result(self) -> "keras.Model":
        if not self.folded:
            return self.model

        def copy(layer: "keras.layers.Layer") -> "keras.layers.Layer":
            if layer.name in self.folded:
                return keras.layers.Activation("linear", name=layer.name)
            changed = {"use_bias": True} if layer.name in self.biased else {}
            return type(layer).from_config(layer.get_config() | changed)

        model = keras.models.clone_model(self.model, clone_function=copy)
        for layer in self.model.layers:
            if layer.name not in self.folded:
                weights = [self.values[id(v)] for v in layer.weights]
                added = [self.biased[layer.name]] if layer.name in self.biased else []
                model.get_layer(layer.name).set_weights(weights + added)
        return model

    def _fold(self, step: Step) -> bool:
        """Fold a normalisation, y = scale x + shift, into the layer before it or those after it; return whether so."""
        layer = step.layer
        scale = 1 / np.sqrt(self.values[id(layer.moving_variance)] + layer.epsilon)
        scale = scale if layer.gamma is None else scale * self.values[id(layer.gamma)]
        shift = -scale * self.values[id(layer.moving_mean)]
        shift = shift if layer.beta is None else shift + self.values[id(layer.beta)]
        maker, distance = self._maker(step, bool((scale > 0).all()))
        if maker is not None:
            if distance:
                self._rescale(maker, scale, shift)
            return distance > 0  # right before it: the converter's part
        reads = self._reads(step.target, np.arange(len(scale)), scale, shift)
        for read in reads or ():
            self._absorb(read, scale, shift)
        return bool(reads)

    def _maker(self, step: Step, rising: bool) -> tuple[Step | None, int]:
        """Return the layer whose sums are normalised, if no more than poolings stand between, and how many do."""
        makers = {s.target: s for s in self.walk.steps}
        distance = 0
        while (maker := makers[step.sources[0]]).kind in ("pooling", "elementwise"):
            if not _commutes(maker, rising) or not self._alone(maker.target):
                return None, 0
            step, distance = maker, distance + 1
        linear = maker.kind in _LINEAR and activation_of(maker.layer) == "linear"
        return (maker, distance) if linear and self._alone(maker.target) else (None, 0)

    def _alone(self, tensor: int) -> bool:
        return tensor not in self.walk.outputs and sum(tensor in s.sources for s in self.walk.steps) == 1

    def _rescale(self, maker: Step, scale: np.ndarray, shift: np.ndarray) -> None:
        layer = maker.layer
        kernel = layer.depthwise_kernel if maker.kind == "depthwise" else layer.kernel
        self.values[id(kernel)] *= scale.reshape(kernel.shape[-2:]) if maker.kind == "depthwise" else scale
        self._add(layer, lambda bias: scale * bias + shift, len(scale))

    def _reads(self, tensor: int, channels: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> list[_Read] | None:
        """Return every layer that reads a normalised tensor, or None if one cannot take the normalisation in."""
        readers = [s for s in self.walk.steps if tensor in s.sources]
        if tensor in self.walk.outputs or not readers:
            return None
        found: list[_Read] = []
        for step in readers:
            layer, kind = step.layer, step.kind
            shifted, passes, places = bool(shift.any()), False, channels
            if kind in (*_LINEAR, "lstm"):
                if shifted and getattr(layer, "padding", "valid") != "valid" and max(layer.kernel_size) > 1:
                    return None
                if shifted and kind == "lstm" and layer.cell.bias is None:
                    return None
            elif kind in ("pooling", "elementwise"):
                passes = _commutes(step, bool((scale > 0).all()))
            elif kind == "rearrangement":
                moved = rearranged(layer, channels, tuple(layer.input_shape[1:]), tuple(layer.output_shape[1:]))
                passes, places = moved is not None, channels if moved is None else moved
            elif kind == "padding":
                passes = not shifted
            elif kind == "attention":  # a mean of the steps: it takes the scores' part, and passes the values on
                passes = True
            if kind in (*_LINEAR, "lstm", "attention"):
                found.append(_Read(step, channels))
            elif not passes:
                return None
            if passes:
                further = self._reads(step.target, places, scale, shift)
                if further is None:
                    return None
                found += further
        return found

    def _absorb(self, read: _Read, scale: np.ndarray, shift: np.ndarray) -> None:
        layer, kind = read.step.layer, read.step.kind
        scale, shift = scale[read.channels], shift[read.channels]
        owner = layer.cell if kind == "lstm" else layer
        kernel = layer.depthwise_kernel if kind == "depthwise" else owner.kernel
        values = self.values[id(kernel)]
        sums = values.reshape(-1, *values.shape[-2:]).sum(axis=0)
        offset = (shift[:, None] * sums).ravel() if kind == "depthwise" else shift @ sums
        self.values[id(kernel)] = values * scale[:, None]
        if shift.any():
            self._add(owner, lambda bias: bias + offset, len(offset))

    def _add(self, layer: "keras.layers.Layer", change: Any, width: int) -> None:
        if layer.bias is not None:
            self.values[id(layer.bias)] = change(self.values[id(layer.bias)])
        else:
            self.biased[layer.name] = change(self.biased.get(layer.name, np.zeros(width)))


def _commutes(step: Step, rising: bool) -> bool:
    """Return whether a layer between may change places with a product and a sum per channel."""
    name = type(step.layer).__name__
    if step.kind == "pooling":
        return "Average" in name or rising
    linear = name == "Activation" and activation_of(step.layer) == "linear"
    return linear or "Dropout" in name or "Noise" in name
