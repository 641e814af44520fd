"""Round the weights of a float32 file layer by layer, each to the least error of its output on calibration clips."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.project.errors import require
from stages.quantize import adaround, equalisation, gptq, rounding_error, weight_grid, weight_layers
from stages.quantize.rounding_error import Objective
from stages.quantize.weight_grid import Grid

Method = Callable[[np.ndarray, Grid, Objective], np.ndarray]
METHODS: Mapping[str, Method | None] = {
    "nearest": None,
    "adaround": adaround.round_weights,
    "gptq": gptq.round_weights,
}


@dataclass(frozen=True)
class PostTraining:
    """Parameters of the rounding of weights to fewer than 8 bits.

    Attributes
    ----------
    weight_rounding : {"nearest", "adaround", "gptq"}
        How weights are rounded: each to the nearest, or all of a layer to the least error of its output on the
        calibration clips, by AdaRound or by GPTQ.
    bias_correction : bool
        Whether biases take up the mean error that rounding adds to each filter's output on the calibration clips.
    equalisation : {"none", "weights", "activations"}
        Whether the channels between two layers are scaled first so that few bits serve all of them alike: by the
        weights on both sides, or by the activations on calibration clips too. See `stages.quantize.equalisation`.
    """

    weight_rounding: str = "nearest"
    bias_correction: bool = False
    equalisation: str = "none"

    def __post_init__(self) -> None:
        """Check the methods."""
        known = self.weight_rounding in METHODS
        require(known, "quantize.weight_rounding", f"be one of {', '.join(METHODS)}", self.weight_rounding)
        known = self.equalisation in equalisation.METHODS
        require(known, "quantize.equalisation", f"be one of {', '.join(equalisation.METHODS)}", self.equalisation)

    @property
    def needs_clips(self) -> bool:
        """Whether calibration clips are needed."""
        return self.rounds_by_clips or self.equalisation == "activations"

    @property
    def rounds_by_clips(self) -> bool:
        """Whether weights are rounded otherwise than each to the nearest."""
        return self.weight_rounding != "nearest" or self.bias_correction


@dataclass(frozen=True)
class Rounded:
    """A float32 file whose weights lie on a grid.

    Attributes
    ----------
    float32 : bytes
    largest : Mapping[str, np.ndarray]
        Name of each rounded kernel to the largest magnitude of the grid of each of its filters, float32, of the
        kernel's rank.
    """

    float32: bytes
    largest: Mapping[str, np.ndarray]


def to_nearest(config: Any) -> Any:
    """Return a scheme's config with plain rounding to the nearest; sizes and QAT do not depend on it."""
    return replace(config, **asdict(PostTraining())) if isinstance(config, PostTraining) else config


def round_weights(float32: bytes, clips: np.ndarray, bits: Mapping[str, int], params: PostTraining) -> Rounded:
    """Round the weights of layers that a scheme stores in few bits.

    Layers are rounded in the order in which they run; each sees its inputs as the layers before leave them. A filter
    whose error on the clips is larger than that of rounding to the nearest is rounded to the nearest.

    Parameters
    ----------
    float32 : bytes
    clips : np.ndarray, shape (n, ...), float32
    bits : Mapping[str, int]
        Names of kernels to the bits of their weights; others are left as they are.
    params : PostTraining

    Returns
    -------
    Rounded
    """
    constants, current = flatbuffer.float_constants(float32), float32
    method, largest = METHODS[params.weight_rounding], {}
    for layer in weight_layers.find(float32):
        if layer.kernel not in bits:
            continue
        kernel = constants[layer.kernel]
        weights = kernel.reshape(len(kernel), -1).astype(np.float64)
        bias = layer.bias if params.bias_correction else None
        measured = rounding_error.measure(layer, float32, current, weights, clips, centred=bias is not None)
        to = weight_grid.by_extremes(weights, bits[layer.kernel])
        integers = to.nearest(weights)
        if method is not None:
            found = method(weights, to, measured)
            better = measured.error(to.values(found) - weights) < measured.error(to.values(integers) - weights)
            integers = np.where(better[:, np.newaxis], found, integers)
        values = to.values(integers)
        changed = {layer.kernel: values.reshape(kernel.shape).astype(np.float32)}
        if bias is not None:
            change = measured.bias_change(values - weights)
            changed[bias] = (constants[bias] + change).astype(np.float32)
        current = flatbuffer.with_float_constants(current, changed)
        largest[layer.kernel] = to.largest.reshape(-1, *[1] * (kernel.ndim - 1))
    return Rounded(current, largest)
