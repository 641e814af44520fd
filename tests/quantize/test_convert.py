import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from stages.core.litert import flatbuffer
from stages.core.project import files
from stages.core.project.errors import ModelError
from stages.quantize.convert import to_float32

ROOT = Path(__file__).resolve().parents[2]


def test_signature_names_features_and_scores_and_the_batch_is_one(float32s: dict[int, bytes]) -> None:
    interpreter = Interpreter(model_content=float32s[2])
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["features"], "outputs": ["scores"]}}
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 20, 12, 1]
    assert interpreter.get_output_details()[0]["shape"].tolist() == [1, 1]


def test_normalisation_is_folded_right_after_a_convolution_and_behind_its_activation(
    float32s: dict[int, bytes],
) -> None:
    assert not {"MUL", "ADD", "SUB"} & flatbuffer.read(float32s[2]).operators.keys()


def test_masked_negative_weights_do_not_stay_negative_zeros(
    networks: dict[int, Any], float32s: dict[int, bytes]
) -> None:
    kernel = networks[2].get_layer("dense").get_weights()[0]
    assert np.signbit(kernel[kernel == 0]).any()
    assert flatbuffer.read(float32s[2]).negative_zeros == 0
    assert np.signbit(kernel[kernel == 0]).any()  # the network itself is not changed


def test_the_network_is_not_changed_and_converts_to_the_same_bytes_again(
    networks: dict[int, Any], float32s: dict[int, bytes]
) -> None:
    before = [w.copy() for w in networks[2].get_weights()]
    assert to_float32(networks[2]) == float32s[2]
    for old, new in zip(before, networks[2].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.thorough
def test_another_process_makes_the_same_bytes(float32s: dict[int, bytes], tmp_path: Path) -> None:
    target = tmp_path / "again.tflite"
    program = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]; import conftest\n"
        "from stages.quantize.convert import to_float32\n"
        "Path(sys.argv[1]).write_bytes(to_float32(conftest.build(2, sparsity=0.8)))"
    )
    folders = [str(ROOT / "tests" / "quantize"), str(ROOT)]
    subprocess.run([sys.executable, "-c", program, str(target), *folders], check=True, cwd=tmp_path)
    reference = tmp_path / "reference.tflite"
    reference.write_bytes(float32s[2])
    assert files.sha256(target) == files.sha256(reference)


def test_no_path_of_this_machine_is_in_the_file(float32s: dict[int, bytes]) -> None:
    assert str(ROOT).encode() not in float32s[2]


def test_an_operator_that_litert_does_not_build_in_is_named() -> None:
    from stages.core.nn.keras import keras, tf

    source = keras.layers.Input((4,))
    network = keras.Model(source, keras.layers.Lambda(lambda x: tf.math.igamma(x, x))(source), name="odd")
    with pytest.raises(ModelError, match=r"'odd' must .*got Igamma"):
        to_float32(network)
