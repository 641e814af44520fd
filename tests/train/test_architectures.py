"""Architectures against their published tables, and every one against the folder's contract."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from stages.core.artifacts.dataset import Split
from stages.core.litert import flatbuffer
from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.nn import units as structure
from stages.core.nn.keras import keras, tf
from stages.core.project import plugins
from stages.core.project.errors import ParameterError
from stages.core.training import loop
from stages.prune.shrink import shrink
from stages.quantize.convert import to_float32
from stages.train.params import TrainParams
from tests import checkpoints
from tests.messages import line_with

pytestmark = pytest.mark.thorough


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


def test_edac_cnn_lstm_is_the_published_table() -> None:
    model = built("edac_cnn_lstm", (39, 88, 3))
    table: dict[str, tuple[tuple[int, ...], int]] = {}
    for i, (filters, n_parameters) in enumerate(((16, 208), (32, 2_080), (64, 8_256), (128, 32_896)), start=1):
        rows, columns = 39 - 2 * i, 88 - 2 * i
        table |= {
            f"conv{i}": ((rows + 1, columns + 1, filters), n_parameters),
            f"pool_norm{i}": ((rows, columns, filters), 4 * filters),
            f"relu{i}": ((rows, columns, filters), 0),
            f"dropout{i}": ((rows, columns, filters), 0),
        }
    table |= {
        "rows": ((31, 10_240), 0),
        "lstm": ((31, 256), 10_748_928),
        "tanh": ((31, 256), 0),
        "norm5": ((31, 256), 1_024),
        "dropout5": ((31, 256), 0),
        "attention": ((256,), 287),
        "dense": ((100,), 25_700),
        "dropout6": ((100,), 0),
        "scores": ((1,), 101),
    }
    found = {layer.name: (layer.output_shape[1:], layer.count_params()) for layer in model.layers}
    assert found == table
    assert list(found) == list(table)
    assert model.count_params() == 10_820_440
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 992
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.2] * 5 + [0.5]
    assert all(
        isinstance(model.get_layer(f"conv{i}").kernel_initializer, keras.initializers.RandomNormal)
        for i in (1, 2, 3, 4)
    )


def test_edac_cnn_lstm_computes_what_plain_keras_layers_compute(rng: np.random.Generator) -> None:
    """Keras' layers in the published order up to the attention, then NumPy; the weights are stored in that order."""
    layers = keras.layers
    plain = keras.Sequential([layers.Input((15, 12, 3))])
    for filters in (16, 32, 64, 128):
        plain.add(layers.Conv2D(filters, 2))
        plain.add(layers.AveragePooling2D(2, 1))
        plain.add(layers.BatchNormalization())
        plain.add(layers.ReLU())
    plain.add(layers.Reshape((7, 4 * 128)))
    plain.add(layers.LSTM(256, activation="tanh", recurrent_activation="sigmoid", return_sequences=True))
    plain.add(layers.Activation("tanh"))
    plain.add(layers.BatchNormalization())

    model = built("edac_cnn_lstm", (15, 12, 3))
    positive = [w.name.split("/")[-1] in ("gamma:0", "moving_variance:0") for w in model.weights]
    weights = [
        (rng.uniform(0.5, 1.5, w.shape) if scales else rng.normal(0, 0.2, w.shape)).astype(np.float32)
        for w, scales in zip(model.weights, positive, strict=True)
    ]
    model.set_weights(weights)
    plain.set_weights(weights[:-6])
    w, b, dense, dense_bias, scores, scores_bias = weights[-6:]

    clips = rng.normal(size=(4, 15, 12, 3)).astype(np.float32)
    x = plain(clips, training=False).numpy()
    x = (softmax(np.tanh(x @ w + b), axis=1) * x).sum(axis=1)
    expected = expit(np.maximum(x @ dense + dense_bias, 0) @ scores + scores_bias)
    assert expected.std() > 0.01
    np.testing.assert_allclose(model(clips, training=False), expected, atol=1e-5)


def test_edac_cnn_lstm_takes_as_many_steps_as_the_features_leave() -> None:
    assert built("edac_cnn_lstm", (9, 30)).get_layer("rows").output_shape == (None, 1, 22 * 128)
    with pytest.raises(ParameterError, match=r"features .*9 rows .*got \(8, 30\)"):
        built("edac_cnn_lstm", (8, 30))


@pytest.mark.parametrize("name", ["ds_cnn", "edac_cnn", "bilstm"])
def test_features_that_an_architecture_cannot_take_are_one_sentence(name: str) -> None:
    with pytest.raises(ParameterError, match=rf"fit {name}; got .*\(24, 24, 3\)"):
        network.build(name, {}, (24, 24, 3), 2)


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


def test_sparse_cnn_is_what_xnnpack_multiplies_sparsely() -> None:
    """The patterns of XNNPACK's rewriting: three channels in, stride 2 within a ring of zeros, 1 x 1 and 3 x 3 on."""
    model = built("sparse_cnn", (50, 20, 1), 10)
    strided = model.get_layer("stem")
    assert (strided.kernel.shape[:3], strided.strides, strided.padding) == ((3, 3, 3), (2, 2), "valid")
    started = [layer for layer in model.layers if layer.name.startswith("block")]
    assert {type(layer).__name__ for layer in started} == {
        "ZeroPadding2D", "DepthwiseConv2D", "Conv2D", "BatchNormalization", "ReLU",
    }  # fmt: skip
    for layer in started:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            assert (layer.kernel_size, layer.padding) == ((3, 3), "valid")
        elif isinstance(layer, keras.layers.Conv2D):
            assert (layer.kernel_size, layer.strides) == ((1, 1), (1, 1))
    assert model.get_layer("pool").keepdims
    pointwise = sum(layer.count_params() for layer in started if type(layer) is keras.layers.Conv2D)
    kernels = sum(int(np.prod(w.shape)) for w in model.weights if "kernel" in w.name)
    assert pointwise / kernels > 0.9


ACDNET = {  # layer to its output, rows first, its parameters, and what ACDNet's authors count as its operations
    "conv1": ((1, 15_109, 8), 72, 1_087_848),
    "norm1": ((1, 15_109, 8), 16, 0),
    "relu1": ((1, 15_109, 8), 0, 120_872),
    "conv2": ((1, 7_553, 64), 2_560, 19_335_680),
    "norm2": ((1, 7_553, 64), 128, 0),
    "relu2": ((1, 7_553, 64), 0, 483_392),
    "pool2": ((1, 151, 64), 0, 483_200),
    "picture": ((64, 151, 1), 0, 0),
    "conv3": ((64, 151, 32), 288, 2_783_232),
    "pool3": ((32, 75, 32), 0, 307_200),
    "conv4": ((32, 75, 64), 18_432, 44_236_800),
    "conv5": ((32, 75, 64), 36_864, 88_473_600),
    "pool5": ((16, 37, 64), 0, 151_552),
    "conv6": ((16, 37, 128), 73_728, 43_646_976),
    "conv7": ((16, 37, 128), 147_456, 87_293_952),
    "pool7": ((8, 18, 128), 0, 73_728),
    "conv8": ((8, 18, 256), 294_912, 42_467_328),
    "conv9": ((8, 18, 256), 589_824, 84_934_656),
    "pool9": ((4, 9, 256), 0, 36_864),
    "conv10": ((4, 9, 512), 1_179_648, 42_467_328),
    "conv11": ((4, 9, 512), 2_359_296, 84_934_656),
    "pool11": ((2, 4, 512), 0, 16_384),
    "dropout": ((2, 4, 512), 0, 0),
    "conv12": ((2, 4, 50), 25_600, 204_800),
    "pool12": ((1, 1, 50), 0, 400),
    "scores": ((50,), 2_550, 2_600),
}


def acdnets_count(layer: Any) -> tuple[int, int]:
    """Return multiply-adds, and what ACDNet's authors count besides: positions of windows, ReLUs, biases, softmax."""
    size = int(np.prod(layer.output_shape[1:])) if isinstance(layer.output_shape, tuple) else 0
    if isinstance(layer, keras.layers.Conv2D):
        return size * int(np.prod(layer.kernel.shape[:3])), 0
    if isinstance(layer, keras.layers.Dense):
        return int(np.prod(layer.kernel.shape)), size + size
    if isinstance(layer, keras.layers.ReLU):
        return 0, size
    return 0, size * int(np.prod(layer.pool_size)) if "Pooling" in type(layer).__name__ else 0


def test_acdnet_is_the_published_table() -> None:
    """4,735,378 parameters, as PyTorch counts them: without moving statistics; 544,422,040 operations."""
    model = built("acdnet", (30_225, 1), 50)
    for name, (shape, n_parameters, operations) in ACDNET.items():
        layer = model.get_layer(name)
        assert layer.output_shape[1:] == shape, name
        assert sum(int(np.prod(w.shape)) for w in layer.trainable_weights) == n_parameters, name
        assert sum(acdnets_count(layer)) == operations, name
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 4_735_378
    multiply_adds, besides = np.sum([acdnets_count(layer) for layer in model.layers], axis=0)
    assert multiply_adds + besides == 544_422_040
    assert flops(to_float32(model)) == multiply_adds == 541_869_356


def test_micro_acdnet_is_the_released_one() -> None:
    model = built("micro_acdnet", (30_225, 1), 50)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 131_474
    assert np.sum([acdnets_count(layer) for layer in model.layers]) == 14_822_095
    filters = [model.get_layer(f"conv{i}").filters for i in range(1, 13)]
    assert filters == [7, 20, 10, 14, 22, 31, 35, 41, 51, 67, 69, 48]
    assert model.get_layer("pool12").output_shape[1:] == (1, 1, 48)


def test_acdnet_gives_up_filters_on_both_sides_of_its_transpose(rng: np.random.Generator) -> None:
    """The rows of the picture are the one thing that filters cannot be taken from."""
    channels = [4, 16, 6, 6, 6, 8, 8, 8, 8, 10, 10, 12]
    model = built("acdnet", (300, 1), 5, channels=channels, pool=8)
    fixed = structure.obstacles(model)
    assert set(fixed) == {"conv2", "scores"}
    assert line_with(fixed["conv2"], "picture (Permute)")
    groups = structure.unit_groups(model)
    assert [group.name for group in groups] == [f"conv{i}" for i in (1, *range(3, 13))]
    for group in groups:
        for share in group.incoming:
            values = share.variable.numpy()
            np.moveaxis(values, share.axis, 0)[(share.units != structure.FIXED) & (share.units % 2 == 0)] = 0
            share.variable.assign(values)
    smaller, kept = shrink(model)
    assert {name: len(units) for name, units in kept.items()} == {group.name: group.n_units // 2 for group in groups}
    x = rng.normal(size=(3, 300, 1)).astype(np.float32)
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-5)


def test_mobilenet_v2_has_the_blocks_of_keras_applications(rng: np.random.Generator) -> None:
    """Both blocks of 24 filters, the second with a residual; small weights keep ReLU and its limited kin equal."""
    whole = keras.applications.MobileNetV2(input_shape=(64, 64, 3), weights=None, include_top=False)
    theirs = keras.Model(whole.get_layer("expanded_conv_project_BN").output, whole.get_layer("block_2_add").output)
    model = built("mobilenet_v2", (64, 64), 3, stem=16, widths=[24, 24], expansion=6)
    ours = keras.Model(model.get_layer("stem_relu").output, model.get_layer("block2_residual").output)
    assert [weight.shape for weight in ours.get_weights()] == [weight.shape for weight in theirs.get_weights()]
    ours.set_weights([rng.uniform(0.01, 0.1, weight.shape) for weight in theirs.get_weights()])
    theirs.set_weights(ours.get_weights())
    x = rng.normal(size=(2, 32, 32, 16)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_bilstm_is_that_of_keras_in_both_directions(rng: np.random.Generator) -> None:
    """And its file has no loop."""
    layers = keras.layers
    model = built("bilstm", (40, 6), 3, units=4, pool=5)
    plain = keras.Sequential(
        [
            layers.Input((40, 6)),
            layers.BatchNormalization(),
            layers.AveragePooling1D(5),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, "softmax"),
        ]
    )
    plain.set_weights(model.get_weights())
    x = rng.normal(size=(5, 40, 6)).astype(np.float32)
    np.testing.assert_allclose(model(x), plain(x), atol=1e-6)
    assert set(flatbuffer.read(to_float32(model)).operators).isdisjoint({"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"})
    assert {group.name for group in structure.unit_groups(model)} == {"forwards", "backwards"}


SMALL: dict[str, Any] = {"wav2vec2_student": {"shape": checkpoints.SMALL}}  # options where the defaults take long


def shape_of(name: str) -> tuple[int, ...]:
    return (400, 1) if name.endswith("acdnet") or name == "wav2vec2_student" else (40, 16, 1)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("name", plugins.names(network.ARCHITECTURES))
def test_contract(name: str, n_classes: int) -> None:
    model, description = network.build(name, {}, shape_of(name), n_classes)
    assert description.config == dataclasses.asdict(plugins.load(network.ARCHITECTURES, name, "").Config())
    assert description.n_parameters == model.count_params()
    for shape in ((3, *shape_of(name)), (3, *shape_of(name)[:-1])):
        scores = built(name, shape[1:], n_classes, **SMALL.get(name, {}))(tf.ones(shape)).numpy()
        assert scores.shape == (3, 1 if n_classes == 2 else n_classes)
        assert ((scores >= 0) & (scores <= 1)).all()
        if n_classes > 2:
            np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", plugins.names(network.ARCHITECTURES))
def test_learns_one_step_and_the_same_one_again(name: str, rng: np.random.Generator) -> None:
    model = built(name, shape_of(name), **SMALL.get(name, {}))
    names, y = np.array(list("abcd")), np.array([0, 1, 0, 1])
    x = rng.normal(size=(4, *shape_of(name))).astype(np.float32)
    split = Split(x, y, names, names, names, ("negative", "positive"))
    before, after = model.get_weights(), []
    for _ in range(2):
        model.set_weights(before)
        history = loop.fit(model, split, TrainParams(epochs=1, batch_size=4), loop.Run(1))
        assert np.isfinite(history[0]["loss"])
        after.append(model.get_weights())
    assert all((a != b).any() for a, b in zip(before, after[0], strict=True))
    assert all((a == b).all() for a, b in zip(*after, strict=True))


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("edac_cnn", {"dropout": [0.5]}, r"train.options.edac_cnn.dropout must be two fractions in \[0, 1\)"),
        ("edac_cnn", {"dropout": [50.0, 30.0]}, r"dropout .*got \(50.0, 30.0\)"),
        ("edac_cnn", {"regularisation": -1.0}, r"regularisation must be 0 or more; got -1.0"),
        ("edac_cnn_lstm", {"units": 0}, r"train.options.edac_cnn_lstm.units must be at least 1; got 0"),
        ("edac_cnn_lstm", {"dropout": 1.0}, r"edac_cnn_lstm.dropout must be a fraction in \[0, 1\); got 1.0"),
        ("edac_cnn_lstm", {"dense_dropout": -0.1}, r"dense_dropout must be a fraction in \[0, 1\); got -0.1"),
        ("ds_cnn", {"stem": 0}, "train.options.ds_cnn.stem .*got 0"),
        ("ds_cnn", {"widths": []}, r"widths .*got \[\]"),
        ("ds_cnn", {"widths": [8, 0]}, r"widths .*got \[8, 0\]"),
        ("ds_cnn", {"dropout": 1.0}, r"dropout must be a fraction in \[0, 1\); got 1.0"),
        ("ds_cnn", {"weight_decay": -0.1}, r"weight_decay must be 0 or more; got -0.1"),
        ("sparse_cnn", {"stem": 0}, "train.options.sparse_cnn.stem .*got 0"),
        ("sparse_cnn", {"widths": [8, 0]}, r"widths .*got \[8, 0\]"),
        ("sparse_cnn", {"dropout": 1.0}, r"dropout must be a fraction in \[0, 1\); got 1.0"),
        ("sparse_cnn", {"weight_decay": -0.1}, r"weight_decay must be 0 or more; got -0.1"),
        ("acdnet", {"channels": [8, 64]}, r"train.options.acdnet.channels must be 11 or 12 positive numbers"),
        ("acdnet", {"pool": 0}, r"train.options.acdnet.pool must be at least 1; got 0"),
        ("acdnet", {}, r"213 samples for acdnet .*got \(40, 16\)"),
        ("micro_acdnet", {"dropout": 1.0}, r"train.options.micro_acdnet.dropout must be a fraction in \[0, 1\)"),
        ("mel_cnn", {"widths": [4] * 5}, "32 frames and bands for mel_cnn"),
        ("mel_cnn", {"weight_decay": -1.0}, r"train.options.mel_cnn.weight_decay must be 0 or more; got -1.0"),
        ("mobilenet_v2", {"expansion": 0}, r"train.options.mobilenet_v2.expansion must be at least 1; got 0"),
        ("mobilenet_v2", {"width": 0}, "mobilenet_v2.width .*got 0.0"),
        ("strided_cnn", {"widths": []}, r"widths .*got \[\]"),
        ("strided_cnn", {"head": 0}, "train.options.strided_cnn.head .*got 0"),
        ("strided_cnn", {"dropout": 1.0}, r"strided_cnn.dropout must be a fraction in \[0, 1\); got 1.0"),
        ("bilstm", {"units": 0}, r"train.options.bilstm.units must be at least 1; got 0"),
        ("bilstm", {"pool": 41}, "train.options.bilstm.pool .*40 frames .*got 41"),
        ("ds_cnn", {"widhts": 8}, "train.options.ds_cnn .*'widhts'.*'widths'"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        built(name, (40, 16), **options)
