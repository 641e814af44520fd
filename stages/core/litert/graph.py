"""A graph of LiteRT's operators while it grows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES, _CODES, _OPTIONS = schema.TensorType, schema.BuiltinOperator, schema.BuiltinOptions


@dataclass
class Graph:
    """Parts of an unpacked model, to which tensors and operators are appended.

    Attributes
    ----------
    name : str
        How the names of appended tensors begin.
    buffers, codes, tensors, operators : list
        As `schema.ModelT` and `schema.SubGraphT` hold them; a given list grows in place.
    """

    name: str
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])  # the first one is empty by convention
    codes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)

    def constant(self, values: np.ndarray) -> int:
        """Append a constant, float32 or int32; return its tensor."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(values.shape), _TYPES.FLOAT32 if values.dtype.kind == "f" else _TYPES.INT32
        tensor.name, tensor.buffer = f"{self.name}/constant".encode(), self.buffer(values)
        return self.add(tensor)

    def activation(self, shape: Sequence[int], dtype: int, quantization: Any = None) -> int:
        """Append a tensor that an operator computes; return it."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = [int(n) for n in shape], dtype, 0
        tensor.name, tensor.quantization = f"{self.name}/{len(self.tensors)}".encode(), quantization
        return self.add(tensor)

    def apply(
        self, code: str, inputs: Sequence[int], output: int, options: str = "", *, version: int = 1, **values: Any
    ) -> int:
        """Append an operator; return its output."""
        operator, known = schema.OperatorT(), schema.OperatorCodeT()
        known.builtinCode = getattr(_CODES, code)
        known.deprecatedBuiltinCode, known.version = min(known.builtinCode, 127), version
        operator.opcodeIndex, operator.inputs, operator.outputs = self.code(known), list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(_OPTIONS, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            vars(operator.builtinOptions).update(values)
        self.operators.append(operator)
        return output

    def buffer(self, values: np.ndarray) -> int:
        """Append the bytes of an array; return their buffer."""
        self.buffers.append(schema.BufferT())
        self.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
        return len(self.buffers) - 1

    def add(self, tensor: Any) -> int:
        """Append a tensor; return it."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def code(self, code: Any) -> int:
        """Return the index of an operator's code, which is appended if it is new."""
        for index, known in enumerate(self.codes):
            if vars(known) == vars(code):
                return index
        self.codes.append(code)
        return len(self.codes) - 1
