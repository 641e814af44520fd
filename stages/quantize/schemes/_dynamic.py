"""Dynamic-range schemes: narrow integers in operators that have such kernels, int8 in all others.

Two kinds of convolution are widened: int8 in the file, float32 once it is loaded, as all are in a weight-only scheme.
A depthwise one, because XNNPACK has no dynamic kernel of it and LiteRT's plain one takes many times as long; and one of
a single input channel, because an integer product takes four or eight channels at a time, most of them then padding.
Both hold a small part of the weights.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from stages.core.litert import flatbuffer
from stages.core.project import lazy
from stages.core.project.errors import require
from stages.quantize.schemes import _narrow, _quantizer, _scopes
from stages.quantize.schemes._dtypes import WIDENED, Claim
from stages.quantize.schemes._narrow import Narrow
from stages.quantize.schemes._quantizer import Calibration, Quantize

if TYPE_CHECKING:
    from ai_edge_quantizer import qtyping, recipe_manager
else:
    qtyping, recipe_manager = lazy.module("ai_edge_quantizer.qtyping"), lazy.module("ai_edge_quantizer.recipe_manager")

WEIGHT_RANGES = {"min_max": "min_max_uniform_quantize", "octav": "OCTAV"}
"""Sakr et al., "Optimal Clipping and Magnitude-aware Differentiation for Improved Quantization-aware Training", ICML
2022, section 3, is the source of OCTAV."""


class HasRange(Protocol):
    """A scheme's config that may clip weights and may round them after training."""

    @property
    def weight_range(self) -> str:
        """One of `WEIGHT_RANGES`."""

    @property
    def rounds_by_clips(self) -> bool:
        """Whether weights are rounded otherwise than each to the nearest."""


def require_range(config: HasRange, scheme: str) -> None:
    """Raise unless a scheme's `weight_range` is known, and is min_max if weights are rounded to that grid.

    Raises
    ------
    ParameterError
    """
    parameter = f"quantize.options.{scheme}.weight_range"
    known = config.weight_range in WEIGHT_RANGES
    require(known, parameter, f"be one of {', '.join(WEIGHT_RANGES)}", config.weight_range)
    fits = not config.rounds_by_clips or config.weight_range == "min_max"
    rule = "be min_max with quantize.weight_rounding or quantize.bias_correction, which round to that grid"
    require(fits, parameter, rule, config.weight_range)


def quantizer(narrow: Narrow) -> Quantize:
    """Return the `quantize` of a dynamic-range scheme.

    Its config may have `weight_range`, of `WEIGHT_RANGES`, and `block_size`, the number of weights that share a scale
    in fully connected operators whose number of inputs it divides (0: a scale per channel), and be a `PostTraining`.
    """

    def quantize(config: Any, float32: bytes, calibration: Calibration = None) -> bytes:
        block_size = getattr(config, "block_size", 0)
        manager, algorithm = recipe_manager.RecipeManager(), WEIGHT_RANGES[getattr(config, "weight_range", "min_max")]
        manager.add_dynamic_config(".*", "*", 8)
        for operator in narrow.operators:
            manager.add_dynamic_config(".*", operator, narrow.bits, algorithm_key=algorithm)
        for each in _scopes.weighted(float32):
            if _is_widened(each.operator, each.shape):
                manager.add_weight_only_config(each.scope, each.operator, 8)
            elif block_size and each.operator == "FULLY_CONNECTED" and each.shape[-1] % block_size == 0:
                blocks = qtyping.QuantGranularity(f"BLOCKWISE_{block_size}")
                manager.add_dynamic_config(each.scope, each.operator, narrow.bits, blocks, algorithm)
        rounded = _narrow.rounded(
            config, float32, calibration, narrow, lambda layer: _is_widened(layer.operator, layer.shape)
        )
        return _quantizer.apply(manager.get_quantization_recipe(), rounded.float32, weights=rounded.largest)

    return quantize


def verifier(scheme: str, narrow: Narrow) -> Callable[[Any, bytes], None]:
    """Return the `verify` of a dynamic-range scheme.

    It requires float32 at both ends, the narrow weights, int8 in all others, and exactly those widened that are slower
    in integers.
    """
    narrow_claim = Claim(scheme, "float32", f"int{narrow.bits}", narrow=narrow.operators, others="int8")
    widened_claim = Claim(scheme, "float32", "int8", through=(WIDENED,))

    def verify(config: Any, model: bytes) -> None:  # noqa: ARG001
        contents = flatbuffer.read(model)
        for claim, widened in ((narrow_claim, False), (widened_claim, True)):
            weights = [w for w in contents.weights if _is_widened(w.operator, w.values.shape) is widened]
            claim.require(replace(contents, weights=tuple(weights)))

    return verify


def _is_widened(operator: str, shape: tuple[int, ...]) -> bool:
    return operator == "DEPTHWISE_CONV_2D" or (operator == "CONV_2D" and shape[-1] == 1)
