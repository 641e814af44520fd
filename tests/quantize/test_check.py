from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from stages.core.litert import flatbuffer
from stages.core.project.errors import ModelError
from stages.quantize.check import Checked, check
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from tests.quantize.conftest import build

FLOAT32, CONFIG = QuantizeParams().scheme("float32")


def edited(model: bytes, edit: Callable[[schema.ModelT], None]) -> bytes:
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    edit(tree)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def checked(model: bytes, **claims: Any) -> Checked:
    return check(model, scheme=FLOAT32, config=CONFIG, **{"float32": model, **claims})


def test_an_honest_file_passes_and_its_contents_come_back(float32s: dict[int, bytes]) -> None:
    found = checked(float32s[2], expected_sparsity=0.8)
    assert found.contents.operators["CONV_2D"] == 1
    assert found.pruned == pytest.approx(0.8, abs=0.005)
    assert found.rounded == 0


def test_fewer_zeros_than_claimed_are_refused(float32s: dict[int, bytes]) -> None:
    with pytest.raises(ModelError, match=r"90\.00% zeros .*got 79\.98%"):
        checked(float32s[2], expected_sparsity=0.9)


def test_zeros_that_rounding_made_are_not_pruning() -> None:
    """An unpruned network of two bits is half zeros, and was refused nothing when it was claimed to be half pruned."""
    scheme, config = QuantizeParams().scheme("dynamic_wi4_afp32")
    float32 = to_float32(build(2, sparsity=0.0))
    model = scheme.quantize(config, float32)
    found = check(model, scheme=scheme, config=config, float32=float32)
    assert found.pruned == 0
    assert found.rounded == pytest.approx(found.contents.sparsity)
    assert found.rounded > 0.05
    with pytest.raises(ModelError, match=r"5\.00% zeros .*got 0\.00%, .*rounding"):
        check(model, scheme=scheme, config=config, float32=float32, expected_sparsity=0.05)


def test_a_masked_weight_that_came_back_is_refused(float32s: dict[int, bytes]) -> None:
    last = flatbuffer.read(float32s[2]).prunable[-1]
    revived = flatbuffer.with_float_constants(float32s[2], {last.name: np.where(last.values == 0, 0.1, last.values)})
    n_masked = np.count_nonzero(last.values == 0)
    with pytest.raises(ModelError, match=rf"masked weight .*; {n_masked} "):
        checked(revived, float32=float32s[2])


def test_a_file_of_other_weights_is_refused(float32s: dict[int, bytes]) -> None:
    with pytest.raises(ModelError, match="weights of the float32 model"):
        checked(float32s[2], float32=float32s[5])


def test_a_negative_zero_is_refused(float32s: dict[int, bytes]) -> None:
    def spoil(tree: schema.ModelT) -> None:
        largest = max(tree.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
        values = np.frombuffer(bytes(largest.data), np.float32).copy()
        values[np.flatnonzero(values == 0)[0]] = -0.0
        largest.data = values.view(np.uint8)

    with pytest.raises(ModelError, match=r"negative zeros, .*got 1\b"):
        checked(edited(float32s[2], spoil), float32=float32s[2])


def test_a_custom_operator_is_refused(float32s: dict[int, bytes]) -> None:
    def rename(tree: schema.ModelT) -> None:
        code = next(c for c in tree.operatorCodes if c.builtinCode == schema.BuiltinOperator.LOGISTIC)
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"Mystery"

    with pytest.raises(ModelError, match="Mystery"):
        checked(edited(float32s[2], rename), float32=float32s[2])


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"\x1c\x00\x00\x00TFL3" + b"\x00" * 64])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a model that LiteRT can run"):
        checked(content)
