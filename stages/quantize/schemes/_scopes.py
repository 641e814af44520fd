"""Operators of a float32 file as a recipe of ai-edge-quantizer names them."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.core.litert.operators import WEIGHTED, names_of
from stages.core.project import lazy

if TYPE_CHECKING:
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils
else:
    tfl_flatbuffer_utils = lazy.module("ai_edge_quantizer.utils.tfl_flatbuffer_utils")


@dataclass(frozen=True)
class Weighted:
    """An operator that has weights.

    Attributes
    ----------
    operator : str
    scope : str
        Regular expression that matches its scope alone.
    kernel : str
        Name of the weights' tensor.
    shape : tuple[int, ...]
        Shape of the weights.
    """

    operator: str
    scope: str
    kernel: str
    shape: tuple[int, ...]


def weighted(float32: bytes) -> list[Weighted]:
    """Return every operator that has weights, in the order in which they run."""
    model = tfl_flatbuffer_utils.read_model(float32)
    names = names_of(model.operatorCodes)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = names[operator.opcodeIndex]
            if name in WEIGHTED:
                scope = re.escape(tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors))
                kernel = graph.tensors[operator.inputs[1]]
                found.append(Weighted(name, f"^{scope}$", kernel.name.decode(), tuple(kernel.shape)))
    return found
