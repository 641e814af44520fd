"""Whole files: what was chosen is what they hold, and it is nearer to the float network."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import flatbuffer
from stages.core.project.errors import DataError, ParameterError
from stages.quantize import post_training, weight_layers
from stages.quantize.params import QuantizeParams, needs_clips
from stages.quantize.post_training import PostTraining, to_nearest
from stages.quantize.weight_layers import Values
from stages.runtime.litert import Model
from tests.marks import thorough_but

METHODS = ("nearest", "adaround", "gptq")
SCHEMES = ("static_wi4_ai8", "dynamic_wi4_afp32", "dynamic_wi2_afp32")


def quantize(name: str, float32: bytes, clips: np.ndarray, **params: Any) -> bytes:
    scheme, config = QuantizeParams(**params).scheme(name)
    result: bytes = scheme.quantize(config, float32, clips)
    return result


def dequantised(model: bytes) -> dict[str, np.ndarray]:
    """Return the narrow weights of a file as real numbers, by its own scales."""
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    scales = {t.name.decode(): t.quantization.scale for t in tree.subgraphs[0].tensors if t.quantization}
    narrow = [w for w in flatbuffer.read(model).weights if w.bits < 8]
    return {
        w.name: w.values * np.asarray(scales[w.name], np.float32).reshape(-1, *[1] * (w.values.ndim - 1))
        for w in narrow
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SCHEMES)
def test_the_file_holds_the_weights_that_were_chosen(name: str, method: str, float32: bytes, clips: np.ndarray) -> None:
    params = PostTraining(method, bias_correction=True)
    held = dequantised(quantize(name, float32, clips, weight_rounding=method, bias_correction=True))
    bits = dict.fromkeys(held, 2 if "wi2" in name else 4)
    assert len(held) >= 2
    chosen = post_training.round_weights(float32, clips, bits, params)
    constants, before = (flatbuffer.float_constants(each) for each in (chosen.float32, float32))
    for kernel, values in held.items():
        np.testing.assert_array_equal(values, constants[kernel])
        assert not values[before[kernel] == 0].any()
        assert (before[kernel] == 0).mean() > 0.5  # so that the line above says something


@pytest.mark.parametrize("method", thorough_but(METHODS, "gptq"))
def test_bias_correction_leaves_no_mean_error_in_a_layers_output(
    method: str, float32: bytes, clips: np.ndarray
) -> None:
    found = weight_layers.find(float32)
    bits = {layer.kernel: 4 for layer in found}

    def mean_errors(*, corrected: bool) -> list[float]:
        rounded = post_training.round_weights(float32, clips, bits, PostTraining(method, corrected)).float32
        worst = []
        for layer in found:
            assert layer.bias is not None
            outputs = []
            for file in (float32, rounded):
                constants = flatbuffer.float_constants(file)
                rows = layer.rows(Values(file, layer.sources[0]).of(clips)).astype(np.float64)
                outputs.append(rows @ constants[layer.kernel].reshape(layer.shape[0], -1).T + constants[layer.bias])
            exact, ours = outputs
            worst.append(float(np.abs((ours - exact).mean(axis=0) / (exact.std(axis=0) + 1e-3)).max()))
        return worst

    assert max(mean_errors(corrected=True)) < 1e-5
    assert min(mean_errors(corrected=False)[1:]) > 0.05  # the mean input of the first is about 0


@pytest.mark.parametrize("name", SCHEMES)
def test_scores_come_nearer_to_the_float_networks(name: str, float32: bytes, clips: np.ndarray) -> None:
    """On clips that are not those of the calibration."""
    other = np.random.default_rng(11).normal(size=(64, *clips.shape[1:])).astype(np.float32)
    expected = Model(float32).run(other)

    def distance(**params: Any) -> float:
        return float(np.abs(Model(quantize(name, float32, clips, **params)).run(other) - expected).mean())

    for method in ("adaround", "gptq"):
        assert distance(weight_rounding=method, bias_correction=True) < 0.9 * distance()


@pytest.mark.thorough
def test_the_same_input_gives_the_same_bytes(float32: bytes, clips: np.ndarray) -> None:
    files = [quantize("static_wi4_ai8", float32, clips, weight_rounding=m) for m in ("gptq", "gptq", "adaround")]
    assert files[0] == files[1] != files[2]
    plain = quantize("static_wi4_ai8", float32, clips)
    assert plain == quantize("static_wi4_ai8", float32, clips, weight_rounding="nearest") != files[0]
    assert len(plain) == len(files[0])


def test_weights_of_quantisation_aware_training_are_rounded_to_the_nearest(float32: bytes, clips: np.ndarray) -> None:
    ranges = dict.fromkeys(names_of_tensors(float32), (-8.0, 8.0))
    scheme, plain = QuantizeParams().scheme("static_wi4_ai8")
    _, asked = QuantizeParams(weight_rounding="gptq", bias_correction=True).scheme("static_wi4_ai8")
    assert scheme.quantize(asked, float32, ranges) == scheme.quantize(plain, float32, ranges)
    assert to_nearest(asked) == plain
    assert to_nearest(plain) == plain


def names_of_tensors(model: bytes) -> list[str]:
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    return [tensor.name.decode() for tensor in tree.subgraphs[0].tensors]


def test_only_rounding_asks_a_dynamic_scheme_for_clips(float32: bytes) -> None:
    scheme, config = QuantizeParams().scheme("dynamic_wi4_afp32")
    assert not needs_clips(scheme, config)
    scheme.quantize(config, float32, None)
    _, config = QuantizeParams(bias_correction=True).scheme("dynamic_wi4_afp32")
    assert needs_clips(scheme, config)
    assert not needs_clips(*QuantizeParams(equalisation="weights").scheme("dynamic_wi4_afp32"))
    assert needs_clips(*QuantizeParams(equalisation="activations").scheme("dynamic_wi4_afp32"))
    with pytest.raises(DataError, match=r"quantize.weight_rounding, .* must be given calibration clips; got none"):
        scheme.quantize(config, float32, None)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weight_rounding": "up"}, "quantize.weight_rounding must be one of nearest, adaround, gptq; got 'up'"),
        ({"equalisation": "layers"}, "quantize.equalisation must be one of none, weights, activations; got 'layers'"),
        (
            {"weight_rounding": "gptq", "options": {"dynamic_wi4_afp32": {"block_size": 32}}},
            "quantize.options.dynamic_wi4_afp32.block_size must be 0 with quantize.weight_rounding",
        ),
        (
            {"bias_correction": True, "options": {"dynamic_wi4_afp32": {"weight_range": "octav"}}},
            "quantize.options.dynamic_wi4_afp32.weight_range must be min_max with quantize.weight_rounding",
        ),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        QuantizeParams(**params).scheme("dynamic_wi4_afp32")


def test_a_schemes_own_choice_goes_first() -> None:
    params = QuantizeParams(weight_rounding="gptq", options={"static_wi4_ai8": {"weight_rounding": "nearest"}})
    found = {name: params.scheme(name)[1].weight_rounding for name in SCHEMES}
    assert found == {"static_wi4_ai8": "nearest", "dynamic_wi4_afp32": "gptq", "dynamic_wi2_afp32": "gptq"}
