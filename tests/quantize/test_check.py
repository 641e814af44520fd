from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from stages.core.project.errors import ModelError
from stages.quantize.check import check
from stages.quantize.params import QuantizeParams

FLOAT32, CONFIG = QuantizeParams().scheme("float32")


def edited(model: bytes, edit: Callable[[schema.ModelT], None]) -> bytes:
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    edit(tree)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def test_an_honest_file_passes_and_its_contents_come_back(float32s: dict[int, bytes]) -> None:
    contents = check(float32s[2], scheme=FLOAT32, config=CONFIG, expected_sparsity=0.8)
    assert contents.operators["CONV_2D"] == 1
    assert contents.sparsity == pytest.approx(0.8, abs=0.005)


def test_fewer_zeros_than_claimed_are_refused(float32s: dict[int, bytes]) -> None:
    with pytest.raises(ModelError, match=r"must have 90\.00% zeros among its prunable weights; got 79\.98%"):
        check(float32s[2], scheme=FLOAT32, config=CONFIG, expected_sparsity=0.9)


def test_a_negative_zero_is_refused(float32s: dict[int, bytes]) -> None:
    def spoil(tree: schema.ModelT) -> None:
        largest = max(tree.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
        values = np.frombuffer(bytes(largest.data), np.float32).copy()
        values[np.flatnonzero(values == 0)[0]] = -0.0
        largest.data = values.view(np.uint8)

    with pytest.raises(ModelError, match="no negative zeros, which spoil compression; got 1"):
        check(edited(float32s[2], spoil), scheme=FLOAT32, config=CONFIG)


def test_a_custom_operator_is_refused(float32s: dict[int, bytes]) -> None:
    def rename(tree: schema.ModelT) -> None:
        code = next(c for c in tree.operatorCodes if c.builtinCode == schema.BuiltinOperator.LOGISTIC)
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"Mystery"

    with pytest.raises(ModelError, match="Mystery"):
        check(edited(float32s[2], rename), scheme=FLOAT32, config=CONFIG)


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"\x1c\x00\x00\x00TFL3" + b"\x00" * 64])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a model that LiteRT can run"):
        check(content, scheme=FLOAT32, config=CONFIG)
