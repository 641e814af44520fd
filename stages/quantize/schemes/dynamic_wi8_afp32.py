"""Dynamic range: int8 weights per channel, activations float32 in the file and quantised as each clip passes."""

from dataclasses import dataclass

import numpy as np

from stages.core import flatbuffer
from stages.quantize.schemes import _dtypes, _quantizer

BIT_WIDTH = 8
NEEDS_CALIBRATION = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the model with int8 weights."""
    from ai_edge_quantizer import recipe

    return _quantizer.apply(recipe.dynamic_wi8_afp32(), float32)


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require float32 at both ends and int8 weights.

    Raises
    ------
    ModelError
    """
    _dtypes.require(flatbuffer.read(model), scheme="dynamic_wi8_afp32", ends="float32", weights="int8")
