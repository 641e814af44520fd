from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from stages.core import flatbuffer, plugins
from stages.core.errors import DataError, ModelError
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model

NAMES = plugins.names(SCHEMES)
WEIGHTS = {"float32": "float32", "float16": "float16", "dynamic_wi8_afp32": "int8", "static_wi8_ai8": "int8"}
TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "dynamic_wi8_afp32": 0.02, "static_wi8_ai8": 0.03}  # of a probability


def quantize(name: str, float32: bytes, clips: np.ndarray) -> bytes:
    scheme, config = QuantizeParams().scheme(name)
    result: bytes = scheme.quantize(config, float32, clips if scheme.NEEDS_CALIBRATION else None)
    return result


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_scores_stay_close_to_those_of_keras(
    name: str, n_classes: int, networks: dict[int, Any], float32s: dict[int, bytes], clips: np.ndarray
) -> None:
    expected = networks[n_classes].predict(clips, verbose=0)
    got = Model(quantize(name, float32s[n_classes], clips)).run(clips)
    assert expected.std() > 0.01  # else being close would mean nothing
    np.testing.assert_allclose(got, expected, atol=TOLERANCE[name])


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_what_the_name_claims(name: str, float32s: dict[int, bytes], clips: np.ndarray) -> None:
    scheme, config = QuantizeParams().scheme(name)
    model = quantize(name, float32s[2], clips)
    scheme.verify(config, model)
    contents = flatbuffer.read(model)
    assert {weight.values.dtype.name for weight in contents.weights} == {WEIGHTS[name]}
    assert contents.weights[0].values.itemsize * 8 == scheme.BIT_WIDTH
    assert len(contents.weights) == 4
    assert contents.negative_zeros == 0
    assert contents.sparsity >= 0.8 - 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_bytes(name: str, float32s: dict[int, bytes], clips: np.ndarray) -> None:
    assert quantize(name, float32s[2], clips) == quantize(name, float32s[2], clips)


@pytest.mark.parametrize("claimed", NAMES)
@pytest.mark.parametrize("actual", NAMES)
def test_no_scheme_accepts_the_file_of_another(
    claimed: str, actual: str, float32s: dict[int, bytes], clips: np.ndarray
) -> None:
    scheme, config = QuantizeParams().scheme(claimed)
    model = quantize(actual, float32s[2], clips)
    if claimed == actual:
        scheme.verify(config, model)
    else:
        with pytest.raises(ModelError, match=f"A {claimed} model must have"):
            scheme.verify(config, model)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_full_integer_has_integer_ends_and_the_fixed_scale_of_a_probability(
    n_classes: int, float32s: dict[int, bytes], clips: np.ndarray
) -> None:
    interpreter = Interpreter(model_content=quantize("static_wi8_ai8", float32s[n_classes], clips))
    (source,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] == scores["dtype"] == np.int8
    assert scores["quantization"] == (1 / 256, -128)
    scale, zero_point = source["quantization"]
    lowest, highest = (np.array([-128, 127]) - zero_point) * scale
    assert lowest == pytest.approx(clips.min(), abs=scale)  # the extremes of all clips, not their average
    assert highest == pytest.approx(clips.max(), abs=scale)


@pytest.mark.parametrize("calibration", [None, np.empty((0, 20, 12, 1), np.float32)])
def test_full_integer_without_calibration_clips_is_refused(
    calibration: np.ndarray | None, float32s: dict[int, bytes]
) -> None:
    scheme, config = QuantizeParams().scheme("static_wi8_ai8")
    with pytest.raises(DataError, match="must be given calibration clips; got none"):
        scheme.quantize(config, float32s[2], calibration)


def test_each_narrower_scheme_is_smaller(float32s: dict[int, bytes], clips: np.ndarray) -> None:
    sizes = [len(quantize(name, float32s[2], clips)) for name in ("float32", "float16", "dynamic_wi8_afp32")]
    assert sizes[0] > 1.7 * sizes[1]
    assert sizes[1] > 1.6 * sizes[2]
