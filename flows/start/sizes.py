"""Bytes and operations of a network's files, known before training: they follow from its shape alone."""

import bisect
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.project.errors import ParameterError
from stages.core.project.params import Options
from stages.features.params import FeatureParams
from stages.quantize import convert
from stages.quantize.params import QuantizeParams
from stages.quantize.post_training import to_nearest

if TYPE_CHECKING:
    from stages.core.nn.keras import keras

WIDTHS = tuple(round(0.01 * step, 2) for step in range(10, 401))
"""Widths that are tried: 0.1 to 4 in steps of 0.01."""


@dataclass(frozen=True)
class Size:
    """Cost of a model file.

    Attributes
    ----------
    raw_bytes : int
    multiply_adds : int
        Multiply-adds of one clip.
    parameters : int
        Parameters of the network.
    """

    raw_bytes: int
    multiply_adds: int
    parameters: int


@dataclass(frozen=True)
class Shape:
    """Shapes of a network's input and output.

    Attributes
    ----------
    features : tuple of int
        Shape of one clip's features.
    n_classes : int
    """

    features: tuple[int, ...]
    n_classes: int


def shape(features: FeatureParams, n_classes: int) -> Shape:
    """Return what a network reads with these features: of crops, one.

    Parameters
    ----------
    features : FeatureParams
    n_classes : int
    """
    frontend, config = features.configure()
    clip = tuple(frontend.feature_shape(config))
    if hasattr(frontend, "crops"):
        _, length = frontend.crops(config)
        clip = (length or clip[0], *clip[1:])
    return Shape(clip, n_classes)


def build(architecture: str, options: Options, shape: Shape) -> "keras.Model":
    """Return a network with fresh weights; see `stages.core.nn.network.build`."""
    return network.build(architecture, {architecture: options}, shape.features, shape.n_classes)[0]


def measure(model: "keras.Model", schemes: Sequence[str], quantize: QuantizeParams | None = None) -> dict[str, Size]:
    """Convert a network as the sweep would and return what each scheme's file takes.

    Raw bytes do not depend on the weights as long as no two of a network's tensors are equal, of which the converter
    keeps one: fresh zeros and ones are replaced by random numbers here, and the network is not to be used afterwards.

    Parameters
    ----------
    model : tf_keras.Model
    schemes : sequence of str
    quantize : QuantizeParams or None

    Returns
    -------
    dict of str to Size
        By scheme.
    """
    quantize = quantize or QuantizeParams()
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.05, 0.15, weight.shape).astype(np.float32) for weight in model.get_weights()])
    float32 = convert.to_float32(model)
    clips = rng.normal(-40, 15, (4, *model.input_shape[1:])).astype(np.float32)
    found = {}
    for name in schemes:
        module, config = quantize.scheme(name)
        content = module.quantize(to_nearest(config), float32, clips if module.NEEDS_CALIBRATION else None)
        found[name] = Size(len(content), flops(float32), int(model.count_params()))
    return found


def widest(
    architecture: str, shape: Shape, *, raw_bytes: float, scheme: str, options: Options | None = None
) -> tuple[float, Size]:
    """Return the largest width of an architecture whose file keeps within a limit, and what that file takes.

    Parameters
    ----------
    architecture : str
        One with a parameter `width`.
    shape : Shape
    raw_bytes : float
    scheme : str
    options : dict or None
        Its other parameters.

    Raises
    ------
    ParameterError
        If even the narrowest is too large.
    """

    def made(width: float) -> "keras.Model":
        return build(architecture, (options or {}) | {"width": width}, shape)

    def size(width: float) -> Size:
        return measure(made(width), [scheme])[scheme]

    bits = QuantizeParams().scheme(scheme)[0].BIT_WIDTH
    guess = functools.cache(lambda width: _guess(made(width), bits))
    known: dict[float, Size] = {}
    offset = 0.0  # of the last file that was made from its guess
    while True:
        too_wide = min((width for width, found in known.items() if found.raw_bytes > raw_bytes), default=np.inf)
        below = bisect.bisect_left(WIDTHS, too_wide)
        fitting = bisect.bisect_right(WIDTHS, raw_bytes - offset, hi=below, key=guess)
        width = WIDTHS[max(0, fitting - 1)]
        if width in known:
            break
        known[width] = size(width)
        offset = known[width].raw_bytes - guess(width)
    if known[width].raw_bytes > raw_bytes:
        raise ParameterError(
            f"the size budget must be at least the {known[width].raw_bytes:,} bytes of {architecture} in {scheme} "
            f"at its narrowest, width {width:g}; got {raw_bytes:,.0f}. Raise the budget."
        )
    return width, known[width]


def _guess(model: "keras.Model", bits: int) -> float:
    """Return about how many bytes a network takes: weights of so many bits, the scales of its channels, the graph."""
    channels = sum(layer.output_shape[-1] for layer in model.layers if hasattr(layer, "kernel") or _is_depthwise(layer))
    return float(model.count_params()) * bits / 8 + 24 * channels + 7500


def _is_depthwise(layer: "keras.layers.Layer") -> bool:
    return hasattr(layer, "depthwise_kernel")
