"""Full integer: int8 weights per channel, int8 activations, int8 input and output; ranges from training clips.

Probabilities leave as int8 with scale 1/256 and zero point -128, the form LiteRT fixes for sigmoid and softmax.
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
        "static_wi8_ai8", recipe.static_wi8_ai8(), float32, calibration, method=config.calibration, bits=8
    )


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require int8 at both ends and in the weights, and no float anywhere.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="static_wi8_ai8",
        ends="int8",
        weights="int8",
        allowed={"int8", "int32", "int64", "bool"},
    )
