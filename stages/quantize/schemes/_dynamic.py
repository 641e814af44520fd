"""Dynamic range: narrow integers in the operators that have such kernels, int8 in the others.

Two kinds of convolution are widened: int8 in the file, float32 once it is loaded, as all are in a weight-only scheme.
A depthwise one, because XNNPACK has no dynamic kernel of it and LiteRT's plain one takes many times as long; and one of
a single input channel, because an integer product takes four or eight channels at a time, most of them then padding.
Both hold a small part of the weights.
"""

import dataclasses
import re
from collections.abc import Collection

from stages.core.litert import flatbuffer
from stages.core.project.errors import require
from stages.quantize.schemes import _dtypes, _quantizer

WEIGHT_RANGES = {"min_max": "min_max_uniform_quantize", "octav": "OCTAV"}
"""Sakr et al., "Optimal Clipping and Magnitude-aware Differentiation for Improved Quantization-aware Training", ICML
2022, section 3, is the source of OCTAV."""


def require_range(weight_range: str, scheme: str) -> None:
    """Raise unless a scheme's `weight_range` is known.

    Raises
    ------
    ParameterError
    """
    known = weight_range in WEIGHT_RANGES
    parameter = f"quantize.options.{scheme}.weight_range"
    require(known, parameter, f"be one of {', '.join(WEIGHT_RANGES)}", weight_range)


def quantize(
    float32: bytes,
    *,
    bits: int = 8,
    operators: Collection[str] = (),
    weight_range: str = "min_max",
    block_size: int = 0,
) -> bytes:
    """Quantise the weights of `operators` to `bits` and all others to 8.

    Parameters
    ----------
    float32 : bytes
    bits : int
    operators : Collection[str]
    weight_range : str
        Of `WEIGHT_RANGES`.
    block_size : int
        Of fully connected operators whose number of inputs it divides; 0 means a scale per channel.
    """
    from ai_edge_quantizer.qtyping import QuantGranularity
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager, algorithm = RecipeManager(), WEIGHT_RANGES[weight_range]
    manager.add_dynamic_config(".*", "*", 8)
    for operator in operators:
        manager.add_dynamic_config(".*", operator, bits, algorithm_key=algorithm)
    for operator, scope, shape in _weighted(float32):
        if _is_widened(operator, shape):
            manager.add_weight_only_config(scope, operator, 8)
        elif block_size and operator == "FULLY_CONNECTED" and shape[-1] % block_size == 0:
            blocks = QuantGranularity(f"BLOCKWISE_{block_size}")
            manager.add_dynamic_config(scope, operator, bits, blocks, algorithm)
    return _quantizer.apply(manager.get_quantization_recipe(), float32)


def verify(model: bytes, *, scheme: str, bits: int = 8, operators: Collection[str] = ()) -> None:
    """Require float32 at both ends, `bits` in `operators`, 8 in all others, and exactly those widened that are slower.

    Raises
    ------
    ModelError
    """
    contents = flatbuffer.read(model)

    def those(widened: bool) -> flatbuffer.Contents:
        chosen = [w for w in contents.weights if _is_widened(w.operator, w.values.shape) is widened]
        return dataclasses.replace(contents, weights=tuple(chosen))

    _dtypes.require(
        those(widened=False), scheme=scheme, ends="float32", weights=f"int{bits}", narrow=operators, others="int8"
    )
    _dtypes.require(those(widened=True), scheme=scheme, ends="float32", weights="int8", through=[("DEQUANTIZE",)])


def _is_widened(operator: str, shape: tuple[int, ...]) -> bool:
    return operator == "DEPTHWISE_CONV_2D" or (operator == "CONV_2D" and shape[-1] == 1)


def _weighted(float32: bytes) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return each operator that has weights, the expression that matches its scope alone, and its kernel's shape."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    model = tfl_flatbuffer_utils.read_model(float32)
    names = {getattr(BuiltinOperator, name): name for name in flatbuffer.WEIGHTED}
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = names.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            if name is not None:
                scope = re.escape(tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors))
                found.append((name, f"^{scope}$", tuple(graph.tensors[operator.inputs[1]].shape)))
    return found
