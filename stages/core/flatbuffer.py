"""What a `.tflite` file holds, read from the flatbuffer itself: operators, dtypes, weights. No TensorFlow."""

import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.errors import ModelError

PRUNABLE = frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_WEIGHTED = PRUNABLE | {"DEPTHWISE_CONV_2D"}  # all take their weights as input 1
_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}


@dataclass(frozen=True)
class Weight:
    """The weights of one operator.

    Attributes
    ----------
    operator : str
        Builtin operator, e.g. ``"CONV_2D"``.
    name : str
        Of the tensor.
    values : np.ndarray
        As stored, in the dtype they are stored in; read only.
    """

    operator: str
    name: str
    values: np.ndarray


@dataclass(frozen=True)
class Contents:
    """What a model file holds.

    Attributes
    ----------
    operators : dict[str, int]
        Operator to how often the file uses it; a custom operator is ``"CUSTOM <its name>"``.
    inputs, outputs : tuple[str, ...]
        Dtypes, e.g. ``("int8",)``.
    dtypes : dict[str, int]
        Dtype to the number of tensors that have it.
    weights : tuple[Weight, ...]
        Of convolutions and fully connected operators, each tensor once.
    negative_zeros : int
        In all float constants.
    """

    operators: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtypes: dict[str, int]
    weights: tuple[Weight, ...]
    negative_zeros: int

    @property
    def sparsity(self) -> float:
        """Fraction of zeros among the prunable weights (`PRUNABLE`); 0 if there are none."""
        prunable = [weight.values for weight in self.weights if weight.operator in PRUNABLE]
        total = sum(values.size for values in prunable)
        return sum(int(np.count_nonzero(values == 0)) for values in prunable) / total if total else 0.0


def read(model: bytes) -> Contents:
    """Read the contents of a model file.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite`.

    Raises
    ------
    ModelError
        If it is not a LiteRT model.
    """
    root = _root(model)
    names = [_operator_name(root.OperatorCodes(i)) for i in range(root.OperatorCodesLength())]
    operators: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    weights: list[Weight] = []
    negative_zeros = 0
    for graph in (root.Subgraphs(i) for i in range(root.SubgraphsLength())):
        tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        source, seen = {}, set()
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            name = names[operator.OpcodeIndex()]
            operators[name] += 1
            if name == "DEQUANTIZE":  # float16 weights reach their operator through it
                source[operator.Outputs(0)] = operator.Inputs(0)
            elif name in _WEIGHTED:
                index = source.get(operator.Inputs(1), operator.Inputs(1))
                values = _constant(model, root, tensors[index])
                if values is not None and index not in seen:
                    seen.add(index)
                    weights.append(Weight(name, tensors[index].Name().decode(), values))
        for tensor in tensors:
            dtypes[_DTYPES[tensor.Type()]] += 1
            negative_zeros += _count_negative_zeros(_floats(model, root, tensor))
    main = root.Subgraphs(0)
    return Contents(
        operators=dict(sorted(operators.items())),
        inputs=tuple(_DTYPES[main.Tensors(main.Inputs(i)).Type()] for i in range(main.InputsLength())),
        outputs=tuple(_DTYPES[main.Tensors(main.Outputs(i)).Type()] for i in range(main.OutputsLength())),
        dtypes=dict(sorted(dtypes.items())),
        weights=tuple(weights),
        negative_zeros=negative_zeros,
    )


def without_negative_zeros(model: bytes) -> bytes:
    """Return the model with every -0.0 among its float constants made +0.0; nothing else changes.

    Raises
    ------
    ModelError
        If it is not a LiteRT model.
    """
    content = bytearray(model)
    root = _root(content)
    for graph in (root.Subgraphs(i) for i in range(root.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            values = _floats(content, root, tensor)
            if values is not None:
                values += values.dtype.type(0)  # IEEE 754: -0.0 + 0.0 is +0.0
    return bytes(content)


def deflated_bytes(model: bytes) -> int:
    """Return the size after deflate at zlib's level 9, without a container's header."""
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return len(deflate.compress(model)) + len(deflate.flush())


def _root(model: bytes | bytearray) -> schema.Model:
    if len(model) < 8 or not schema.Model.ModelBufferHasIdentifier(model, 0):
        raise ModelError("The content must be a LiteRT model; its identifier TFL3 is missing. Export it again.")
    return schema.Model.GetRootAs(model)


def _operator_name(code: schema.OperatorCode) -> str:
    name = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    return f"CUSTOM {code.CustomCode().decode()}" if name == "CUSTOM" else name


def _constant(content: bytes | bytearray, root: schema.Model, tensor: schema.Tensor) -> np.ndarray | None:
    """Return a view of a constant tensor's stored values, flat; None for an activation."""
    buffer = root.Buffers(tensor.Buffer())
    if buffer.Offset() > 1:  # large buffers lie behind the flatbuffer; 0 and 1 mean that this one does not
        stored = np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
    elif buffer.DataLength():
        stored = buffer.DataAsNumpy()
    else:
        return None
    dtype = _DTYPES[tensor.Type()]
    if dtype not in ("float32", "float16", "int8", "int16", "int32", "int64", "uint8", "bool"):
        raise ModelError(f"{tensor.Name().decode()} is stored as {dtype}, which cannot be read. Use another scheme.")
    return stored.view(dtype)


def _floats(content: bytes | bytearray, root: schema.Model, tensor: schema.Tensor) -> np.ndarray | None:
    if _DTYPES[tensor.Type()] not in ("float32", "float16"):
        return None
    return _constant(content, root, tensor)


def _count_negative_zeros(values: np.ndarray | None) -> int:
    return 0 if values is None else int(np.count_nonzero((values == 0) & np.signbit(values)))
