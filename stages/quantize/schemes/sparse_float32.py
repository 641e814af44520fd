"""float32 without the zeros: each weight that is not zero takes 6 bytes, 4 for itself and 2 for where it is.

Pays from a third of zeros on; a tensor that would grow stays dense, so that of a network with few zeros this is the
float32 file. LiteRT unpacks the weights when it loads the model, so latency and memory are those of float32.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes, _sparse

BIT_WIDTH = 32
NEEDS_CALIBRATION = False


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the float32 model with its zeros left out."""
    return _sparse.encode(float32)


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require the dtypes of float32, and sparse weights wherever that takes fewer bytes.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="sparse_float32",
        ends="float32",
        weights="float32",
        through=[_dtypes.PLAIN, ("DENSIFY",)],
    )
    _sparse.require_encoded(model, "sparse_float32")
