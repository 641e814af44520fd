"""Constants inside the flatbuffer: read with the plain schema alone, as runtimes do that know no offsets."""

from functools import partial

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import buffers
from stages.core.nn.keras import keras
from stages.core.project import plugins
from stages.core.project.errors import ModelError
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model

BYTES = {
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.INT8: 1,
    schema.TensorType.INT32: 4,
}


@pytest.fixture(scope="module")
def float32() -> bytes:
    """A network so large that the quantiser puts its weights behind the flatbuffer."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(1000, "relu"), keras.layers.Dense(1500, "relu"), keras.layers.Dense(3, "softmax")]
    return to_float32(keras.Sequential([keras.layers.Input((40,)), *layers]))


def kept(left: list[bytes], model: bytes) -> bytes:
    """Leave a model as the quantiser wrote it."""
    left.append(model)
    return model


@pytest.mark.thorough
def test_every_scheme_leaves_files_that_are_read_with_the_plain_schema(
    float32: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = np.random.default_rng(2).normal(size=(8, 40)).astype(np.float32)
    moved = 0
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        left: list[bytes] = []
        with monkeypatch.context() as patch:
            patch.setattr(buffers, "inside", partial(kept, left))
            before = scheme.quantize(config, float32, clips)
        after = scheme.quantize(config, float32, clips)
        assert buffers.behind(after) == [], name
        assert abs(len(after) / len(before) - 1) < 1e-3, name
        np.testing.assert_array_equal(Model(after).run(clips), Model(before).run(clips), name)
        moved += any(buffers.behind(model) for model in left)
        root = schema.Model.GetRootAs(after, 0)
        graph = root.Subgraphs(0)
        weights = 0
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            buffer = root.Buffers(tensor.Buffer())
            if buffer.DataIsNone() or tensor.Sparsity() is not None:
                continue
            size = int(np.prod(tensor.ShapeAsNumpy())) if tensor.ShapeLength() else 1
            if tensor.Type() in BYTES:
                assert buffer.DataLength() == size * BYTES[tensor.Type()], (name, tensor.Name())
            weights += buffer.DataLength()
        assert weights > 0.9 * len(after) or "sparse" in name or "wi2" in name, name
        assert buffers.inside(after) is after
    assert moved >= 5, "the quantiser puts nothing behind the flatbuffer any more: `inside` can go"


def test_buffers_are_aligned_as_the_schema_asks(float32: bytes) -> None:
    scheme, config = QuantizeParams().scheme("dynamic_wi8_afp32")
    model = scheme.quantize(config, float32, None)
    root = schema.Model.GetRootAs(model, 0)
    for i in range(root.BuffersLength()):
        if not root.Buffers(i).DataIsNone():
            table = root.Buffers(i)._tab
            assert table.Vector(table.Offset(4)) % buffers.ALIGNMENT == 0


@pytest.mark.parametrize("content", [b"", b"no", b"\0" * 100])
def test_what_is_no_model(content: bytes) -> None:
    with pytest.raises(ModelError, match="must be a LiteRT flatbuffer"):
        buffers.inside(content)
