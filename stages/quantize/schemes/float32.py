"""No quantisation: the float32 flatbuffer as it was converted."""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes

BIT_WIDTH = 32
NEEDS_CALIBRATION = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the flatbuffer unchanged."""
    return float32


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require float32 at both ends and in all weights, and no narrower number anywhere.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="float32",
        ends="float32",
        weights="float32",
        allowed={"float32", "int32", "int64", "bool"},
    )
