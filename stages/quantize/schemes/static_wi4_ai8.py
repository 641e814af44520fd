"""Full integer with int4 weights: convolutions and fully connected operators in int4 per channel, all else int8.

LiteRT has int4 kernels for CONV_2D and FULLY_CONNECTED alone; the weights of depthwise and transposed convolutions stay
int8. Scales are per channel: blocks of a channel have no static form.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.core.project import lazy
from stages.quantize.post_training import PostTraining
from stages.quantize.schemes import _dtypes, _static
from stages.quantize.schemes._narrow import Narrow
from stages.quantize.schemes._quantizer import Recipe

if TYPE_CHECKING:
    from ai_edge_quantizer import recipe_manager
else:
    recipe_manager = lazy.module("ai_edge_quantizer.recipe_manager")

BIT_WIDTH, NEEDS_CALIBRATION = 4, True
NARROW = Narrow(4, ("CONV_2D", "FULLY_CONNECTED"))
CLAIM = _dtypes.Claim("static_wi4_ai8", "int8", "int4", NARROW.operators, "int8", allowed=_static.INTEGERS | {"int4"})


@dataclass(frozen=True)
class Config(_static.Config, PostTraining):
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
    """

    def __post_init__(self) -> None:
        """Check the methods."""
        _static.Config.__post_init__(self)
        PostTraining.__post_init__(self)


def _recipe() -> Recipe:
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(".*", "*", activation_num_bits=8, weight_num_bits=8)
    for operator in NARROW.operators:
        manager.add_static_config(".*", operator, activation_num_bits=8, weight_num_bits=NARROW.bits)
    return manager.get_quantization_recipe()


quantize = _static.quantizer("static_wi4_ai8", _recipe, activation_bits=8, narrow=NARROW)
verify = _dtypes.verifier(CLAIM)
