"""Dynamic range with int4 weights in convolutions and fully connected operators; activations float32 in the file.

LiteRT has int4 kernels for CONV_2D and FULLY_CONNECTED alone; the weights of depthwise and transposed convolutions are
int8, and so are those of one input channel (see `stages/quantize/schemes/_dynamic.py`). Scales are per channel, or per
block of a channel in fully connected operators.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.project.errors import require
from stages.quantize.schemes import _dynamic

BIT_WIDTH = 4
NEEDS_CALIBRATION = False
_OPERATORS = ("CONV_2D", "FULLY_CONNECTED")
_BLOCKS = (0, 32, 64, 128, 256)


@dataclass(frozen=True)
class Config:
    """Parameters of the scheme.

    Attributes
    ----------
    block_size : int
        Weights that share a scale in fully connected operators; 0 means all of a channel. An operator whose number of
        inputs is no multiple of it keeps one scale per channel. Needs XNNPACK: LiteRT's plain kernels compute it
        wrongly, which a device's self-test finds.
    weight_range : str
        ``"min_max"``, or ``"octav"``, which clips the largest weights where that rounds the others better.
    """

    block_size: int = 0
    weight_range: str = "min_max"

    def __post_init__(self) -> None:
        """Check the choices."""
        owner = "quantize.options.dynamic_wi4_afp32"
        known = self.block_size in _BLOCKS
        require(known, f"{owner}.block_size", f"be one of {', '.join(map(str, _BLOCKS))}", self.block_size)
        _dynamic.require_range(self.weight_range, "dynamic_wi4_afp32")


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the model with int4 weights."""
    return _dynamic.quantize(
        float32, bits=4, operators=_OPERATORS, weight_range=config.weight_range, block_size=config.block_size
    )


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require float32 at both ends, int4 weights where LiteRT has them and int8 in all others.

    Raises
    ------
    ModelError
    """
    _dynamic.verify(model, scheme="dynamic_wi4_afp32", bits=4, operators=_OPERATORS)
