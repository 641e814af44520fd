"""Tasks whose clips may have several labels: the truth, metrics against scikit-learn, the loss against Keras'."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split, SplitLabels, indicators
from stages.core.artifacts.recordings import Recording
from stages.core.nn import network
from stages.core.nn.keras import keras, tf
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.scoring import metrics
from stages.core.scoring.metrics import METRICS, MetricParams, evaluate
from stages.core.scoring.summary import summarise
from stages.core.scoring.thresholds import predict, threshold_for
from stages.core.training import inference, loop
from stages.core.training.losses import class_weights, weigh
from stages.core.training.params import FitParams
from tests.marks import thorough_but

tf.config.experimental.enable_op_determinism()
THRESHOLDS = [0.3, 0.5, 0.6]


class Params(FitParams):
    SECTION = "train"


def task(rng: np.random.Generator, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    y = (rng.uniform(size=(n, 3)) < (0.5, 0.2, 0.7)).astype(np.int64)
    return y, np.round(np.clip(0.3 * y + 0.7 * rng.uniform(size=y.shape), 0, 1), 2)


def test_a_recording_names_its_labels() -> None:
    recording = Recording("r", Path("r.wav"), "dog|siren", "g", "", "", "s", 1.0, 8000)
    assert recording.labels == ("dog", "siren")


def test_the_truth_is_of_several_labels_on_every_side_if_any_clip_has_several(tmp_path: Path) -> None:
    clips = [("train", "b|a"), ("train", "c"), ("validation", "a"), ("test", "a"), ("test", "b")]
    rows = [{"clip_id": i, "split": side, "label": label, "group": f"g{i}"} for i, (side, label) in enumerate(clips)]
    files.write_csv(tmp_path / "clips.csv", clips_file.COLUMNS, rows)
    files.write_json(tmp_path / "frontend.json", {"labels": ["a", "b", "c"], "sample_rate": 8000, "clip_samples": 4000})
    np.save(tmp_path / "features.npy", np.zeros((5, 2, 3), np.float32))
    train, test = (dataset.read_split(tmp_path, side) for side in ("train", "test"))
    assert train.multi_label
    assert train.y.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert test.y.tolist() == dataset.read_labels(tmp_path, "test").y.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert indicators(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_metrics_equal_scikit_learns_for_every_row_of_weights(rng: np.random.Generator) -> None:
    y, scores = task(rng)
    weights = rng.integers(0, 4, (5, len(y))).astype(float)
    got = evaluate(y, scores, weights, threshold=THRESHOLDS)
    predicted = (scores >= THRESHOLDS).astype(int)
    for row, w in enumerate(weights):
        by_class = [
            oracle.balanced_accuracy_score(y[:, c], predicted[:, c], sample_weight=w)  # it takes one class at a time
            for c in range(3)
        ]
        expected = {
            "pr_auc": oracle.average_precision_score(y, scores, average="macro", sample_weight=w),
            "roc_auc": oracle.roc_auc_score(y, scores, average="macro", sample_weight=w),
            "accuracy": oracle.accuracy_score(y, predicted, sample_weight=w),
            "f1": oracle.f1_score(y, predicted, average="macro", sample_weight=w),
            "balanced_accuracy": np.mean(by_class),
        }
        for name, number in expected.items():
            assert got[name][row] == pytest.approx(number, abs=1e-12), name
    binary = [evaluate(y[:, c], scores[:, c], weights) for c in range(3)]
    for name in ("sensitivity_at_specificity", "calibration_error"):
        np.testing.assert_allclose(got[name], np.mean([each[name] for each in binary], axis=0))


@pytest.mark.parametrize("metric", METRICS)
def test_one_metric_alone_is_what_it_is_among_all(rng: np.random.Generator, metric: str) -> None:
    y, scores = task(rng)
    weights = rng.integers(0, 3, (4, len(y))).astype(float)
    alone = metrics.measure(metric, y, scores, weights, threshold=THRESHOLDS)
    np.testing.assert_array_equal(alone, evaluate(y, scores, weights, threshold=THRESHOLDS)[metric])


@given(st.data())
def test_a_class_that_nobody_or_everybody_has_is_left_out_of_the_mean(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    y, scores = task(rng, 40)
    more = np.full((40, 1), data.draw(st.booleans()), np.int64)
    got = evaluate(np.hstack([y, more]), np.hstack([scores, rng.uniform(size=(40, 1))]))
    for name in ("roc_auc", "pr_auc", "sensitivity_at_specificity", "balanced_accuracy"):
        assert got[name] == pytest.approx(float(evaluate(y, scores)[name])), name


def test_each_class_has_the_threshold_it_would_have_alone(rng: np.random.Generator) -> None:
    y, scores = task(rng)
    chosen = threshold_for(y, scores)
    assert chosen == [threshold_for(y[:, c], scores[:, c]) for c in range(3)]
    assert predict(scores, chosen).tolist() == (scores >= np.array(chosen)).astype(int).tolist()
    with pytest.raises(DataError, match="A threshold needs clips of both classes"):
        threshold_for(np.ones((4, 2), np.int64), np.ones((4, 2)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_summary_counts_labels_and_keeps_the_thresholds(rng: np.random.Generator, n_classes: int) -> None:
    y, scores = (part[:, :n_classes] for part in task(rng, 60))
    groups, labels = np.arange(60).astype(str), ("a", "b", "c")[:n_classes]
    params, chosen = MetricParams(resamples=50), THRESHOLDS[:n_classes]
    got = summarise(SplitLabels(y, groups, np.full(60, "")), scores, labels=labels, params=params, threshold=chosen)
    assert (got["n"], got["threshold"], got["positives"]) == (60, chosen, None)
    assert list(got["classes"].values()) == y.sum(axis=0).tolist()
    figure = got["pooled"]["pr_auc"]
    assert figure["low"] < figure["value"] < figure["high"]


def test_class_weights_make_both_answers_of_each_class_count_alike() -> None:
    y = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])
    weights = class_weights(y, 2)
    np.testing.assert_allclose(weights, [[4 / 2, 4 / 6], [4 / 6, 4 / 2]])  # absent: 1 and 3 of 4; present: 3 and 1
    _, per_answer = weigh(y.astype(np.float32), weights)
    np.testing.assert_allclose((per_answer * y).sum(axis=0), (per_answer * (1 - y)).sum(axis=0))
    with pytest.raises(DataError, match="no clip with or without class 1"):
        class_weights(np.array([[1, 1], [0, 1]]), 2)


def clips(rng: np.random.Generator, n: int = 48) -> Split:
    """Clips of 6 frames × 4 bands; every label is a louder band."""
    y = (rng.uniform(size=(n, 3)) < 0.4).astype(np.int64)
    x = rng.normal(size=(n, 6, 4)).astype(np.float32)
    x[:, :, :3] += 2 * y[:, np.newaxis]
    names = np.array([str(i) for i in range(n)])
    return Split(x, y, names, names, names, ("a", "b", "c"))


def linear() -> "keras.Model":
    keras.utils.set_random_seed(5)
    layers = keras.layers
    return keras.Sequential([layers.Input((6, 4)), layers.Flatten(), layers.Dense(3, "sigmoid")])


def test_a_step_is_that_of_keras_binary_cross_entropy(rng: np.random.Generator) -> None:
    split, ours, theirs = clips(rng), linear(), linear()
    history = loop.fit(ours, split, Params(optimizer="sgd", batch_size=48, epochs=1, class_weights=False), loop.Run(1))
    theirs.compile(keras.optimizers.SGD(1e-3, 0.9, nesterov=True), "binary_crossentropy")
    expected = theirs.fit(split.x, split.y, batch_size=48, epochs=1, verbose=0).history["loss"]
    assert history[0]["loss"] == pytest.approx(expected[0], rel=1e-6)
    for mine, keras_own in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-7)


def test_learns_every_label_with_weights_and_mixup_and_tells_the_fraction_of_right_answers(
    rng: np.random.Generator,
) -> None:
    split, model = clips(rng), linear()
    loop.fit(model, split, Params(learning_rate=0.05, batch_size=16, epochs=40, mixup=0.2), loop.Run(1))
    loss, accuracy = inference.evaluate(model, split)
    scores = model(split.x).numpy()
    assert accuracy == pytest.approx(np.mean((scores > 0.5) == split.y))
    assert accuracy > 0.9
    assert loss == pytest.approx(oracle.log_loss(split.y.ravel(), scores.ravel()), rel=1e-4)


@pytest.mark.parametrize("name", thorough_but(["ds_cnn", "edac_cnn", "sparse_cnn"], "edac_cnn"))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_architecture_gets_a_sigmoid_for_each_class(
    tmp_path: Path, rng: np.random.Generator, name: str, n_classes: int
) -> None:
    model, description = network.build(name, {}, (40, 40, 1), n_classes, multi_label=True)
    x = rng.normal(size=(2, 40, 40, 1)).astype(np.float32)
    scores = model(x).numpy()
    assert model.output_shape == (None, n_classes)
    assert model.layers[-1].name == "scores"
    assert model.layers[-1].activation is keras.activations.sigmoid
    network.save(model, description, tmp_path)
    np.testing.assert_array_equal(network.load(tmp_path)(x).numpy(), scores)
