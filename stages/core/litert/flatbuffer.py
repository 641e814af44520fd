"""Read and edit the contents of a `.tflite` flatbuffer: operators, dtypes, weights, constants. No TensorFlow."""

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert.operators import DTYPES, NAMES, PRUNABLE, UNPACKING, WEIGHTED
from stages.core.project.errors import ModelError

_PACKED = {"int4": 4, "int2": 2}  # several numbers to a byte


@dataclass(frozen=True)
class Weight:
    """The weights of one operator.

    Attributes
    ----------
    operator : str
        Builtin operator, e.g. ``"CONV_2D"``.
    name : str
        Name of the tensor.
    values : np.ndarray, of the tensor's shape
        Stored values in their stored dtype, int4 and int2 as int8; zeros of a sparse tensor included.
    dtype : str
        Stored dtype, e.g. ``"int4"``.
    through : tuple[str, ...]
        Operators that unpack the weights first, in order: ``"DENSIFY"`` sparse ones, ``"DEQUANTIZE"`` narrow ones to
        float32.
    """

    operator: str
    name: str
    values: np.ndarray
    dtype: str
    through: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """Bits of each weight."""
        return int("".join(filter(str.isdigit, self.dtype)))


@dataclass(frozen=True)
class Contents:
    """Contents of a model file.

    Attributes
    ----------
    operators : dict[str, int]
        Operator to its number of uses; a custom operator is ``"CUSTOM <its name>"``.
    inputs, outputs : tuple[str, ...]
        Dtypes of the inputs and outputs, e.g. ``("int8",)``.
    dtypes : dict[str, int]
        Dtype to the number of tensors that have it.
    weights : tuple[Weight, ...]
        Weights of convolutions and fully connected operators, each tensor once.
    negative_zeros : int
        Number of negative zeros in all float constants.
    """

    operators: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtypes: dict[str, int]
    weights: tuple[Weight, ...]
    negative_zeros: int

    @property
    def prunable(self) -> tuple[Weight, ...]:
        """The weights that pruning may mask: those of the operators in `PRUNABLE`."""
        return tuple(weight for weight in self.weights if weight.operator in PRUNABLE)

    @property
    def sparsity(self) -> float:
        """Fraction of zeros among the prunable weights; 0 if there are none."""
        prunable = [weight.values for weight in self.prunable]
        total = sum(values.size for values in prunable)
        return sum(int(np.count_nonzero(values == 0)) for values in prunable) / total if total else 0.0

    @property
    def stored_as(self) -> dict[str, int]:
        """Operator and dtype, e.g. ``"CONV_2D int4"``, to the number of weights stored so."""
        counts: Counter[str] = Counter()
        for weight in self.weights:
            counts[f"{weight.operator} {weight.dtype}"] += weight.values.size
        return dict(sorted(counts.items()))

    @property
    def mean_bits(self) -> float:
        """Bits of a weight on average over all weights, zeros included; 0 if there are none."""
        total = sum(weight.values.size for weight in self.weights)
        return sum(weight.bits * weight.values.size for weight in self.weights) / total if total else 0.0


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
        source: dict[int, tuple[int, tuple[str, ...]]] = {}
        seen = set()
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            name = names[operator.OpcodeIndex()]
            operators[name] += 1
            if name in UNPACKING:
                index, through = source.get(operator.Inputs(0), (operator.Inputs(0), ()))
                source[operator.Outputs(0)] = index, (*through, name)
            elif name in WEIGHTED:
                index, through = source.get(operator.Inputs(1), (operator.Inputs(1), ()))
                tensor = tensors[index]
                values = None if index in seen else _values(model, root, tensor)
                if values is not None:
                    seen.add(index)
                    weights.append(Weight(name, tensor.Name().decode(), values, DTYPES[tensor.Type()], through))
        for tensor in tensors:
            dtypes[DTYPES[tensor.Type()]] += 1
            negative_zeros += _count_negative_zeros(_floats(model, root, tensor))
    main = root.Subgraphs(0)
    return Contents(
        operators=dict(sorted(operators.items())),
        inputs=tuple(DTYPES[main.Tensors(main.Inputs(i)).Type()] for i in range(main.InputsLength())),
        outputs=tuple(DTYPES[main.Tensors(main.Outputs(i)).Type()] for i in range(main.OutputsLength())),
        dtypes=dict(sorted(dtypes.items())),
        weights=tuple(weights),
        negative_zeros=negative_zeros,
    )


def without_negative_zeros(model: bytes) -> bytes:
    """Return the model with +0.0 for every -0.0 among its float constants; nothing else changes.

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


def float_constants(model: bytes) -> dict[str, np.ndarray]:
    """Return every float32 constant by the name of its tensor.

    Returns
    -------
    dict[str, np.ndarray]
        Copies, in the tensors' shapes.

    Raises
    ------
    ModelError
        If it is not a LiteRT model.
    """
    return {name: values.copy() for name, values in _float32s(model).items()}


def with_float_constants(model: bytes, values: Mapping[str, np.ndarray]) -> bytes:
    """Return the model with other float32 constants, by the names of their tensors; nothing else changes.

    Raises
    ------
    ModelError
        If it is not a LiteRT model, or has no such constant of that shape.
    """
    content = bytearray(model)
    constants = _float32s(content)
    for name, new in values.items():
        if name not in constants or constants[name].shape != new.shape:
            raise ModelError(f"The model must have a float32 constant {name!r} of shape {new.shape}; it has none.")
        constants[name][...] = new
    return without_negative_zeros(bytes(content))


def ending_at(model: bytes, tensor: str) -> bytes:
    """Return the model with one output, a float32 tensor of its first graph that may lie anywhere within.

    Parameters
    ----------
    model : bytes
    tensor : str
        Its name.

    Raises
    ------
    ModelError
        If it is not a LiteRT model, or has no such tensor.
    """
    content = bytearray(model)
    graph = _root(content).Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    names = {t.Name().decode(): i for i, t in enumerate(tensors) if DTYPES[t.Type()] == "float32"}
    if tensor not in names:
        close = difflib.get_close_matches(tensor, names, n=3, cutoff=0.0)
        raise ModelError(f"The model must have a float32 tensor {tensor!r}; it has none. Near: {', '.join(close)}.")
    outputs = graph.OutputsAsNumpy()
    outputs[0] = names[tensor]
    if len(outputs) > 1:  # the length stands before the values
        start = outputs.__array_interface__["data"][0] - np.frombuffer(content, np.uint8).ctypes.data
        np.frombuffer(content, "<u4", 1, start - 4)[0] = 1
    return bytes(content)


def _root(model: bytes | bytearray) -> schema.Model:
    if len(model) < 8 or not schema.Model.ModelBufferHasIdentifier(model, 0):
        raise ModelError("The content must be a LiteRT model; its identifier TFL3 is missing. Export it again.")
    return schema.Model.GetRootAs(model)


def _operator_name(code: schema.OperatorCode) -> str:
    name = NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    return f"CUSTOM {code.CustomCode().decode()}" if name == "CUSTOM" else name


def _constant(content: bytes | bytearray, root: schema.Model, tensor: schema.Tensor) -> np.ndarray | None:
    """Return a view of a constant tensor's stored bytes in its dtype, flat; None for an activation."""
    buffer = root.Buffers(tensor.Buffer())
    if buffer.Offset() > 1:  # large buffers lie behind the flatbuffer; 0 and 1 mean that this one does not
        stored = np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
    elif buffer.DataLength():
        stored = buffer.DataAsNumpy()
    else:
        return None
    dtype = DTYPES[tensor.Type()]
    if dtype in _PACKED:
        return stored
    if dtype not in ("float32", "float16", "int8", "int16", "int32", "int64", "uint8", "bool"):
        raise ModelError(f"{tensor.Name().decode()} is stored as {dtype}, which cannot be read. Use another scheme.")
    return stored.view(dtype)


def _values(content: bytes, root: schema.Model, tensor: schema.Tensor) -> np.ndarray | None:
    """Return a constant tensor's values in its shape, one per number and with the zeros of a sparse tensor."""
    stored = _constant(content, root, tensor)
    if stored is None:
        return None
    bits = _PACKED.get(DTYPES[tensor.Type()])
    if bits is not None:
        shifts = np.arange(0, 8, bits, dtype=np.uint8)  # the first number is in the lowest bits
        numbers = (stored[:, np.newaxis] >> shifts).ravel()[: tensor.ShapeAsNumpy().prod()] << (8 - bits)
        stored = numbers.view(np.int8) >> (8 - bits)  # an arithmetic shift, which keeps the sign
    values = stored if tensor.Sparsity() is None else _with_zeros(stored, tensor)
    return values.reshape(tensor.ShapeAsNumpy())


def _with_zeros(stored: np.ndarray, tensor: schema.Tensor) -> np.ndarray:
    """Return the values of a tensor that is stored as compressed rows, its last axis being the rows'."""
    layout, shape = schema.SparsityParametersT.InitFromObj(tensor.Sparsity()), tensor.ShapeAsNumpy()
    *dense, rows = layout.dimMetadata
    formats, axes = schema.DimensionType, np.arange(len(shape))
    if (
        not np.array_equal(layout.traversalOrder, axes)
        or rows.format != formats.SPARSE_CSR
        or any(axis.format != formats.DENSE for axis in dense)
    ):
        raise ModelError(f"{tensor.Name().decode()} is sparse in a form that cannot be read. Use another scheme.")
    values = np.zeros((int(shape[:-1].prod()), shape[-1]), stored.dtype)
    ends = np.asarray(rows.arraySegments.values, np.int64)
    values[np.repeat(np.arange(len(values)), ends[1:] - ends[:-1]), rows.arrayIndices.values] = stored
    return values


def _float32s(content: bytes | bytearray) -> dict[str, np.ndarray]:
    """Return views of all float32 constants by name."""
    root, found = _root(content), {}
    for graph in (root.Subgraphs(i) for i in range(root.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            values = _constant(content, root, tensor) if DTYPES[tensor.Type()] == "float32" else None
            if values is not None:
                found[tensor.Name().decode()] = values.reshape(tensor.ShapeAsNumpy() if tensor.ShapeLength() else ())
    return found


def _floats(content: bytes | bytearray, root: schema.Model, tensor: schema.Tensor) -> np.ndarray | None:
    if DTYPES[tensor.Type()] not in ("float32", "float16"):
        return None
    return _constant(content, root, tensor)


def _count_negative_zeros(values: np.ndarray | None) -> int:
    return 0 if values is None else int(np.count_nonzero((values == 0) & np.signbit(values)))
