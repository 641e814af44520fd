"""Folding a calibration into the last layer of every architecture, and of a network after pruning and conversion."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.dataset import Split
from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import plugins
from stages.core.scoring import logits as scaling
from stages.core.training.calibration import calibrate
from stages.core.training.inference import predict
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.runtime.litert import Model
from tests import checkpoints
from tests.marks import thorough_but
from tests.messages import line_with

SHAPES = {"acdnet": (3_000, 1), "micro_acdnet": (3_000, 1), "wav2vec2_student": (3_000, 1)}
OPTIONS: dict[str, dict[str, Any]] = {"wav2vec2_student": {"shape": checkpoints.SMALL}}
N = 60


def made(architecture: str, n_classes: int, *, multi_label: bool = False) -> tuple[Any, Split]:
    """Return a network that is too sure of itself, and a split that it was too sure of."""
    shape = SHAPES.get(architecture, (48, 40))
    keras.utils.set_random_seed(7)
    model, _ = network.build(
        architecture, {architecture: OPTIONS.get(architecture, {})}, shape, n_classes, multi_label=multi_label
    )
    rng = np.random.default_rng(8)
    x = rng.normal(size=(N, *shape)).astype(np.float32)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(x, training=True)
    kernel, _ = model.layers[-1].get_weights()
    kernel[2::2] = 0
    logits = keras.Model(model.input, model.layers[-1].input)(x, training=False).numpy() @ kernel
    kernel *= 4 / logits.std(axis=0)
    model.layers[-1].set_weights([kernel, -logits.mean(axis=0) * 4 / logits.std(axis=0) + 0.1])
    scores = model(x, training=False).numpy().astype(np.float64)
    softened = scores ** (1 / 4)
    if multi_label or scores.shape[1] == 1:
        p = softened / (softened + (1 - scores) ** (1 / 4))
        y = (rng.random(p.shape) < p).astype(np.int64)
        y = y if multi_label else y[:, 0]
    else:
        p = softened / softened.sum(axis=1, keepdims=True)
        y = (rng.random((N, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=n_classes - 1)
    names = np.arange(N).astype(str)
    return model, Split(x, y, names, names, np.full(N, ""), tuple(map(str, range(n_classes))))


@pytest.mark.parametrize("architecture", thorough_but(plugins.names(network.ARCHITECTURES), "ds_cnn"))
def test_the_last_layer_of_every_architecture_takes_a_calibration(architecture: str) -> None:
    for n_classes, multi_label in ((2, False), (5, False), (3, True)):
        model, split = made(architecture, n_classes, multi_label=multi_label)
        before, weights = predict(model, split), model.get_weights()
        found = calibrate(model, split, "temperature")
        assert found.changes_scores, found.reason
        assert min(found.scale) < 1
        after = predict(model, split)
        sigmoid = multi_label or n_classes == 2
        p = before.astype(np.float64)
        z = np.log(p) - np.log1p(-p) if sigmoid else np.log(p)
        expected = scaling.scores(found, z[:, None], sigmoid=sigmoid)
        np.testing.assert_allclose(after, expected, atol=2e-4)
        axis = 0 if sigmoid else 1
        far = np.abs(np.diff(np.sort(before, axis=axis), axis=axis)).min() > 1e-6
        assert not far or np.array_equal(np.argsort(before, axis=axis), np.argsort(after, axis=axis))
        *same, kernel, _ = model.get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(weights[:-2], same, strict=True))
        np.testing.assert_array_equal(kernel == 0, weights[-2] == 0)


@pytest.mark.thorough
@pytest.mark.parametrize("n_classes", thorough_but([2, 5], 5))
def test_the_file_is_no_larger_and_says_the_calibrated_networks_scores(n_classes: int) -> None:
    model, split = made("ds_cnn", n_classes)
    before, plain = predict(model, split), to_float32(model)
    calibrate(model, split, "temperature")
    after, calibrated = predict(model, split), to_float32(model)
    assert len(calibrated) == len(plain)
    assert flatbuffer.read(calibrated).sparsity == flatbuffer.read(plain).sparsity
    assert flatbuffer.read(calibrated).negative_zeros == 0
    x = split.x[:20]
    np.testing.assert_allclose(Model(calibrated).run(x), after[:20], atol=1e-5)
    assert np.abs(after - before).max() > 0.05
    scheme, config = QuantizeParams().scheme("dynamic_wi8_afp32")
    files = [scheme.quantize(config, content, None) for content in (plain, calibrated)]
    assert len(files[0]) == len(files[1])
    integers = [flatbuffer.read(each).weights for each in files]
    for a, b in zip(*integers, strict=True):
        assert np.abs(a.values.astype(int) - b.values).max() <= 1, "a scale moves into the scale of the integers"
    scores = [Model(each).run(x) for each in files]
    np.testing.assert_array_equal(*(each.argmax(axis=1) for each in scores))


def test_it_is_refused_where_it_cannot_be_folded_or_validation_is_small() -> None:
    model, split = made("ds_cnn", 2)
    few = replace(split, groups=np.array(["a", "b", "c", "d"])[np.arange(N) % 4])
    weights = model.get_weights()
    assert calibrate(model, few, "temperature").reason == "validation has 4 groups; calibration needs 5"
    assert calibrate(model, split, "none").reason == "evaluate.decisions.calibration is none"
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    layers = keras.layers
    other = keras.Sequential([layers.Input((48, 40)), layers.Flatten(), layers.Dense(1), layers.Activation("sigmoid")])
    reason = calibrate(other, split, "temperature").reason
    assert line_with(reason, "dense layer", "sigmoid or softmax")
