"""LiteRT's operators and dtypes: their names, the sets that are treated alike, and what they compute. No TensorFlow."""

import math
from collections.abc import Sequence

from ai_edge_litert import schema_py_generated as schema

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
"""Code of a builtin operator to its name, e.g. ``"CONV_2D"``."""
DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
"""Code of a tensor's type to its name, e.g. ``"int8"``."""
PRUNABLE = frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
"""Operators whose weights are pruned."""
WEIGHTED = PRUNABLE | {"DEPTHWISE_CONV_2D"}
"""Operators that have weights; all take them as input 1."""
UNPACKING = frozenset({"DENSIFY", "DEQUANTIZE"})
"""Operators that stored weights may pass through on their way to another."""


def names_of(codes: Sequence[schema.OperatorCodeT]) -> list[str]:
    """Return the names of a model's operator codes; a code above 127 stands in the newer of two fields."""
    return [NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes]


def multiply_adds(name: str, inputs: Sequence[Sequence[int]], output: Sequence[int]) -> int:
    """Return the multiply-adds of one operator, each counted once; 0 for one that multiplies no matrices.

    Parameters
    ----------
    name : str
        Builtin operator.
    inputs : Sequence of Sequence[int]
        Shapes of its inputs; empty for an absent one.
    output : Sequence[int]
        Shape of its first output.

    Examples
    --------
    >>> multiply_adds("FULLY_CONNECTED", [(1, 20), (10, 20)], (1, 10))
    200
    """
    size = math.prod
    if name in ("CONV_2D", "FULLY_CONNECTED"):  # weights (filters, height, width, channels) or (units, inputs)
        return size(output) * size(inputs[1][1:])
    if name == "DEPTHWISE_CONV_2D":  # (1, height, width, channels)
        return size(output) * size(inputs[1][1:3])
    if name == "TRANSPOSE_CONV":  # output shape, weights (filters, height, width, channels), input
        return size(inputs[2]) * size(inputs[1][:3])
    if name == "BATCH_MATMUL":
        return size(inputs[0]) * output[-1]
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        n_steps = size(inputs[0]) // inputs[1][-1]
        return n_steps * sum(size(weights) for weights in inputs[1:9] if weights)
    return 0
