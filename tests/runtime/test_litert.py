from pathlib import Path

import numpy as np
import pytest

from stages.core.nn.keras import tf
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model, dequantise, latency, quantise


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def float_model(weights: np.ndarray) -> bytes:
    return _converter(weights).convert()


@pytest.fixture(scope="module")
def int8_model(weights: np.ndarray) -> bytes:
    converter = _converter(weights)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    clips = np.random.default_rng(1).uniform(-1, 1, (200, 1, 6)).astype(np.float32)
    converter.representative_dataset = lambda: ([clip] for clip in clips)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def _converter(weights: np.ndarray) -> "tf.lite.TFLiteConverter":
    function = tf.function(lambda x: x @ weights, input_signature=[tf.TensorSpec((1, 6), tf.float32)])
    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())


def test_a_float_model_computes_what_it_should(
    float_model: bytes, weights: np.ndarray, rng: np.random.Generator
) -> None:
    model = Model(float_model)
    batch = rng.uniform(-1, 1, (5, 6)).astype(np.float32)
    assert (model.input_shape, model.output_shape) == ((6,), (3,))
    np.testing.assert_allclose(model.run(batch), batch @ weights, atol=1e-5)
    assert model.run(batch[:0]).shape == (0, 3)


def test_an_int8_model_takes_and_gives_real_numbers(
    int8_model: bytes, weights: np.ndarray, rng: np.random.Generator, tmp_path: Path
) -> None:
    (tmp_path / "m.tflite").write_bytes(int8_model)
    batch = rng.uniform(-0.7, 0.7, (50, 6)).astype(np.float32)
    outputs = Model(tmp_path / "m.tflite", threads=2).run(batch)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, batch @ weights, atol=0.1)
    assert np.corrcoef(outputs.ravel(), (batch @ weights).ravel())[0, 1] > 0.999


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_quantising_rounds_clips_and_returns(dtype: type) -> None:
    tensor = {"dtype": dtype, "quantization": (0.5, 3)}
    limits = np.iinfo(dtype)
    stored = quantise(np.array([0, 1.1, 1e9, -1e9], np.float32), tensor)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, [3, 5, limits.max, limits.min])
    np.testing.assert_array_equal(dequantise(stored[:2], tensor), [0, 1])


def test_latency_is_one_positive_time_per_run(float_model: bytes) -> None:
    seconds = latency(Model(float_model), np.zeros(6, np.float32), warmup=1, runs=7)
    assert seconds.shape == (7,)
    assert (seconds > 0).all()


def test_clips_of_another_shape_are_refused(float_model: bytes) -> None:
    with pytest.raises(RuntimeInputError, match=r"shape \(6,\); got \(5,\)"):
        Model(float_model).run(np.zeros((1, 5), np.float32))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeInputError, match="not a model that LiteRT can run"):
        Model(b"TFL, not")
    with pytest.raises(RuntimeInputError, match=r"none\.tflite cannot be read"):
        Model(tmp_path / "none.tflite")
