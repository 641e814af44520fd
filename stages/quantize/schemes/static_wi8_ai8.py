"""Full integer: int8 weights per channel, int8 activations, int8 input and output; ranges from training clips.

Probabilities leave as int8 with scale 1/256 and zero point -128, the form LiteRT fixes for sigmoid and softmax.
"""

from dataclasses import dataclass

import numpy as np

from stages.core import flatbuffer
from stages.core.errors import DataError
from stages.quantize.schemes import _dtypes, _quantizer

BIT_WIDTH = 8
NEEDS_CALIBRATION = True


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None) -> bytes:  # noqa: ARG001
    """Return the model in integers only.

    Parameters
    ----------
    config : Config
    float32 : bytes
    calibration : np.ndarray, shape (n, ...), float32
        Features of training clips.

    Raises
    ------
    DataError
        If there are no calibration clips.
    """
    from ai_edge_quantizer import recipe

    if calibration is None or not len(calibration):
        raise DataError(
            "static_wi8_ai8 must be given calibration clips; got none. Pass features of the training split."
        )
    return _quantizer.apply(recipe.static_wi8_ai8(), float32, calibration)


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
