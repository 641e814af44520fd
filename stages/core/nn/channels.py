"""Effects of layers on channels, the last axis of a tensor: kinds of layers, activations and rearrangements."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stages.core.nn.keras import keras

# Layers by what they do to channels; a class that is not here, or a subclass of one that is, is unknown.
KINDS = {
    "InputLayer": "input",
    "Conv1D": "convolution",
    "Conv2D": "convolution",
    "DepthwiseConv1D": "depthwise",
    "DepthwiseConv2D": "depthwise",
    "Dense": "dense",
    "LSTM": "lstm",
    "UnrolledLSTM": "lstm",
    "Attention": "attention",
    "BatchNormalization": "normalisation",
    "PoolAndNormalise": "normalisation",
    "Concatenate": "concatenation",
    "Flatten": "rearrangement",
    "Reshape": "rearrangement",
    "Permute": "rearrangement",
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "GaussianNoise"), "elementwise"),
    **dict.fromkeys(("SpatialDropout1D", "SpatialDropout2D"), "elementwise"),
    **{f"{name}Pooling{n}D": "pooling" for name in ("Max", "Average", "GlobalMax", "GlobalAverage") for n in (1, 2)},
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), "padding"),
}
ELEMENTWISE = frozenset({"linear", "relu", "relu6", "elu", "selu", "gelu", "swish", "tanh", "sigmoid", "softplus"})


def kind_of(layer: "keras.layers.Layer") -> str:
    """Return a layer's kind by its effect on channels: a value of `KINDS`, or ``"unknown"``."""
    kind = KINDS.get(type(layer).__name__, "unknown")
    last_axis_has_channels = getattr(layer, "data_format", None) in (None, "channels_last")
    if not last_axis_has_channels or getattr(layer, "groups", 1) != 1:
        return "unknown"
    if kind in ("normalisation", "concatenation"):
        axes = layer.axis if isinstance(layer.axis, Sequence) else [layer.axis]
        if [axis % len(layer.output_shape) for axis in axes] != [len(layer.output_shape) - 1]:
            return "unknown"
    blends_channels = kind in ("elementwise", "depthwise") and not is_elementwise(layer)
    return "unknown" if blends_channels or getattr(layer, "go_backwards", False) else kind


def rearranged(
    layer: "keras.layers.Layer", values: np.ndarray, before: tuple[int, ...], after: tuple[int, ...]
) -> np.ndarray | None:
    """Move values per channel through a flattening, a reshaping or a permutation.

    Parameters
    ----------
    layer : Flatten, Reshape or Permute
    values : np.ndarray, shape (before[-1],)
    before, after : tuple[int, ...]
        Shapes without the batch axis.

    Returns
    -------
    np.ndarray, shape (after[-1],), or None
        None if it is not the same everywhere along the other axes.
    """
    spread = np.broadcast_to(values, before)
    if type(layer).__name__ == "Permute":
        spread = np.transpose(spread, [axis - 1 for axis in layer.dims])
    rows = spread.reshape(-1, after[-1])
    same = np.array_equal(rows, np.broadcast_to(rows[0], rows.shape), equal_nan=values.dtype.kind == "f")
    return rows[0].copy() if same else None


def activation_of(layer: "keras.layers.Layer") -> str:
    """Return the name of a layer's activation, or ``"linear"``."""
    function: Callable[..., Any] | None = getattr(layer, "activation", None)
    return "linear" if function is None else str(getattr(function, "__name__", "unknown"))


def is_elementwise(layer: "keras.layers.Layer") -> bool:
    """Return whether a layer's activation treats every position alike and alone."""
    return activation_of(layer) in ELEMENTWISE
