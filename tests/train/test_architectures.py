"""Architectures against their published tables, and every one against the folder's contract."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from stages.core import network, plugins
from stages.core.errors import ParameterError
from stages.core.keras import keras, tf


def built(name: str, input_shape: tuple[int, ...], n_classes: int = 2, **options: Any) -> Any:
    return network.build(name, {name: options}, input_shape, n_classes)[0]


def test_edac_cnn_is_the_published_table() -> None:
    model = built("edac_cnn", (302, 15))
    table = {
        "conv1": ((300, 13, 64), 640),
        "pool": ((150, 6, 64), 0),
        "conv2": ((149, 5, 32), 8_224),
        "norm": ((149, 5, 32), 128),
        "flatten": ((23_840,), 0),
        "dense1": ((256,), 6_103_296),
        "dropout1": ((256,), 0),
        "dense2": ((128,), 32_896),
        "dropout2": ((128,), 0),
        "scores": ((1,), 129),
    }
    found = {layer.name: (layer.output_shape[1:], layer.count_params()) for layer in model.layers}
    del found["channel"]
    assert found == table
    assert list(found) == list(table)  # ReLU is inside conv2, so normalisation follows it
    assert model.count_params() == 6_145_313
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 6_145_249
    assert model.get_layer("conv2").activation is keras.activations.relu
    assert (model.get_layer("dropout1").rate, model.get_layer("dropout2").rate) == (0.5, 0.3)


def test_edac_cnn_penalties_are_the_published_ones() -> None:
    model = built("edac_cnn", (30, 15))
    for name, l1, l2, bias, activity in (("dense1", 3e-4, 4e-3, 3e-3, 3e-4), ("dense2", 1e-3, 1e-2, 1e-2, 1e-3)):
        layer = model.get_layer(name)
        assert float(layer.kernel_regularizer.l1) == pytest.approx(l1)
        assert float(layer.kernel_regularizer.l2) == pytest.approx(l2)
        assert float(layer.bias_regularizer.l2) == pytest.approx(bias)
        assert float(layer.activity_regularizer.l2) == pytest.approx(activity)
    for name in ("conv1", "conv2", "scores"):
        assert model.get_layer(name).kernel_regularizer is None
    free = built("edac_cnn", (30, 15), regularisation=0.0)
    free(tf.ones((1, 30, 15)))
    assert sum(float(loss) for loss in free.losses) == 0


def test_ds_cnn_is_counted_by_hand() -> None:
    """Stem 9·8; blocks 9·c + c·c'; two learned and two running values per normalised band or channel; 16·10 + 10."""
    model = built("ds_cnn", (50, 20, 1), 10, stem=8, widths=[8, 16])
    norms = 4 * (20 + 8 + (8 + 8) + (8 + 16))
    assert model.count_params() == 9 * 8 + (9 * 8 + 8 * 8) + (9 * 8 + 8 * 16) + norms + 16 * 10 + 10
    assert model.get_layer("block1_pointwise").output_shape == (None, 25, 10, 8)
    assert model.get_layer("block2_pointwise").output_shape == (None, 13, 5, 16)  # wider, so half as fine


def test_ds_cnn_stays_below_100_000_parameters() -> None:
    assert built("ds_cnn", (216, 64, 1), 50).count_params() < 100_000


def test_ds_cnn_ignores_the_scale_of_its_features_when_training(rng: np.random.Generator) -> None:
    model = built("ds_cnn", (40, 16), 3, dropout=0.0)
    x = rng.normal(size=(8, 40, 16)).astype(np.float32)
    decibels = 20 * x - 60
    np.testing.assert_allclose(model(x, training=True), model(decibels, training=True), atol=2e-3)


def test_ds_cnn_is_made_of_builtin_operators_with_int8_kernels() -> None:
    model = built("ds_cnn", (40, 16, 1), 10, stem=4, widths=[4, 8])
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, 40, 16, 1), tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    clips = np.random.default_rng(0).normal(size=(4, 1, 40, 16, 1)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([clip] for clip in clips)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]  # refuses any other
    assert len(converter.convert()) > 0


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", plugins.names(network.ARCHITECTURES))
def test_contract(name: str, n_classes: int) -> None:
    model, description = network.build(name, {}, (40, 16, 1), n_classes)
    assert description["config"] == dataclasses.asdict(plugins.load(network.ARCHITECTURES, name, "").Config())
    assert description["n_parameters"] == model.count_params()
    for shape in ((3, 40, 16, 1), (3, 40, 16)):
        scores = built(name, shape[1:], n_classes)(tf.ones(shape)).numpy()
        assert scores.shape == (3, 1 if n_classes == 2 else n_classes)
        assert ((scores >= 0) & (scores <= 1)).all()
        if n_classes > 2:
            np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("edac_cnn", {"dropout": [0.5]}, r"train.options.edac_cnn.dropout must be two fractions in \[0, 1\)"),
        ("edac_cnn", {"dropout": [50.0, 30.0]}, r"dropout must be two fractions in \[0, 1\); got \(50.0, 30.0\)"),
        ("edac_cnn", {"regularisation": -1.0}, r"regularisation must be 0 or more; got -1.0"),
        ("ds_cnn", {"stem": 0}, r"train.options.ds_cnn.stem must be at least 1 filter; got 0"),
        ("ds_cnn", {"widths": []}, r"widths must be a list of positive numbers of filters; got \[\]"),
        ("ds_cnn", {"widths": [8, 0]}, r"widths must be a list of positive numbers of filters; got \[8, 0\]"),
        ("ds_cnn", {"dropout": 1.0}, r"dropout must be a fraction in \[0, 1\); got 1.0"),
        ("ds_cnn", {"weight_decay": -0.1}, r"weight_decay must be 0 or more; got -0.1"),
        ("ds_cnn", {"width": 8}, r"train.options.ds_cnn has no parameter 'width'. Did you mean 'widths'"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        built(name, (40, 16), **options)
