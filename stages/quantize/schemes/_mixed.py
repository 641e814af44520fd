"""Full-integer schemes whose layers differ in bits, under a budget of bytes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.project import lazy
from stages.core.project.errors import DataError
from stages.quantize import bit_budget, post_training, ranges, weight_layers
from stages.quantize.post_training import Rounded
from stages.quantize.schemes import _narrow, _quantizer, _scopes
from stages.quantize.schemes._narrow import Narrow
from stages.quantize.schemes._quantizer import Calibration, Quantize

if TYPE_CHECKING:
    from ai_edge_quantizer import recipe_manager
else:
    recipe_manager = lazy.module("ai_edge_quantizer.recipe_manager")


def parameter(scheme: str) -> str:
    """Return the name of a scheme's budget."""
    return f"quantize.options.{scheme}.raw_bytes"


def quantizer(scheme: str, narrow: Narrow) -> Quantize:
    """Return the `quantize` of a scheme with int8 activations whose layers have `narrow.bits` or 8 bits.

    Its config has `raw_bytes`, and is a `PostTraining`. It raises `DataError` without calibration clips.
    """

    def quantize(config: Any, float32: bytes, calibration: Calibration) -> bytes:
        if calibration is None or isinstance(calibration, Mapping) or not len(calibration):
            raise DataError(
                f"{scheme} must be given calibration clips, by which it chooses bits; got none. "
                "Pass features of the training split, and leave it out of sweep.qat_schemes."
            )
        clips = np.asarray(calibration)
        float32 = _narrow.equalised(config, float32, clips)
        operators = _scopes.weighted(float32)

        def made(kernels: Sequence[str], rounded: Rounded, activations: ranges.Ranges) -> bytes:
            manager = recipe_manager.RecipeManager()
            manager.add_static_config(".*", "*", activation_num_bits=8, weight_num_bits=8)
            for each in operators:
                if each.kernel in kernels:
                    manager.add_static_config(
                        each.scope, each.operator, activation_num_bits=8, weight_num_bits=narrow.bits
                    )
            recipe = manager.get_quantization_recipe()
            return _quantizer.apply(recipe, rounded.float32, activations, rounded.largest)

        plain, method = Rounded(float32, {}), config.calibration
        of_float32 = ranges.activation_ranges(float32, clips, method=method, bits=8)
        layers = [layer for layer in weight_layers.find(float32) if layer.operator in narrow.operators]
        chosen = bit_budget.choose(
            bit_budget.sensitivities(float32, clips, layers, narrow.bits, config),
            lambda kernels: len(made(kernels, plain, of_float32)),
            config.raw_bytes,
            parameter(scheme),
        )
        if not config.rounds_by_clips or not chosen:
            return made(chosen, plain, of_float32)
        rounded = post_training.round_weights(float32, clips, dict.fromkeys(chosen, narrow.bits), config)
        return made(chosen, rounded, ranges.activation_ranges(rounded.float32, clips, method=method, bits=8))

    return quantize
