"""Full integer with weights of 4 or 8 bits by layer, so that the file keeps a budget of bytes.

The layers that scores depend on least are int4, see `stages.quantize.bit_budget`; activations are int8. LiteRT has int4
kernels for CONV_2D and FULLY_CONNECTED alone; the weights of depthwise and transposed convolutions stay int8.
"""

from dataclasses import dataclass, replace

from stages.core.project.errors import require
from stages.quantize.schemes import _dtypes, _mixed, static_wi4_ai8

BIT_WIDTH, NEEDS_CALIBRATION = 4, True
SIZE_DEPENDS_ON_WEIGHTS = AFTER_TRAINING_ONLY = True


@dataclass(frozen=True)
class Config(static_wi4_ai8.Config):
    """Parameters of the scheme.

    Attributes
    ----------
    calibration : {"min_max", "percentile", "mse"}
        Method that takes ranges from clips, see `stages.quantize.ranges`; by default `quantize.calibration`.
    weight_rounding : {"nearest", "adaround", "gptq"}
        By default `quantize.weight_rounding`.
    bias_correction : bool
        By default `quantize.bias_correction`.
    equalisation : {"none", "weights", "activations"}
        By default `quantize.equalisation`.
    raw_bytes : int or None
        Largest size of the file in bytes, before compression. By default the middle between the file with all layers in
        8 bits and that with all in 4.
    """

    raw_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check the methods and the budget."""
        super().__post_init__()
        fits = self.raw_bytes is None or self.raw_bytes > 0
        require(fits, _mixed.parameter("static_wimixed_ai8"), "be more than 0, or null", self.raw_bytes)


quantize = _mixed.quantizer("static_wimixed_ai8", static_wi4_ai8.NARROW)
verify = _dtypes.verifier(replace(static_wi4_ai8.CLAIM, scheme="static_wimixed_ai8", or_else="int8"))
