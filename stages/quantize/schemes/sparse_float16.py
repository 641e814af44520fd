"""float16 without the zeros: each weight that is not zero takes 4 bytes, 2 for itself and 2 for where it is.

Pays from a half of zeros on; a tensor that would grow stays dense. LiteRT unpacks and widens the weights when it loads
the model, so latency and memory are those of float32.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes, _sparse, float16

BIT_WIDTH = float16.BIT_WIDTH
NEEDS_CALIBRATION = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the float16 model with its zeros left out."""
    return _sparse.encode(float16.quantize(float16.Config(), float32))


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require the dtypes of float16, and sparse weights wherever that takes fewer bytes.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="sparse_float16",
        ends="float32",
        weights="float16",
        through=[("DEQUANTIZE",), ("DENSIFY", "DEQUANTIZE")],
    )
    _sparse.require_encoded(model, "sparse_float16")
