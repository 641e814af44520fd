"""What a student learns from a teacher, against arithmetic in float64 and finite differences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras, tf
from stages.core.project import files, plugins
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.core.training import batches, distillation_loss, loop
from stages.core.training.distillation_loss import logits_network
from stages.core.training.inference import predict
from stages.core.training.params import BetweenClass, FitParams
from stages.core.training.teacher import Distillation, TeacherFolder, TeacherTargets, softened, teacher_folder
from tests.marks import thorough_but

tf.config.experimental.enable_op_determinism()
RULE = Distillation(teacher="ensemble", temperature=3.0, alpha=0.3)
SHAPES = {"acdnet": (30225, 1), "micro_acdnet": (30225, 1), "wav2vec2_student": (16000, 1)}


class Params(FitParams):
    SECTION = "train"


def clips(rng: np.random.Generator, n: int = 24, n_classes: int = 3, *, multi_label: bool = False) -> Split:
    y = np.arange(n) % n_classes
    x = rng.normal(size=(n, 5, 4)).astype(np.float32)
    names = np.array([str(i) for i in range(n)])
    several = (rng.random((n, n_classes)) < 0.5).astype(np.int64)
    return Split(x, several if multi_label else y, names, names, names, tuple("abcdef"[:n_classes]), bands=(100.0,) * 4)


def taught(split: Split, rng: np.random.Generator, n_outputs: int = 3, d: int = 0, **rule: Any) -> TeacherTargets:
    sizes = ((len(split), n_outputs), (len(split), d))
    logits, embeddings = (rng.normal(scale=3, size=size).astype(np.float32) for size in sizes)
    return TeacherTargets(replace(RULE, **rule), logits, embeddings)


def small(n_outputs: int = 3, *, sigmoid: bool = False, dropout: float = 0.0) -> Any:
    keras.utils.set_random_seed(5)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((5, 4)),
            layers.Dense(6, "tanh", name="encoder"),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(dropout),
            layers.Dense(n_outputs, "sigmoid" if sigmoid else "softmax", name="scores"),
        ]
    )


def softmax_kl(p: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.asarray(scipy.special.rel_entr(p, scipy.special.softmax(z, axis=1)).sum(axis=1))


def sigmoid_kl(p: np.ndarray, z: np.ndarray) -> np.ndarray:
    q = scipy.special.expit(z)
    return np.asarray(scipy.special.rel_entr(p, q) + scipy.special.rel_entr(1 - p, 1 - q))


LOGITS = arrays(np.float32, (4, 3), elements=st.floats(-8, 8, width=32))


@pytest.mark.thorough
@given(LOGITS, LOGITS, st.floats(0.5, 20))
def test_divergence_is_scipys(teacher: np.ndarray, student: np.ndarray, temperature: float) -> None:
    for multi_label, reference in ((False, softmax_kl), (True, sigmoid_kl)):
        p = softened(teacher, temperature, multi_label)
        got = distillation_loss.divergence(tf.constant(p), tf.constant(student), temperature, multi_label).numpy()
        expected = reference(p.astype(np.float64), student.astype(np.float64) / temperature)
        np.testing.assert_allclose(got, expected, atol=2e-5)
    p = softened(teacher[:, :1], temperature, False)
    got = distillation_loss.divergence(tf.constant(p), tf.constant(student[:, :1]), temperature, False).numpy()
    np.testing.assert_allclose(
        got, sigmoid_kl(p.astype(np.float64), student[:, :1] / np.float64(temperature)), atol=2e-5
    )


def gradient(teacher: np.ndarray, student: np.ndarray, temperature: float, *, multi_label: bool = False) -> np.ndarray:
    z = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(z)
        p = tf.constant(softened(teacher, temperature, multi_label))
        loss = temperature**2 * tf.reduce_sum(distillation_loss.divergence(p, z, temperature, multi_label))
    return np.asarray(tape.gradient(loss, z))


@given(LOGITS, LOGITS, st.floats(0.5, 20), st.booleans())
def test_gradient_is_the_closed_form(v: np.ndarray, z: np.ndarray, temperature: float, multi_label: bool) -> None:
    probabilities = softened
    expected = temperature * (probabilities(z, temperature, multi_label) - probabilities(v, temperature, multi_label))
    np.testing.assert_allclose(gradient(v, z, temperature, multi_label=multi_label), expected, atol=2e-5)


def test_with_t_squared_the_gradient_tends_to_the_difference_of_logits(rng: np.random.Generator) -> None:
    v, z = (rng.normal(size=(6, 4)).astype(np.float32) for _ in range(2))
    centred = (z - z.mean(axis=1, keepdims=True) - v + v.mean(axis=1, keepdims=True)) / 4  # Hinton et al., equation 4
    np.testing.assert_allclose(gradient(v, z, 100.0), centred, atol=0.02)
    apart = np.abs(gradient(v, z, 1.0) - centred).max()
    assert apart > 0.1, "at T 1 it is something else"
    sizes = [np.linalg.norm(gradient(v, z, t)) for t in (25.0, 50.0, 100.0)]
    assert max(sizes) / min(sizes) < 1.05, "and its size does not depend on T"


@pytest.mark.parametrize("kind", ["softmax", "binary", "multi-label"])
def test_a_step_is_the_gradient_of_the_loss_by_finite_differences(kind: str, rng: np.random.Generator) -> None:
    """Hard and soft targets, the encoder's penalty and the cosine through a projection, in float64."""
    n_classes, multi_label = (2 if kind == "binary" else 3), kind == "multi-label"
    n_outputs = 1 if kind == "binary" else 3
    split = clips(rng, 12, n_classes, multi_label=multi_label)
    lesson = taught(split, rng, n_outputs, 5, feature_penalty=0.7, hidden_cosine=0.4)
    model, rate = small(n_outputs, sigmoid=kind != "softmax"), 1e-3
    before = [w.astype(np.float64) for w in model.get_weights()]
    params = Params(optimizer="sgd", learning_rate=rate, batch_size=12, epochs=1, class_weights=False)
    loop.fit(model, split, params, loop.Run(7), teacher=lesson)
    projection = keras.initializers.GlorotUniform(7)((6, 5)).numpy().astype(np.float64)
    x, t = split.x.astype(np.float64), np.eye(n_classes)[split.y][:, -n_outputs:] if not multi_label else split.y
    p = softened(lesson.logits, 3.0, multi_label).astype(np.float64)

    def loss(weights: list[np.ndarray]) -> float:
        encoded = np.tanh(x @ weights[0] + weights[1])
        hidden = encoded.mean(axis=1)
        z, projected = hidden @ weights[2] + weights[3], hidden @ projection
        if kind == "softmax":
            hard, soft = -(t * scipy.special.log_softmax(z, axis=1)).sum(axis=1), softmax_kl(p, z / 3)
        else:
            hard, soft = np.logaddexp(0, z) - t * z, sigmoid_kl(p, z / 3)
        norms = np.linalg.norm(projected, axis=1) * np.linalg.norm(lesson.embeddings, axis=1)
        cosine = (projected * lesson.embeddings).sum(axis=1) / norms
        value = 0.3 * hard.mean() + 0.7 * 9 * soft.mean() + 0.7 * (encoded**2).mean() + 0.4 * (1 - cosine.mean())
        return float(value)

    for i, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
        for where in np.ndindex(old.shape):
            values = []
            for step in (1e-5, -1e-5):
                moved = [w.copy() for w in before]
                moved[i][where] += step
                values.append(loss(moved))
            expected = (values[0] - values[1]) / 2e-5
            got = (old[where] - new[where]) / (1.9 * rate)  # a first step with Nesterov momentum 0.9
            assert got == pytest.approx(expected, abs=2e-3), (i, where)


@pytest.mark.thorough
def test_alpha_1_is_training_without_a_teacher_to_the_bit(rng: np.random.Generator) -> None:
    split = clips(rng)
    params = Params(epochs=3, batch_size=8, mixup=0.3, time_shift=0.3)
    weights = []
    for lesson in (None, taught(split, rng, alpha=1.0), taught(split, rng, alpha=0.9)):
        model = small(dropout=0.2)
        loop.fit(model, split, params, loop.Run(3), teacher=lesson)
        weights.append(b"".join(w.tobytes() for w in model.get_weights()))
    assert weights[0] == weights[1] != weights[2]
    assert teacher_folder(Path(), replace(RULE, alpha=1.0)) is None
    assert teacher_folder(Path(), replace(RULE, teacher=None)) is None
    assert teacher_folder(Path(), replace(RULE, alpha=1.0, feature_penalty=0.1)) is not None


@pytest.mark.thorough
def test_a_student_comes_to_say_what_its_teacher_says(rng: np.random.Generator) -> None:
    split = clips(rng)
    lesson = taught(split, rng, temperature=1.0, alpha=0.0)
    lesson = replace(lesson, logits=np.asarray(split.x.mean(axis=1)[:, :3] * 2, np.float32))  # no matter of the labels
    model = small()
    history = loop.fit(model, split, Params(learning_rate=3e-2, epochs=300), loop.Run(3), teacher=lesson)
    np.testing.assert_allclose(predict(model, split), softened(lesson.logits, 1, False), atol=0.05)
    assert history[-1]["loss"] < 1e-3 < history[0]["loss"], "the divergence is 0 in the end"


@pytest.mark.thorough
def test_a_killed_run_goes_on_with_its_projection(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = clips(rng)
    lesson, params = taught(split, rng, 3, 5, hidden_cosine=0.5), Params(epochs=3, batch_size=8)
    whole = small()
    expected = loop.fit(whole, split, params, loop.Run(3), teacher=lesson)

    class KilledError(Exception):
        pass

    def kill(step: int) -> None:
        if step == 5:
            raise KilledError

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KilledError):
        loop.fit(
            small(), split, params, loop.Run(3, checkpoint=path), teacher=lesson, hooks=loop.Hooks(after_step=kill)
        )
    again = small()
    assert loop.fit(again, split, params, loop.Run(3, checkpoint=path), teacher=lesson) == expected
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(again.get_weights()) == 4, "the projection is no part of the student"


@pytest.mark.parametrize("params", [Params(mixup=0.4), Params(between_class=BetweenClass())])
def test_the_teachers_columns_are_blended_as_the_targets_are(params: FitParams, rng: np.random.Generator) -> None:
    split = clips(rng)
    targets, soft = np.eye(3, dtype=np.float32)[split.y], rng.random((24, 2)).astype(np.float32)
    rows = np.arange(0, 24, 2)
    x, t = batches.batch(split, targets, rows, params, np.random.default_rng(4))
    both, wide = batches.batch(split, np.hstack([targets, soft]), rows, params, np.random.default_rng(4))
    np.testing.assert_array_equal(both, x)
    np.testing.assert_array_equal(wide[:, :3], t)
    assert np.abs(wide[:, 3:] - soft[rows]).max() > 0.05
    same, doubled = batches.batch(split, np.hstack([targets, targets]), rows, params, np.random.default_rng(4))
    np.testing.assert_array_equal(doubled[:, 3:], doubled[:, :3])
    np.testing.assert_array_equal(same, x)


@pytest.mark.parametrize("name", thorough_but(plugins.names(network.ARCHITECTURES), "ds_cnn", "edac_cnn"))
def test_every_architecture_has_logits_a_hidden_vector_and_an_encoder(name: str, rng: np.random.Generator) -> None:
    if name == "wav2vec2_student":
        pytest.skip("it needs a checkpoint; its own tests look at its encoder")
    shape = SHAPES.get(name, (64, 64))
    for n_classes in (2, 5):
        model, _ = network.build(name, {}, shape, n_classes)
        x = rng.normal(size=(2, *shape)).astype(np.float32)
        z = logits_network(model)(x).numpy()
        np.testing.assert_allclose(softened(z, 1.0, False), model(x, training=False).numpy(), rtol=1e-4, atol=1e-6)
    encoded = distillation_loss.encoder_output(model)
    assert np.prod(encoded.shape[1:-1]) > 1


def test_what_a_network_lacks_is_told(rng: np.random.Generator) -> None:
    layers = keras.layers
    flat = keras.Sequential([layers.Input((4,)), layers.Dense(3, "softmax")], name="flat")
    with pytest.raises(ModelError, match=r"^flat .*'encoder' .*distill.feature_penalty"):
        distillation_loss.encoder_output(flat)
    odd = keras.Sequential([layers.Input((4,)), layers.Dense(3), layers.Softmax(name="end")], name="odd")
    lesson = taught(clips(rng), rng)
    with pytest.raises(ModelError, match=r"^odd .*to be distilled; .*end\.$"):
        distillation_loss.Student(odd, lesson, multi_label=False, seed=1)
    with pytest.raises(ModelError, match=r"^odd .*to teach; .*end\.$"):
        logits_network(odd)


def test_answers_must_be_of_these_clips(rng: np.random.Generator, tmp_path: Path) -> None:
    split, teaching = clips(rng), TeacherFolder(tmp_path, replace(RULE, hidden_cosine=0.1))
    with pytest.raises(DataError, match=r"logits_train.npy.*`dvc repro distill`"):
        teaching.identity()
    np.save(tmp_path / "logits_train.npy", np.zeros((24, 3), np.float32))
    with pytest.raises(DataError, match=r"holds no embeddings_train.npy.* set distill.hidden_cosine to 0\."):
        teaching.targets(split)
    np.save(tmp_path / "embeddings_train.npy", np.zeros((24, 2), np.float32))
    files.write_json(tmp_path / "teacher.json", {"teacher": "ensemble", "labels": ["a", "b", "c"]})
    assert teaching.targets(split).columns(multi_label=False).shape == (24, 5)
    first = teaching.identity()
    embeddings = rng.normal(3, size=(24, 2)).astype(np.float32)
    np.save(tmp_path / "embeddings_train.npy", embeddings)
    np.testing.assert_allclose(teaching.targets(split).embeddings, embeddings - embeddings.mean(axis=0))
    assert teaching.identity() != first
    assert TeacherFolder(tmp_path, replace(teaching.rule, temperature=4.0)).identity() != teaching.identity()
    files.write_json(tmp_path / "teacher.json", {"teacher": "ensemble", "labels": ["a", "c", "b"]})
    with pytest.raises(DataError, match=r"24 training clips of a, b, c; .*24 of a, c"):
        teaching.targets(split)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "distill.temperature .*100; got 0.0"),
        ({"alpha": 1.5}, r"distill.alpha must be a fraction in \[0, 1\]; got 1.5"),
        ({"feature_penalty": -1.0}, "distill.feature_penalty .*got -1.0"),
        ({"hidden_cosine": -1.0}, "distill.hidden_cosine .*got -1.0"),
        ({"threads": 0}, "distill.threads must be at least 1; got 0"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Distillation(**values)
