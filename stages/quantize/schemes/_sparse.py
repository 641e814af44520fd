"""LiteRT's sparse encoding: the non-zero weights of each row of a weight matrix, and their columns.

A DENSIFY operator unpacks the weights when the interpreter loads the model. XNNPACK does that for float32, for float16
and for int8 that is widened to float32. It refuses to prepare operators that compute on int8 weights which were sparse
("failed to delegate CONV_2D node", "failed to delegate FULLY_CONNECTED node"): dynamic-range and full-integer models
have no sparse form.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import ModelT, SparsityParametersT
from ai_edge_litert.tools import flatbuffer_utils

from stages.core.litert import flatbuffer, operators
from stages.core.project.errors import ModelError
from stages.quantize.schemes._dtypes import Claim
from stages.quantize.schemes._quantizer import Calibration, Quantize

_ALIGNMENT = 256  # bytes that the description of a sparse tensor takes at most, its two vectors excepted


def quantizer(dense: Quantize) -> Quantize:
    """Return the `quantize` of a sparse scheme, given that of the dense one."""

    def quantize(config: Any, float32: bytes, calibration: Calibration = None) -> bytes:
        return encode(dense(config, float32, calibration))

    return quantize


def verifier(claim: Claim) -> Callable[[Any, bytes], None]:
    """Return the `verify` of a sparse scheme: claimed dtypes, and sparse weights wherever these are smaller."""

    def verify(config: Any, model: bytes) -> None:  # noqa: ARG001
        claim.require(flatbuffer.read(model))
        require_encoded(model, claim.scheme)

    return verify


def encode(model: bytes) -> bytes:
    """Return the same model with every prunable weight tensor encoded as sparse where that takes fewer bytes."""
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    (graph,) = tree.subgraphs
    densify = schema.OperatorCodeT()
    densify.builtinCode = densify.deprecatedBuiltinCode = schema.BuiltinOperator.DENSIFY
    tree.operatorCodes.append(densify)
    dense, unpacking = {}, []
    for index, values, sparsity in list(_worthwhile(tree)):
        tensor, buffer, operator = graph.tensors[index], schema.BufferT(), schema.OperatorT()
        unpacked = copy.copy(tensor)
        unpacked.buffer, unpacked.name = 0, tensor.name + b"/dense"
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        tree.buffers[tensor.buffer], tensor.sparsity = buffer, sparsity
        dense[index] = len(graph.tensors)
        graph.tensors.append(unpacked)
        operator.opcodeIndex, operator.inputs, operator.outputs = len(tree.operatorCodes) - 1, [index], [dense[index]]
        unpacking.append(operator)
    if not dense:
        return model
    for operator in graph.operators:
        operator.inputs = [dense.get(i, i) for i in operator.inputs]
    graph.operators = unpacking + graph.operators
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def require_encoded(model: bytes, scheme: str) -> None:
    """Raise unless every prunable weight tensor that takes fewer bytes sparse is sparse.

    Raises
    ------
    ModelError
    """
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    wasteful = [tree.subgraphs[0].tensors[index].name.decode() for index, *_ in _worthwhile(tree)]
    if wasteful:
        raise ModelError(
            f"A {scheme} model must have sparse weights where that is smaller; got {', '.join(wasteful)} dense. "
            "Make it with its scheme."
        )


def _worthwhile(tree: ModelT) -> Iterator[tuple[int, np.ndarray, SparsityParametersT]]:
    """Yield the index of each dense tensor that is smaller sparse, what is not zero of it, and where that lies."""
    names, graph = operators.names_of(tree.operatorCodes), tree.subgraphs[0]
    called = [(names[operator.opcodeIndex], operator) for operator in graph.operators]
    widened = {operator.outputs[0]: operator.inputs[0] for name, operator in called if name == "DEQUANTIZE"}
    kernels = (operator.inputs[1] for name, operator in called if name in operators.PRUNABLE)
    for index in sorted({widened.get(kernel, kernel) for kernel in kernels}):
        tensor = graph.tensors[index]
        data = tree.buffers[tensor.buffer].data
        dtype = operators.DTYPES[tensor.type]
        if data is None or tensor.sparsity is not None or dtype not in ("float32", "float16", "int8"):
            continue
        rows = np.frombuffer(bytes(data), dtype).reshape(-1, tensor.shape[-1])
        sparsity, positions = _compressed_rows(rows, tensor.shape)
        values = rows[rows != 0]
        if values.nbytes + positions + _ALIGNMENT < rows.nbytes:
            yield index, values, sparsity


def _compressed_rows(rows: np.ndarray, shape: Any) -> tuple[SparsityParametersT, int]:
    """Describe where a matrix is not zero: the ends of its rows, and the columns in each; with their bytes."""

    def vector(numbers: np.ndarray) -> tuple[int, Any, int]:
        kinds = schema.SparseIndexVector
        for kind, holder, dtype in (
            (kinds.Uint8Vector, schema.Uint8VectorT(), np.uint8),
            (kinds.Uint16Vector, schema.Uint16VectorT(), np.uint16),
        ):
            if numbers.max(initial=0) <= np.iinfo(dtype).max:
                holder.values = numbers.astype(dtype)
                return kind, holder, holder.values.nbytes
        holder = schema.Int32VectorT()
        holder.values = numbers.astype(np.int32)
        return kinds.Int32Vector, holder, holder.values.nbytes

    occupied = rows != 0
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = list(range(len(shape)))
    sparsity.dimMetadata = [schema.DimensionMetadataT() for _ in shape]
    for axis, size in zip(sparsity.dimMetadata[:-1], shape[:-1], strict=True):
        axis.format, axis.denseSize = schema.DimensionType.DENSE, int(size)
    last = sparsity.dimMetadata[-1]
    last.format = schema.DimensionType.SPARSE_CSR
    ends = np.concatenate([[0], np.cumsum(occupied.sum(axis=1))])
    last.arraySegmentsType, last.arraySegments, segment_bytes = vector(ends)
    last.arrayIndicesType, last.arrayIndices, index_bytes = vector(np.nonzero(occupied)[1])
    return sparsity, segment_bytes + index_bytes
