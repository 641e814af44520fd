"""Weights as int8 per channel, a quarter of the bytes; arithmetic in float32.

Only the rounding of the weights costs accuracy. The interpreter widens them once, when it loads the model, so latency
and memory are those of float32.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes, _quantizer

BIT_WIDTH = 8
NEEDS_CALIBRATION = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the model with int8 weights that are widened before use."""
    from ai_edge_quantizer import recipe

    return _quantizer.apply(recipe.weight_only_wi8_afp32(), float32)


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require float32 at both ends and int8 weights behind a DEQUANTIZE.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="weight_only_wi8_afp32",
        ends="float32",
        weights="int8",
        through=[("DEQUANTIZE",)],
    )
