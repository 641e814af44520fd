"""Removal of units that do nothing leaves the function what it was."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.core.nn import network
from stages.core.nn import units as structure
from stages.core.nn.keras import keras
from stages.core.nn.layers import UnrolledLSTM
from stages.prune.shrink import shrink
from tests.marks import thorough_but

layers = keras.layers
REAL = {
    "edac_cnn": ((302, 15), 2),
    "ds_cnn": ((431, 64), 10),
    "strided_cnn": ((216, 64), 10),
    "edac_cnn_lstm": ((39, 88, 3), 2),
}
SMALL = ("edac_cnn", "ds_cnn", "edac_cnn_lstm", "branches", "steps")


def branches() -> Any:
    """Return what the architectures do not hold: joined branches, a sum, no bias, padding, other activations."""
    inputs = layers.Input((9, 8, 2))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, activation="sigmoid", name="a")(inputs)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(6, 3, use_bias=False, name="b")(x)
    x = layers.BatchNormalization(scale=False, name="norm_b")(x)
    x = layers.ELU()(x)
    left = layers.DepthwiseConv2D(2, depth_multiplier=2, activation="relu", name="left")(x)
    right = layers.MaxPooling2D(2, 1)(layers.Conv2D(5, 1, activation="tanh", name="right")(x))
    x = layers.SpatialDropout2D(0.2)(layers.Concatenate()([left, right]))
    x = layers.Conv2D(7, 1, name="join")(x)
    y = layers.Conv2D(7, 1, name="residual")(x)
    x = layers.GlobalMaxPooling2D()(layers.Add()([x, y]))
    x = layers.Dense(8, use_bias=False, activation="gelu", name="dense")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores")(x))


def steps() -> Any:
    inputs = layers.Input((7, 3))
    x = layers.Conv1D(6, 2, activation="relu", name="conv")(inputs)
    x = layers.DepthwiseConv1D(3, padding="same", name="depthwise")(x)
    x = layers.LSTM(5, return_sequences=True, use_bias=False, unroll=True, name="first")(x)
    x = UnrolledLSTM(6, name="second")(x)
    x = layers.LSTM(4, unroll=True, name="third")(layers.Permute((1, 2))(x))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="scores")(x))


def small(name: str) -> Any:
    if name in ("branches", "steps"):
        return {"branches": branches, "steps": steps}[name]()
    options = {"ds_cnn": {"stem": 6, "widths": [8, 8, 12]}, "edac_cnn_lstm": {"units": 12}}
    return network.build(name, {name: options.get(name, {})}, (11, 10), 3 if name == "ds_cnn" else 2)[0]


def fill(model: Any, rng: np.random.Generator, *, weights: float, units: float) -> None:
    """Give a model random weights that keep signals large, some weights zero and some units without weights to read."""
    for variable in model.weights:
        shape = variable.shape
        if "variance" in variable.name or "gamma" in variable.name:
            values = rng.uniform(0.5, 2, shape)
        else:
            scale = np.sqrt(3 / ((1 - weights) * np.prod(shape[:-1]))) if len(shape) > 1 else 0.3
            values = rng.normal(0, scale, shape) * (rng.random(shape) >= weights)
        variable.assign(values.astype(np.float32))
    for group in structure.unit_groups(model):
        dead = rng.random(group.n_units) < units
        for share in group.incoming if rng.random() < 0.5 else group.incoming[:1]:
            values = np.moveaxis(share.variable.numpy(), share.axis, 0).copy()
            values[(share.units >= 0) & dead[share.units]] = 0
            share.variable.assign(np.moveaxis(values, 0, share.axis))


def assert_the_same(model: Any, rng: np.random.Generator, n: int = 8) -> tuple[Any, dict[str, list[int]]]:
    smaller, kept = shrink(model)
    x = rng.normal(size=(n, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(smaller(x, training=False), model(x, training=False), atol=2e-6, rtol=1e-4)
    assert smaller.count_params() <= model.count_params()
    again = structure.keep(model, kept)
    assert [w.shape for w in again.weights] == [w.shape for w in smaller.weights]
    return smaller, kept


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: small(name) for name in SMALL}


@pytest.mark.parametrize("name", thorough_but(SMALL, "branches"))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), weights=st.floats(0, 0.97), units=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_the_function_stays_whatever_is_masked(
    models: dict[str, Any], name: str, seed: int, weights: float, units: float
) -> None:
    rng = np.random.default_rng(seed)
    fill(models[name], rng, weights=weights, units=units)
    before = models[name].get_weights()
    smaller, _ = assert_the_same(models[name], rng)
    _, further = shrink(smaller)
    assert not further  # one pass removes all
    for old, new in zip(before, models[name].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", thorough_but(REAL, "ds_cnn"))
def test_the_real_networks_lose_just_the_units_that_are_masked(name: str) -> None:
    shape, n_classes = REAL[name]
    model, rng = network.build(name, {}, shape, n_classes)[0], np.random.default_rng(1)
    fill(model, rng, weights=0.0, units=0.0)
    alive = {}
    for group in structure.unit_groups(model):
        alive[group.name] = np.sort(rng.choice(group.n_units, max(1, group.n_units // 3), replace=False))
        dead = ~np.isin(np.arange(group.n_units), alive[group.name])
        for share in group.incoming:
            values = np.moveaxis(share.variable.numpy(), share.axis, 0).copy()
            values[(share.units >= 0) & dead[share.units]] = 0
            share.variable.assign(np.moveaxis(values, 0, share.axis))
    _, kept = assert_the_same(model, rng, n=2)
    assert kept == {name: units.tolist() for name, units in alive.items()}


def chain(*middle: Any) -> Any:
    """Return a convolution of four filters, two of which read nothing and have biases -1 and 2, and what follows it."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential([layers.Input((6, 6, 1)), layers.Conv2D(4, 3, name="conv"), *middle])
    kernel, _ = model.layers[0].get_weights()
    kernel[..., 2:] = 0
    model.layers[0].set_weights([kernel, np.array([0.1, 0.2, -1, 2], np.float32)])
    return model


def test_a_constant_goes_into_the_bias_of_what_reads_it() -> None:
    model = chain(layers.ReLU(), layers.Flatten(), layers.Dense(2, name="scores"))
    smaller, kept = assert_the_same(model, np.random.default_rng(2))
    assert kept == {"conv": [0, 1]}
    rows = model.get_layer("scores").kernel.numpy().reshape(16, 4, 2)
    np.testing.assert_allclose(smaller.get_layer("scores").bias, 2 * rows[:, 3].sum(axis=0), rtol=1e-6)


def test_a_constant_goes_into_the_mean_of_a_normalisation_where_there_is_no_bias() -> None:
    model = chain(
        layers.ReLU(),
        layers.Conv2D(3, 2, use_bias=False, name="reader"),
        layers.BatchNormalization(name="norm"),
        layers.Flatten(),
        layers.Dense(2, name="scores"),
    )
    smaller, kept = assert_the_same(model, np.random.default_rng(2))
    assert kept == {"conv": [0, 1]}
    rows = model.get_layer("reader").kernel.numpy()
    np.testing.assert_allclose(smaller.get_layer("norm").moving_mean, -2 * rows[:, :, 3].sum(axis=(0, 1)), rtol=1e-6)


def test_a_constant_stays_where_zeros_are_padded_to_it_but_a_zero_goes() -> None:
    padded = layers.Conv2D(3, 3, padding="same", name="reader")
    model = chain(layers.ReLU(), padded, layers.Flatten(), layers.Dense(2, name="scores"))
    _, kept = assert_the_same(model, np.random.default_rng(2))
    assert kept == {"conv": [0, 1, 3]}  # ReLU makes the -1 a 0


def test_units_that_nobody_reads_take_along_those_that_only_they_read() -> None:
    model = keras.Sequential(
        [layers.Input((5,)), *(layers.Dense(4, activation="tanh", name=name) for name in "ab"), layers.Dense(1)]
    )
    _, (b, _), (c, bias) = (layer.get_weights() for layer in model.layers)
    c[1:] = 0
    b[[1, 3], 0] = 0
    model.layers[1].set_weights([b, np.zeros(4)])
    model.layers[2].set_weights([c, bias])
    assert assert_the_same(model, np.random.default_rng(3))[1] == {"a": [0, 2], "b": [0]}


def test_lstm_cells_that_only_read_each_other_go() -> None:
    model = keras.Sequential([layers.Input((5, 3)), UnrolledLSTM(4, name="lstm"), layers.Dense(1, name="scores")])
    recurrent, rows = model.layers[0].cell.recurrent_kernel, model.layers[1].kernel
    values = recurrent.numpy()
    values[2:, [g * 4 + u for g in range(4) for u in (0, 1)]] = 0  # 2 and 3 write to each other alone
    recurrent.assign(values)
    rows.assign(rows.numpy() * [[1], [1], [0], [0]])
    assert assert_the_same(model, np.random.default_rng(3))[1] == {"lstm": [0, 1]}
