"""Full integer with int4 weights: convolutions and fully connected operators in int4 per channel, all else int8.

LiteRT has int4 kernels for CONV_2D and FULLY_CONNECTED alone; the weights of depthwise and transposed convolutions stay
int8. Scales are per channel: blocks of a channel have no static form.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.ranges import Ranges
from stages.quantize.schemes import _dtypes, _quantizer
from stages.quantize.schemes._static import StaticConfig

BIT_WIDTH = 4
NEEDS_CALIBRATION = True
_NARROW = ("CONV_2D", "FULLY_CONNECTED")


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
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    manager.add_static_config(".*", "*", activation_num_bits=8, weight_num_bits=8)
    for operator in _NARROW:
        manager.add_static_config(".*", operator, activation_num_bits=8, weight_num_bits=4)
    recipe = manager.get_quantization_recipe()
    return _quantizer.static("static_wi4_ai8", recipe, float32, calibration, method=config.calibration, bits=8)


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require int8 at both ends, int4 weights where LiteRT has them, else int8, and no float anywhere.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model),
        scheme="static_wi4_ai8",
        ends="int8",
        weights="int4",
        narrow=_NARROW,
        others="int8",
        allowed={"int4", "int8", "int32", "int64", "bool"},
    )
