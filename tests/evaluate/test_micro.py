"""8-bit files in TensorFlow Lite Micro: LiteRT's integers to the bit, or refused with the operator's name."""

from pathlib import Path

import numpy as np
import pytest

from stages.evaluate import micro
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.select.params import SelectParams
from stages.select.rules import excess
from tests.messages import line_with

pytestmark = pytest.mark.skipif(not micro.available(), reason="needs the extra `micro`")
SHAPE = (20, 8, 1)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(24, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def float32() -> bytes:
    from stages.core.nn.keras import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    return to_float32(
        keras.Sequential(
            [
                layers.Input(SHAPE),
                layers.Conv2D(16, 3, activation="relu"),
                layers.DepthwiseConv2D(3, activation="relu"),
                layers.Conv2D(32, 1, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(1, "sigmoid"),
            ]
        )
    )


def quantised(scheme: str, float32: bytes, clips: np.ndarray, folder: Path) -> Path:
    module, config = QuantizeParams(calibration_clips=16).scheme(scheme)
    path = folder / f"{scheme}.tflite"
    path.write_bytes(module.quantize(config, float32, clips if module.NEEDS_CALIBRATION else None))
    return path


def test_a_full_integer_file_gives_the_same_integers_and_tells_its_arena(
    float32: bytes, clips: np.ndarray, tmp_path: Path
) -> None:
    found = micro.run(quantised("static_wi8_ai8", float32, clips, tmp_path), clips)
    assert found.refused == ""
    assert found.arena_bytes is not None
    largest = 18 * 6 * 16  # bytes of the first layer's output, which must lie in the arena
    assert largest < found.arena_bytes < 20 * largest


def test_a_dynamic_file_is_refused_with_the_operators_name(float32: bytes, clips: np.ndarray, tmp_path: Path) -> None:
    found = micro.run(quantised("dynamic_wi8_afp32", float32, clips, tmp_path), clips)
    assert found.arena_bytes is None
    assert any(name in found.refused for name in ("CONV_2D", "FULLY_CONNECTED")), found


def test_what_is_no_model_and_other_integers_are_refused(
    float32: bytes, clips: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nothing.tflite").write_bytes(b"nothing" * 99)
    assert micro.run(tmp_path / "nothing.tflite", clips).refused
    path = quantised("static_wi8_ai8", float32, clips, tmp_path)
    (tmp_path / "sitecustomize.py").write_text(CONSTANT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert line_with(micro.run(path, clips).refused, "LiteRT's integers", "by up to")


CONSTANT = """
from tflite_micro.python.tflite_micro import runtime
runtime.Interpreter.get_output = lambda self, index: self._interpreter.GetOutputTensor(index) * 0 - 100
"""


def test_the_arena_is_a_budget() -> None:
    budget = SelectParams(budget={"arena_bytes": 10_000}).budget
    assert excess({"arena_bytes": 9_000}, budget) == {}
    assert excess({"arena_bytes": 20_000}, budget) == {"arena_bytes": 1.0}
    assert excess({"arena_bytes": None}, budget) == {"arena_bytes": float("inf")}
    assert excess({}, budget) == {"arena_bytes": float("inf")}
