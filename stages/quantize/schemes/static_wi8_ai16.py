"""Full integer with finer activations: int8 weights per channel, int16 activations, int16 input and output.

For networks that lose too much in 8 bits: activations are 256 times finer, weights and bytes are those of
static_wi8_ai8. It is slow: XNNPACK has no kernels for it and LiteRT's plain ones take over, 50 times slower than int8
on the EDAC CNN (`python -m tests.bench.schemes`).
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.ranges import Ranges
from stages.quantize.schemes import _dtypes, _quantizer
from stages.quantize.schemes._static import StaticConfig

BIT_WIDTH = 8
NEEDS_CALIBRATION = True


@dataclass(frozen=True)
class Config(StaticConfig):
    """Where the ranges come from."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | Ranges | None) -> bytes:
    """Return the model in integers only.

    Parameters
    ----------
    config : Config
    float32 : bytes
    calibration : np.ndarray, shape (n, ...), float32, or Ranges
        Features of training clips, or the ranges themselves.

    Raises
    ------
    DataError
        If there are no calibration clips.
    """
    from ai_edge_quantizer import recipe

    return _quantizer.static(
        "static_wi8_ai16", recipe.static_wi8_ai16(), float32, calibration, method=config.calibration, bits=16
    )


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require int16 at both ends, int8 weights, and no float anywhere.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="static_wi8_ai16",
        ends="int16",
        weights="int8",
        allowed={"int16", "int8", "int32", "int64", "bool"},
    )
