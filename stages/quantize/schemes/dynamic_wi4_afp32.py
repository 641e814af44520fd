"""Dynamic range with int4 weights in convolutions and fully connected operators; activations float32 in the file.

LiteRT has int4 kernels for CONV_2D and FULLY_CONNECTED alone; the weights of depthwise and transposed convolutions are
int8, and so are those of one input channel (see `stages/quantize/schemes/_dynamic.py`). Scales are per channel, or per
block of a channel in fully connected operators.
"""

from dataclasses import dataclass

from stages.core.project.errors import require
from stages.quantize.post_training import PostTraining
from stages.quantize.schemes import _dynamic
from stages.quantize.schemes._narrow import Narrow

BIT_WIDTH, NEEDS_CALIBRATION = 4, False
_BLOCKS = (0, 32, 64, 128, 256)
_NARROW = Narrow(4, ("CONV_2D", "FULLY_CONNECTED"))


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
    block_size : int
        Number of weights that share a scale in fully connected operators; 0 means all of a channel. An operator whose
        number of inputs is no multiple of it keeps one scale per channel. Needs XNNPACK: LiteRT's plain kernels
        compute it wrongly, which a device's self-test finds.
    weight_range : str
        ``"min_max"``, or ``"octav"``, which clips the largest weights where that rounds the others better.
    """

    block_size: int = 0
    weight_range: str = "min_max"

    def __post_init__(self) -> None:
        """Check the choices."""
        PostTraining.__post_init__(self)
        owner = "quantize.options.dynamic_wi4_afp32"
        known = self.block_size in _BLOCKS
        require(known, f"{owner}.block_size", f"be one of {', '.join(map(str, _BLOCKS))}", self.block_size)
        _dynamic.require_range(self, "dynamic_wi4_afp32")
        plain = not self.rounds_by_clips or self.block_size == 0
        rule = "be 0 with quantize.weight_rounding or quantize.bias_correction, whose grids are per channel"
        require(plain, f"{owner}.block_size", rule, self.block_size)


quantize = _dynamic.quantizer(_NARROW)
verify = _dynamic.verifier("dynamic_wi4_afp32", _NARROW)
