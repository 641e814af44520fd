"""Full integer with int4 weights: convolutions and fully connected operators in int4 per channel, all else int8.

LiteRT has int4 kernels for CONV_2D and FULLY_CONNECTED alone; the weights of depthwise and transposed convolutions stay
int8. Scales are per channel: blocks of a channel have no static form.
"""

from typing import TYPE_CHECKING

from stages.core.project import lazy
from stages.quantize.schemes import _dtypes, _static
from stages.quantize.schemes._quantizer import Recipe

if TYPE_CHECKING:
    from ai_edge_quantizer import recipe_manager
else:
    recipe_manager = lazy.module("ai_edge_quantizer.recipe_manager")

BIT_WIDTH, NEEDS_CALIBRATION = 4, True
Config = _static.Config
_NARROW = ("CONV_2D", "FULLY_CONNECTED")
_CLAIM = _dtypes.Claim("static_wi4_ai8", "int8", "int4", _NARROW, "int8", allowed=_static.INTEGERS | {"int4"})


def _recipe() -> Recipe:
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(".*", "*", activation_num_bits=8, weight_num_bits=8)
    for operator in _NARROW:
        manager.add_static_config(".*", operator, activation_num_bits=8, weight_num_bits=4)
    return manager.get_quantization_recipe()


quantize = _static.quantizer("static_wi4_ai8", _recipe, activation_bits=8)
verify = _dtypes.verifier(_CLAIM)
