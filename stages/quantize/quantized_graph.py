"""The graph of a quantised file as training needs it: which tensors are integers, constants, weights, of one range."""

import re
from collections.abc import Container
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import operators
from stages.core.project.errors import ModelError
from stages.quantize.simulated_operators import FIXED, FUNCTIONS, SAME_RANGE

INTEGERS = {getattr(schema.TensorType, f"INT{bits}"): bits for bits in (2, 4, 8, 16)}
"""Type of a tensor to its bits."""


class QuantizedGraph:
    """Tensors and operators of a quantised file.

    Parameters
    ----------
    content : bytes
        Model of one subgraph.

    Attributes
    ----------
    inputs, outputs : sequence of int
        Numbers of tensors.
    operators : sequence
        In the order of execution.
    tensors : sequence
    names : list[str]
        Name of each tensor in the float32 file.
    stored : dict[int, int]
        Tensor to the tensor that a DEQUANTIZE makes it from.
    kernels : set[int]
        Tensors that are weights.
    groups : dict[int, int]
        Integer activation to the number of its range; activations that must share a range have one number.
    fixed : set[int]
        Numbers of the ranges that LiteRT fixes.

    Raises
    ------
    ModelError
        If the graph holds an operator, or mixes clips in a way, that has no counterpart in training.
    """

    def __init__(self, content: bytes) -> None:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.operators, self.tensors = graph.operators, graph.tensors
        self._buffers, self._content, self._codes = model.buffers, content, operators.names_of(model.operatorCodes)
        # A constant of two operators is there twice if they scale it differently; it is one weight in training.
        self.names = [re.sub(r"_duplicated_\d+$", "", tensor.name.decode()) for tensor in self.tensors]
        self.stored = {op.outputs[0]: op.inputs[0] for op in self.operators if self.code(op) == "DEQUANTIZE"}
        kernels = {op.inputs[1] for op in self.operators if self.code(op) in operators.WEIGHTED}
        self.kernels = {self.stored.get(i, i) for i in kernels}
        self.groups, self.fixed = self._groups_of_equal_range()
        self._require_one_clip()

    def is_integer(self, i: int) -> bool:
        """Return whether a tensor is stored in 2 to 16 bits."""
        return self.tensors[i].type in INTEGERS

    def axis(self, i: int) -> int | None:
        """Return the axis along which a tensor has a scale each; None for one scale."""
        quantization = self.tensors[i].quantization
        return int(quantization.quantizedDimension) if len(quantization.scale) > 1 else None

    def head(self, constants: Container[str]) -> Any:
        """Return the fully connected operator that makes the logits, if its weights are `constants`; else None."""
        makers = {i: operator for operator in self.operators for i in operator.outputs}
        (output,) = self.outputs
        last = makers[output]
        while self.code(last) in ("DEQUANTIZE", "QUANTIZE", "RESHAPE"):
            last = makers[last.inputs[0]]
        if self.code(last) not in ("LOGISTIC", "SOFTMAX"):
            return None
        head = makers[last.inputs[0]]
        weighted = self.code(head) == "FULLY_CONNECTED" and len(head.inputs) == 3 and head.inputs[2] >= 0
        return (
            head if weighted and all(self.names[self.stored.get(i, i)] in constants for i in head.inputs[1:3]) else None
        )

    def code(self, operator: Any) -> str:
        """Return the name of an operator.

        Raises
        ------
        ModelError
            If it has no counterpart in training.
        """
        code = self._codes[operator.opcodeIndex]
        if code not in FUNCTIONS:
            raise ModelError(
                f"Quantisation-aware fine-tuning must know every operator of a network; got {code}. "
                f"It knows {', '.join(FUNCTIONS)}. Write the network with those, or leave it out of sweep.qat_schemes."
            )
        return code

    def bits(self, i: int) -> int:
        """Return the bit-width of an integer tensor."""
        return INTEGERS[self.tensors[i].type]

    def is_constant(self, i: int) -> bool:
        """Return whether a tensor is a constant of the file."""
        return len(self.data(i)) > 0

    def data(self, i: int) -> bytes:
        """Return the bytes of a constant; empty for other tensors."""
        buffer = self._buffers[self.tensors[i].buffer]
        if buffer.offset > 1:  # large buffers lie behind the flatbuffer
            return self._content[buffer.offset : buffer.offset + buffer.size]
        return b"" if buffer.data is None else bytes(buffer.data)

    def is_dynamic(self, operator: Any) -> bool:
        """Return whether an operator quantises its float input as it runs."""
        x, kernel = (self.tensors[i].type for i in operator.inputs[:2])
        return x == schema.TensorType.FLOAT32 and kernel in INTEGERS

    def is_product_of_rows(self, operator: Any) -> bool:
        """Return whether XNNPACK computes an operator as a product of rows, as it does a pointwise convolution."""
        if self.code(operator) == "FULLY_CONNECTED":
            return True
        options, kernel = operator.builtinOptions, operator.inputs[1]
        steps = (*self.tensors[kernel].shape[1:3], options.strideH, options.strideW)
        return self.code(operator) == "CONV_2D" and steps == (1, 1, 1, 1) and self.bits(kernel) == 8

    def _groups_of_equal_range(self) -> tuple[dict[int, int], set[int]]:
        """Return the number of every integer activation's range, and the numbers of those that LiteRT fixes."""
        activations = [i for i, t in enumerate(self.tensors) if t.type in INTEGERS and not self.is_constant(i)]
        group = {i: number for number, i in enumerate(activations)}
        for operator in self.operators:
            if self.code(operator) in SAME_RANGE:
                numbers = {group[i] for i in (*operator.inputs, *operator.outputs) if i in group}
                group = {i: min(numbers) if number in numbers else number for i, number in group.items()}
        order = {number: n for n, number in enumerate(sorted(set(group.values())))}
        group = {i: order[number] for i, number in group.items()}
        outputs = {i for operator in self.operators if self.code(operator) in FIXED for i in operator.outputs}
        return group, {group[i] for i in outputs if i in group}

    def _require_one_clip(self) -> None:
        for i in {i for op in self.operators if not self.is_constant(op.inputs[0]) for i in op.outputs}:
            shape = self.tensors[i].shape
            if shape is None or len(shape) == 0 or shape[0] != 1:
                raise ModelError(
                    f"Quantisation-aware fine-tuning must find every clip on the first axis; got {self.names[i]} of "
                    f"shape {[] if shape is None else list(shape)}. Leave this network out of sweep.qat_schemes."
                )
