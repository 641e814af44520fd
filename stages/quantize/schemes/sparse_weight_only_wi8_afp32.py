"""Weights as int8 without the zeros: each that is not zero takes 3 bytes, 1 for itself and 2 for where it is.

Pays from two thirds of zeros on; a tensor that would grow stays dense. LiteRT unpacks and widens the weights when it
loads the model, so latency and memory are those of float32.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes, _sparse, weight_only_wi8_afp32

BIT_WIDTH = weight_only_wi8_afp32.BIT_WIDTH
NEEDS_CALIBRATION = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the weight_only_wi8_afp32 model with its zeros left out."""
    return _sparse.encode(weight_only_wi8_afp32.quantize(weight_only_wi8_afp32.Config(), float32))


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require the dtypes of weight_only_wi8_afp32, and sparse weights wherever that takes fewer bytes.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="sparse_weight_only_wi8_afp32",
        ends="float32",
        weights="int8",
        through=[("DEQUANTIZE",), ("DENSIFY", "DEQUANTIZE")],
    )
    _sparse.require_encoded(model, "sparse_weight_only_wi8_afp32")
