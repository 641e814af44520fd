"""Dynamic range with 2-bit weights in fully connected operators, per channel; convolutions in int8.

Each weight is -1, 0 or 1 times its channel's scale. LiteRT 2.3 runs 2-bit CONV_2D too, but wrongly: scores are NaN or a
constant, with XNNPACK and without, so it is left out. Blocks of a channel fail to prepare ("unsupported datatype
(INT2)"), and static 2-bit does not exist.
"""

from dataclasses import dataclass

from stages.quantize.post_training import PostTraining
from stages.quantize.schemes import _dynamic
from stages.quantize.schemes._narrow import Narrow

BIT_WIDTH, NEEDS_CALIBRATION = 2, False
_NARROW = Narrow(2, ("FULLY_CONNECTED",))


@dataclass(frozen=True)
class Config(PostTraining):
    """Parameters of the scheme.

    Attributes
    ----------
    weight_rounding : {"nearest", "adaround", "gptq"}
        By default `quantize.weight_rounding`.
    bias_correction : bool
        By default `quantize.bias_correction`.
    equalisation : {"none", "weights", "activations"}
        By default `quantize.equalisation`.
    weight_range : str
        ``"min_max"``, or ``"octav"``, which clips the largest weights where that rounds the others better.
    """

    weight_range: str = "min_max"

    def __post_init__(self) -> None:
        """Check the choices."""
        PostTraining.__post_init__(self)
        _dynamic.require_range(self, "dynamic_wi2_afp32")


quantize = _dynamic.quantizer(_NARROW)
verify = _dynamic.verifier("dynamic_wi2_afp32", _NARROW)
