import zlib

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.litert import flatbuffer
from stages.core.project import compression
from stages.core.project.errors import ModelError

BUILTIN, TYPE = schema.BuiltinOperator, schema.TensorType


def dense_model(
    kernel: np.ndarray,
    kernel_type: int = TYPE.FLOAT32,
    operator: int = BUILTIN.FULLY_CONNECTED,
    data: bytes | None = None,
) -> bytes:
    """Write by hand the model of one operator with two inputs, an activation and a kernel."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(kernel.tobytes() if data is None else data, np.uint8)
    graph.tensors = []
    for name, shape, dtype, buffer in (
        (b"features", (1, kernel.shape[1]), TYPE.FLOAT32, 0),
        (b"kernel", kernel.shape, kernel_type, 1),
        (b"scores", (1, kernel.shape[0]), TYPE.FLOAT32, 0),
    ):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), dtype, buffer
        graph.tensors.append(tensor)
    operation, code = schema.OperatorT(), schema.OperatorCodeT()
    operation.inputs, operation.outputs, operation.opcodeIndex = [0, 1], [2], 0
    code.builtinCode = code.deprecatedBuiltinCode = operator
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operation]
    model.subgraphs, model.operatorCodes = [graph], [code]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def test_reads_operators_dtypes_and_weights() -> None:
    kernel = np.array([[1, 0, 0], [0, -2, 0]], np.float32)
    contents = flatbuffer.read(dense_model(kernel))
    assert contents.operators == {"FULLY_CONNECTED": 1}
    assert contents.inputs == contents.outputs == ("float32",)
    assert contents.dtypes == {"float32": 3}
    (weight,) = contents.weights
    assert (weight.operator, weight.name) == ("FULLY_CONNECTED", "kernel")
    np.testing.assert_array_equal(weight.values, kernel)
    assert contents.sparsity == pytest.approx(4 / 6)


def test_int8_weights_are_read_as_stored() -> None:
    contents = flatbuffer.read(dense_model(np.array([[0, -128], [127, 0]], np.int8), TYPE.INT8))
    assert contents.weights[0].values.tolist() == [[0, -128], [127, 0]]
    assert contents.dtypes == {"float32": 2, "int8": 1}
    assert contents.sparsity == 0.5


def test_depthwise_kernels_are_weights_but_not_prunable() -> None:
    contents = flatbuffer.read(dense_model(np.zeros((2, 2), np.float32), operator=BUILTIN.DEPTHWISE_CONV_2D))
    assert len(contents.weights) == 1
    assert contents.sparsity == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, -1e-30]), min_size=4, max_size=4))
def test_negative_zeros_are_counted_and_removed_and_nothing_else_changes(numbers: list[float]) -> None:
    kernel = np.array(numbers, np.float32).reshape(2, 2)
    model = dense_model(kernel)
    clean = flatbuffer.without_negative_zeros(model)
    assert flatbuffer.read(model).negative_zeros == sum(str(n) == "-0.0" for n in numbers)
    assert flatbuffer.read(clean).negative_zeros == 0
    np.testing.assert_array_equal(flatbuffer.read(clean).weights[0].values, kernel)
    assert len(clean) == len(model)
    assert sum(a != b for a, b in zip(clean, model, strict=True)) == flatbuffer.read(model).negative_zeros


def test_deflated_size_is_that_of_raw_deflate(rng: np.random.Generator) -> None:
    content = rng.integers(0, 4, 10_000, dtype=np.uint8).tobytes()
    assert compression.deflated_bytes(content) == len(zlib.compress(content, 6)) - 6  # zlib's header and checksum


def test_weights_of_an_unreadable_dtype_are_named() -> None:
    with pytest.raises(ModelError, match="kernel is stored as complex64"):
        flatbuffer.read(dense_model(np.zeros((2, 2), np.complex64), TYPE.COMPLEX64))


@pytest.mark.parametrize(
    ("dtype", "packed", "values"),
    [
        (TYPE.INT4, [0x8F, 0x70, 0x01], [-1, -8, 0, 7, 1, 0]),  # the low half of a byte comes first
        (TYPE.INT2, [0b11_10_01_00, 0b1101], [0, 1, -2, -1, 1, -1]),
    ],
)
def test_packed_weights_are_read_number_by_number(dtype: int, packed: list[int], values: list[int]) -> None:
    contents = flatbuffer.read(dense_model(np.zeros((2, 3), np.int8), dtype, data=bytes(packed)))
    (weight,) = contents.weights
    assert weight.values.ravel().tolist() == values
    assert weight.values.dtype == np.int8
    bits = {TYPE.INT4: 4, TYPE.INT2: 2}[dtype]
    assert (weight.dtype, weight.bits, contents.mean_bits) == (f"int{bits}", bits, bits)
    assert contents.stored_as == {f"FULLY_CONNECTED int{bits}": 6}
    assert contents.sparsity == values.count(0) / 6


@pytest.mark.parametrize("content", [b"", b"not a model at all"])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="must be a LiteRT model"):
        flatbuffer.read(content)
