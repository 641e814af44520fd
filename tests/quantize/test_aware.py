"""Fine-tuning with the integers in place, on a small network with everything in it, 80 % of its weights pruned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import rel_entr

from stages.core.artifacts.dataset import Split
from stages.core.litert import flatbuffer
from stages.core.nn.keras import keras
from stages.core.project.errors import ParameterError
from stages.core.training import loop
from stages.core.training.teacher import Distillation, TeacherTargets, softened
from stages.quantize import aware
from stages.quantize.convert import to_float32
from stages.quantize.params import AwareParams, QuantizeParams
from stages.quantize.simulation import simulate
from stages.runtime.litert import Model
from tests.marks import thorough_but

PARAMS = AwareParams(epochs=3, batch_size=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def split(clips: np.ndarray) -> Split:
    y = (clips.mean(axis=(1, 2, 3)) > 0).astype(int)
    texts = np.array([str(i) for i in range(len(y))])
    return Split(x=clips, y=y, groups=texts, sites=np.full(len(y), ""), clip_ids=texts, labels=("a", "b"))


def tune(name: str, float32: bytes, split: Split, checkpoint: Path | None = None, **given: Any) -> tuple[Any, bytes]:
    """Return what is learned and the file that is made of it."""
    scheme, config = QuantizeParams().scheme(name)
    calibration = split.x if scheme.NEEDS_CALIBRATION else None
    keras.utils.set_random_seed(1)
    quantized = scheme.quantize(config, float32, calibration)
    tuned = aware.finetune(float32, quantized, split, PARAMS, loop.Run(1, checkpoint=checkpoint), **given)
    return tuned, scheme.quantize(config, tuned.float32, tuned.ranges)


def cross_entropy(model: bytes, split: Split) -> float:
    scores = np.clip(Model(model).run(split.x)[:, 0], 1e-6, 1 - 1e-6)
    return float(-np.mean(np.log(np.where(split.y == 1, scores, 1 - scores))))


@pytest.mark.parametrize(
    "name",
    thorough_but(
        ["static_wi8_ai8", "static_wi4_ai8", "dynamic_wi4_afp32", "clustered_float32"],
        "static_wi8_ai8",
        "clustered_float32",
    ),
)
def test_the_file_is_the_function_that_learned_and_its_masks_are_kept(
    name: str, float32s: dict[int, bytes], split: Split
) -> None:
    scheme, config = QuantizeParams().scheme(name)
    before = scheme.quantize(config, float32s[2], split.x)
    tuned, after = tune(name, float32s[2], split)
    simulated = tuned.simulation(split.x, training=False).numpy()
    np.testing.assert_allclose(Model(after).run(split.x), simulated, atol=2 / 256 if tuned.ranges else 1e-2)
    assert cross_entropy(after, split) < cross_entropy(before, split)

    untouched, learned = flatbuffer.float_constants(float32s[2]), flatbuffer.float_constants(tuned.float32)
    pruned = [key for key, values in untouched.items() if values.ndim > 1 and np.mean(values == 0) > 0.5]
    assert len(pruned) == 3
    for key in pruned:
        np.testing.assert_array_equal(learned[key] == 0, untouched[key] == 0)
        assert not np.signbit(learned[key][learned[key] == 0]).any()
        assert not np.array_equal(learned[key], untouched[key])


@pytest.mark.thorough
def test_ranges_are_given_to_the_file_as_they_were_learned(float32s: dict[int, bytes], split: Split) -> None:
    from ai_edge_litert.interpreter import Interpreter

    tuned, model = tune("static_wi8_ai8", float32s[2], split)
    interpreter = Interpreter(model_content=model)
    (source,) = interpreter.get_input_details()
    low, high = tuned.ranges[source["name"]]
    assert source["quantization"][0] == pytest.approx((high - low) / 255, rel=1e-6)
    assert low < split.x.min() * 0.9 < 0 < split.x.max() * 0.9 < high


@pytest.mark.thorough
def test_a_killed_fine_tuning_goes_on_to_the_same_bytes(
    float32s: dict[int, bytes], split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    whole, _ = tune("static_wi4_ai8", float32s[2], split)
    checkpoint = tmp_path / "state.npz"

    class KilledError(Exception):
        pass

    def dies(self: Any, *_: Any) -> None:
        original(self)
        if self.step == 7:
            raise KilledError

    original = loop._Progress.save_now_and_then
    monkeypatch.setattr(loop._Progress, "save_now_and_then", dies)
    with pytest.raises(KilledError):
        tune("static_wi4_ai8", float32s[2], split, checkpoint=checkpoint)
    monkeypatch.setattr(loop._Progress, "save_now_and_then", original)
    resumed, _ = tune("static_wi4_ai8", float32s[2], split, checkpoint=checkpoint)
    assert resumed.float32 == whole.float32
    assert resumed.ranges == whole.ranges


def test_parameters_are_checked() -> None:
    with pytest.raises(ParameterError, match=r"quantize\.aware\.epochs must be at least 1; got 0"):
        AwareParams(epochs=0)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", thorough_but(["static_wi8_ai8", "dynamic_wi4_afp32", "clustered_float32"], "dynamic_wi4_afp32")
)
def test_it_learns_from_a_teacher_by_the_logits_before_the_last_operator(
    name: str, float32s: dict[int, bytes], split: Split
) -> None:
    scheme, config = QuantizeParams().scheme(name)
    simulation = simulate(float32s[2], scheme.quantize(config, float32s[2], split.x))
    scores = simulation(split.x, training=False).numpy()
    logits = np.asarray(simulation.layers[-1].logits)
    np.testing.assert_allclose(softened(logits, 1.0, False), scores, atol=1 / 256)

    teacher = np.where(split.x.std(axis=(1, 2, 3)) > np.median(split.x.std(axis=(1, 2, 3))), 2, -2)[:, np.newaxis]
    rule = Distillation(teacher="ensemble", temperature=1.0, alpha=0.0, feature_penalty=1.0)
    taught = TeacherTargets(rule, teacher.astype(np.float32), np.zeros((len(split), 0), np.float32))
    soft = softened(taught.logits, 1.0, False)[:, 0]
    _, alone = tune(name, float32s[2], split)
    _, told = tune(name, float32s[2], split, teacher=taught)

    def divergence(model: bytes) -> float:
        q = np.clip(Model(model).run(split.x)[:, 0].astype(float), 1e-3, 1 - 1e-3)
        return float((rel_entr(soft, q) + rel_entr(1 - soft, 1 - q)).mean())

    assert divergence(told) < divergence(alone)


def with_bias(network: Any) -> bytes:
    """Return the float32 file of a network whose last bias is not of zeros, which the converter would leave out."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    kernel, bias = copy.layers[-1].get_weights()
    copy.layers[-1].set_weights([kernel, bias + 0.1])
    return to_float32(copy)


@pytest.mark.parametrize(
    "name", thorough_but(["static_wi8_ai8", "static_wi4_ai8", "dynamic_wi4_afp32"], "static_wi8_ai8")
)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_logits_are_scaled_in_the_last_layer_alone_and_the_file_stays_its_simulation(
    name: str, n_classes: int, networks: dict[int, Any], clips: np.ndarray
) -> None:
    float32 = with_bias(networks[n_classes])
    scheme, config = QuantizeParams().scheme(name)
    before = scheme.quantize(config, float32, clips)
    simulation = simulate(float32, before)
    graph = simulation.layers[-1]
    scale = np.full(max(n_classes - 1, 1) if n_classes == 2 else n_classes, 0.5)
    shift = np.linspace(-1, 0.5, len(scale))
    assert graph.why_no_scaling() == ""
    simulation(clips, training=False)
    logits, learned = graph.logits.numpy(), graph.constants()
    graph.scale_logits(scale, shift)
    found = simulation(clips, training=False).numpy()
    z = logits * scale + shift
    expected = 1 / (1 + np.exp(-z)) if n_classes == 2 else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=0.03)
    constants = graph.constants()
    assert sum(not np.array_equal(constants[key], learned[key]) for key in learned) == 2
    assert all(np.array_equal(constants[key] == 0, learned[key] == 0) for key in learned)
    scaled = flatbuffer.with_float_constants(float32, constants)
    after = scheme.quantize(config, scaled, graph.activation_ranges() if scheme.NEEDS_CALIBRATION else None)
    assert len(after) == len(before)
    np.testing.assert_allclose(Model(after).run(clips), found, atol=2 / 256 if scheme.NEEDS_CALIBRATION else 2e-2)


@pytest.mark.thorough
def test_scores_are_calibrated_after_it(networks: dict[int, Any], split: Split) -> None:
    tuned, _ = tune("static_wi8_ai8", with_bias(networks[2]), split)
    before = tuned.simulation(split.x, training=False).numpy()[:, 0]
    calibrated, found = aware.calibrate(tuned, split, "temperature")
    assert found.changes_scores, found.reason
    after = calibrated.simulation(split.x, training=False).numpy()[:, 0]
    assert np.mean((after - split.y) ** 2) < np.mean((before - split.y) ** 2)
    assert (calibrated.float32 != tuned.float32, calibrated.ranges != tuned.ranges) == (True, True)


@pytest.mark.thorough
def test_a_file_whose_last_layer_has_no_bias_is_not_calibrated(float32s: dict[int, bytes], split: Split) -> None:
    tuned, _ = tune("static_wi8_ai8", float32s[2], split)
    same, found = aware.calibrate(tuned, split, "temperature")
    assert same is tuned
    assert found.reason == "the file does not end in a fully connected layer with a bias and a sigmoid or softmax"
