from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import recipe
from ai_edge_quantizer.quantizer import Quantizer

from stages.core.litert import flatbuffer
from stages.core.project import plugins
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model

NAMES = plugins.names(SCHEMES)
NARROW = {"CONV_2D", "FULLY_CONNECTED"}  # what LiteRT has int4 kernels for
WEIGHTS = {
    "float32": "float32",
    "float16": "float16",
    "clustered_float32": "float32",
    "sparse_float32": "float32",
    "sparse_float16": "float16",
    "dynamic_wi4_afp32": "int4",
    "dynamic_wi2_afp32": "int2",
    "static_wi4_ai8": "int4",
    "static_wimixed_ai8": "int4",
}  # else int8
COVERED = {  # the network's only convolution has one input channel, which dynamic schemes widen
    "dynamic_wi4_afp32": {"FULLY_CONNECTED"},
    "static_wi4_ai8": NARROW,
    "static_wimixed_ai8": NARROW,
    "dynamic_wi2_afp32": {"FULLY_CONNECTED"},
}
ENDS = {  # else float32
    "static_wi8_ai8": "int8",
    "static_wi4_ai8": "int8",
    "static_wimixed_ai8": "int8",
    "static_wi8_ai16": "int16",
}
MIXED = "static_wimixed_ai8"  # int8 too where it claims int4
TOLERANCE = {
    "float32": 1e-6,
    "clustered_float32": 1e-6,
    "sparse_float32": 1e-6,
    "float16": 1e-3,
    "sparse_float16": 1e-3,
    "weight_only_wi8_afp32": 1e-5,
    "sparse_weight_only_wi8_afp32": 1e-5,
    "static_wi8_ai16": 1e-3,
}  # of a probability, from the float network with the weights as stored; else 0.03, for activations of 8 bits


def quantize(name: str, float32: bytes, clips: np.ndarray) -> bytes:
    scheme, config = QuantizeParams().scheme(name)
    result: bytes = scheme.quantize(config, float32, clips if scheme.NEEDS_CALIBRATION else None)
    return result


def with_weights_of(model: bytes, float32: bytes) -> bytes:
    """Return the float32 model with the weights that another file stores, made real numbers by its scales."""
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    tensors = {tensor.name.decode(): tensor for tensor in tree.subgraphs[0].tensors}
    constants = flatbuffer.float_constants(float32)
    found = {}
    for weight in flatbuffer.read(model).weights:
        tensor = tensors[weight.name]
        values = weight.values.reshape(tensor.shape).astype(np.float32)
        if weight.dtype.startswith("int"):
            details = tensor.quantization
            if details.detailsType == schema.QuantizationDetails.BlockwiseQuantization:
                scales = tree.buffers[tree.subgraphs[0].tensors[details.details.scales].buffer]
                block = np.frombuffer(bytes(scales.data), np.float16).astype(np.float32).reshape(len(values), -1)
                scale = np.repeat(block, values.shape[1] // block.shape[1], axis=1)
            else:
                shape = np.ones(values.ndim, int)
                shape[details.quantizedDimension] = -1
                scale = np.reshape(details.scale, shape)
            values = values * scale
        found[weight.name] = values.astype(np.float32)
        assert constants[weight.name].shape == values.shape
    return flatbuffer.with_float_constants(float32, found)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_float_network_with_the_weights_as_stored(
    name: str, n_classes: int, float32s: dict[int, bytes], clips: np.ndarray
) -> None:
    model = quantize(name, float32s[n_classes], clips)
    expected = Model(with_weights_of(model, float32s[n_classes])).run(clips)
    assert expected.std() > 0.01  # else being close would mean nothing
    np.testing.assert_allclose(Model(model).run(clips), expected, atol=TOLERANCE.get(name, 0.03))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in {*COVERED, "clustered_float32"}])
def test_scores_stay_close_to_those_of_keras(
    name: str, n_classes: int, networks: dict[int, Any], float32s: dict[int, bytes], clips: np.ndarray
) -> None:
    got = Model(quantize(name, float32s[n_classes], clips)).run(clips)
    expected = networks[n_classes].predict(clips, verbose=0)
    np.testing.assert_allclose(got, expected, atol=max(TOLERANCE.get(name, 0.03), 0.01 if "wi8" in name else 0))


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_what_the_name_claims(name: str, float32s: dict[int, bytes], clips: np.ndarray) -> None:
    scheme, config = QuantizeParams().scheme(name)
    model = quantize(name, float32s[2], clips)
    scheme.verify(config, model)
    contents, dtype = flatbuffer.read(model), WEIGHTS.get(name, "int8")
    assert contents.inputs == contents.outputs == (ENDS.get(name, "float32"),)
    for weight in contents.weights:
        narrow = weight.operator in COVERED.get(name, {weight.operator})
        assert weight.dtype == (dtype if narrow else "int8") or (name == MIXED and narrow and weight.dtype == "int8")
    assert dtype.endswith(str(scheme.BIT_WIDTH))
    assert len(contents.weights) == 4
    assert contents.negative_zeros == 0
    assert contents.sparsity >= 0.8 - 0.01


@pytest.mark.parametrize("name", NAMES)
def test_a_masked_weight_is_still_zero(name: str, float32s: dict[int, bytes], clips: np.ndarray) -> None:
    before = {w.name: w.values for w in flatbuffer.read(float32s[2]).weights}
    after = {w.name: w.values for w in flatbuffer.read(quantize(name, float32s[2], clips)).weights}
    assert before.keys() == after.keys()
    for weight, values in before.items():
        assert not after[weight][values == 0].any()


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
    contained = {("float32", "clustered_float32"), (MIXED, "static_wi4_ai8"), (MIXED, "static_wi8_ai8")}
    if claimed == actual or (claimed, actual) in contained:
        scheme.verify(config, model)
    else:
        with pytest.raises(ModelError, match=f"A {claimed} model must have"):
            scheme.verify(config, model)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("dynamic")])
def test_dynamic_files_widen_what_is_slower_in_integers_and_nothing_else(name: str, float32s: dict[int, bytes]) -> None:
    scheme, config = QuantizeParams().scheme(name)
    weights = flatbuffer.read(scheme.quantize(config, float32s[2], None)).weights
    assert {w.operator: (w.through, w.dtype == "int8") for w in weights} == {
        "CONV_2D": (("DEQUANTIZE",), True),
        "DEPTHWISE_CONV_2D": (("DEQUANTIZE",), True),
        "FULLY_CONNECTED": ((), scheme.BIT_WIDTH == 8),
    }


def test_a_dynamic_file_that_widens_nothing_is_refused(float32s: dict[int, bytes]) -> None:
    scheme, config = QuantizeParams().scheme("dynamic_wi8_afp32")
    plain = bytes(Quantizer(float32s[2], recipe.dynamic_wi8_afp32()).quantize().quantized_model)
    with pytest.raises(ModelError, match="DEQUANTIZE; got directly"):
        scheme.verify(config, plain)


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
@pytest.mark.parametrize("name", sorted(ENDS))
def test_full_integer_without_calibration_clips_is_refused(
    name: str, calibration: np.ndarray | None, float32s: dict[int, bytes]
) -> None:
    scheme, config = QuantizeParams().scheme(name)
    assert scheme.NEEDS_CALIBRATION
    with pytest.raises(DataError, match=f"{name} must .*got none"):
        scheme.quantize(config, float32s[2], calibration)


def test_each_narrower_scheme_is_smaller(float32s: dict[int, bytes], clips: np.ndarray) -> None:
    sizes = [len(quantize(name, float32s[2], clips)) for name in ("float32", "float16", "dynamic_wi8_afp32")]
    assert sizes[0] > 1.7 * sizes[1]
    assert sizes[1] > 1.6 * sizes[2]


@pytest.mark.parametrize("name", ["dynamic_wi4_afp32", "static_wi4_ai8"])
def test_two_int4_weights_share_a_byte(name: str, float32s: dict[int, bytes], clips: np.ndarray) -> None:
    eight = quantize(name.replace("wi4", "wi8"), float32s[2], clips)
    four = quantize(name, float32s[2], clips)
    narrow = sum(w.values.size for w in flatbuffer.read(four).weights if w.dtype == "int4")
    assert len(eight) - len(four) == pytest.approx(narrow / 2, abs=600)  # int32 zero points and alignment apart
    assert flatbuffer.read(four).mean_bits < 4.1


def test_operators_without_a_narrow_form_are_counted(float32s: dict[int, bytes], clips: np.ndarray) -> None:
    contents = flatbuffer.read(quantize("dynamic_wi2_afp32", float32s[2], clips))
    kinds = {w.operator: w.values.size for w in flatbuffer.read(float32s[2]).weights if "FULLY" not in w.operator}
    assert {k: v for k, v in contents.stored_as.items() if v in kinds.values()} == {
        f"{operator} int8": size for operator, size in kinds.items()
    }
    wide, total = sum(kinds.values()), sum(contents.stored_as.values())
    assert contents.mean_bits == pytest.approx((8 * wide + 2 * (total - wide)) / total)


def test_blocks_have_scales_of_their_own_where_they_divide_the_inputs(
    float32s: dict[int, bytes], clips: np.ndarray
) -> None:
    params = QuantizeParams(options={"dynamic_wi4_afp32": {"block_size": 64}})
    scheme, config = params.scheme("dynamic_wi4_afp32")
    model = scheme.quantize(config, float32s[5], None)
    scheme.verify(config, model)
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    blocks = schema.QuantizationDetails.BlockwiseQuantization
    shapes = [t.shape[-1] for t in tree.subgraphs[0].tensors if t.quantization and t.quantization.detailsType == blocks]
    assert shapes == [256]  # the last layer has 32 inputs and keeps one scale per channel
    expected = Model(with_weights_of(model, float32s[5])).run(clips)
    np.testing.assert_allclose(Model(model).run(clips), expected, atol=0.03)


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("dynamic_wi4_afp32", {"block_size": 48}, "block_size must be one of 0, 32, 64, 128, 256; got 48"),
        ("dynamic_wi4_afp32", {"weight_range": "mse"}, r"weight_range .*min_max, octav; got 'mse'"),
        ("dynamic_wi2_afp32", {"weight_range": ""}, "dynamic_wi2_afp32.weight_range must be one of"),
        ("static_wi4_ai8", {"calibration": "max"}, r"quantize.calibration .*min_max, percentile, mse"),
    ],
)
def test_options_that_litert_has_no_form_for_are_refused(scheme: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        QuantizeParams(options={scheme: options}).scheme(scheme)


def test_clipped_weights_are_closer_on_average(float32s: dict[int, bytes]) -> None:
    """Octav minimises the mean squared error of the weights that the float model holds."""

    def error(weight_range: str) -> float:
        params = QuantizeParams(options={"dynamic_wi2_afp32": {"weight_range": weight_range}})
        scheme, config = params.scheme("dynamic_wi2_afp32")
        stored = flatbuffer.float_constants(with_weights_of(scheme.quantize(config, float32s[2], None), float32s[2]))
        exact = flatbuffer.float_constants(float32s[2])
        return float(sum(((stored[name] - exact[name]) ** 2).sum() for name in exact))

    assert error("octav") < error("min_max")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("sparse")])
def test_leaving_the_zeros_out_changes_no_score(name: str, float32s: dict[int, bytes], clips: np.ndarray) -> None:
    dense = quantize(name.removeprefix("sparse_"), float32s[2], clips)
    sparse = quantize(name, float32s[2], clips)
    assert len(sparse) < len(dense)
    assert flatbuffer.read(sparse).operators["DENSIFY"] >= 1
    np.testing.assert_array_equal(Model(sparse).run(clips), Model(dense).run(clips))
    kept = {w.name: w.values for w in flatbuffer.read(dense).weights}
    for weight in flatbuffer.read(sparse).weights:
        np.testing.assert_array_equal(weight.values, kept[weight.name])


def test_a_network_without_zeros_stays_dense(float32s: dict[int, bytes]) -> None:
    full = {
        name: np.where(values == 0, np.float32(0.1), values)
        for name, values in flatbuffer.float_constants(float32s[2]).items()
    }
    float32 = flatbuffer.with_float_constants(float32s[2], full)
    scheme, config = QuantizeParams().scheme("sparse_float32")
    assert scheme.quantize(config, float32, None) == float32
    scheme.verify(config, float32)
