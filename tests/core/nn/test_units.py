"""Units of a network: where their weights lie, and the same network without some of them."""

from typing import Any

import numpy as np
import pytest

from stages.core.nn import network
from stages.core.nn import units as structure
from stages.core.nn.keras import keras, tf
from stages.core.nn.layers import UnrolledLSTM
from stages.core.project.errors import ModelError
from tests.marks import thorough_but

layers = keras.layers
ARCHITECTURES = {
    "edac_cnn": ((20, 12), 2),
    "ds_cnn": ((20, 12), 3),
    "edac_cnn_lstm": ((11, 10), 2),
    "sparse_cnn": ((20, 12), 3),
    "strided_cnn": ((20, 12), 3),
}


def built(name: str) -> Any:
    shape, n_classes = ARCHITECTURES[name]
    return network.build(name, {}, shape, n_classes)[0]


def named(shares: tuple[structure.Share, ...]) -> list[tuple[str, int]]:
    return [(share.variable.name.removesuffix(":0"), share.axis) for share in shares]


def test_a_filter_owns_its_column_and_bias_what_normalises_it_and_a_row_per_place_it_is_flattened_to() -> None:
    groups = {group.name: group for group in structure.unit_groups(built("edac_cnn"))}
    assert {name: group.n_units for name, group in groups.items()} == {
        "conv1": 64,
        "conv2": 32,
        "dense1": 256,
        "dense2": 128,
    }
    group = groups["conv2"]
    assert named(group.incoming) == [("conv2/kernel", 3), ("conv2/bias", 0), ("norm/gamma", 0), ("norm/beta", 0)]
    assert named(group.statistics) == [("norm/moving_mean", 0), ("norm/moving_variance", 0)]
    assert named(group.outgoing) == [("dense1/kernel", 0)]
    (rows,) = group.outgoing
    assert rows.units.tolist() == list(range(32)) * (8 * 4)  # (20, 12) to 18 × 10, 9 × 5, 8 × 4


def test_a_depthwise_convolution_passes_the_units_on() -> None:
    groups = {group.name: group for group in structure.unit_groups(built("ds_cnn"))}
    assert list(groups) == ["stem", *(f"block{i}_pointwise" for i in range(1, 6))]
    stem = groups["stem"]
    assert ("block1_depthwise/depthwise_kernel", 2) in named(stem.incoming)
    assert ("block1_depthwise_norm/beta", 0) in named(stem.incoming)
    assert named(stem.outgoing) == [("block1_pointwise/kernel", 2)]


def test_an_lstm_cell_owns_four_gates_and_reads_its_neighbours() -> None:
    groups = {group.name: group for group in structure.unit_groups(built("edac_cnn_lstm"))}
    lstm = groups["lstm"]
    assert {name for name, _ in named(lstm.outgoing)} == {"lstm/recurrent_kernel", "attention/kernel", "dense/kernel"}
    gates = next(share for share in lstm.incoming if share.variable.name == "lstm/recurrent_kernel:0")
    assert (gates.axis, gates.units.tolist()) == (1, list(range(256)) * 4)
    assert named(groups["conv4"].outgoing) == [("lstm/kernel", 0)]


@pytest.mark.parametrize("name", thorough_but(ARCHITECTURES, "ds_cnn", "edac_cnn_lstm"))
def test_a_unit_whose_incoming_weights_are_zero_can_go_whatever_reads_it(name: str) -> None:
    keras.utils.set_random_seed(1)
    model, (shape, _) = built(name), ARCHITECTURES[name]
    rng = np.random.default_rng(2)
    kept = {}
    for group in structure.unit_groups(model):
        alive = rng.random(group.n_units) < 0.6
        alive[rng.integers(group.n_units)] = True
        kept[group.name] = np.flatnonzero(alive).tolist()
        for share in group.incoming:
            values = np.moveaxis(share.variable.numpy(), share.axis, 0).copy()
            values[(share.units >= 0) & ~alive[share.units]] = 0
            share.variable.assign(np.moveaxis(values, 0, share.axis))
    before = model.get_weights()
    smaller = structure.keep(model, kept)
    x = rng.normal(size=(5, *shape)).astype(np.float32)
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-5)
    assert smaller.count_params() < 0.7 * model.count_params()
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_branches_join_by_concatenation_and_each_keeps_its_units() -> None:
    inputs = layers.Input((6, 4))
    left = layers.Dense(3, name="left")(inputs)
    right = UnrolledLSTM(2, name="right")(inputs)
    both = layers.Concatenate()([left, layers.Permute((1, 2))(right)])
    model = keras.Model(inputs, layers.Dense(1, name="scores")(layers.Flatten()(both)))
    groups = {group.name: group for group in structure.unit_groups(model)}
    assert groups["left"].outgoing[0].units.tolist() == [0, 1, 2, -1, -1] * 6
    smaller = structure.keep(model, {"left": [0, 2], "right": [1]})
    assert smaller.get_layer("scores").kernel.shape == (18, 1)
    expected = model.get_layer("scores").kernel.numpy().reshape(6, 5)[:, [0, 2, 4]]
    np.testing.assert_array_equal(smaller.get_layer("scores").kernel.numpy().reshape(6, 3), expected)


def unreadable(way: str) -> Any:
    inputs = layers.Input((8, 4))
    x = layers.Conv1D(4, 3, padding="same", name="first")(inputs)
    if way == "residual":
        x = layers.Add(name="sum")([x, inputs])
    elif way == "shared":
        shared = layers.Dense(4, name="shared")
        x = shared(shared(x))
    elif way == "function":
        x = tf.reverse(x, [1])
    elif way == "softmax":
        x = layers.Activation("softmax", name="weights")(x)
    elif way == "channels become steps":
        x = layers.Permute((2, 1), name="turn")(x)
    elif way == "groups":
        x = layers.Conv1D(4, 1, groups=2, name="grouped")(x)
    return keras.Model(inputs, layers.Dense(2, name="scores")(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("residual", r"sum \(Add\)"),
        ("shared", r"shared \(Dense\) reads them"),
        ("function", r"tf\.reverse.* reads them"),
        ("softmax", r"weights \(Activation\) reads them"),
        ("channels become steps", r"turn \(Permute\) reads them"),
        ("groups", r"grouped \(Conv1D\) reads them"),
    ],
)
def test_units_that_something_unknown_reads_are_not_removable_and_the_reason_is_told(way: str, reason: str) -> None:
    model = unreadable(way)
    assert structure.unit_groups(model) == []
    assert structure.obstacles(model).keys() == {"first", "scores"}
    with pytest.raises(ModelError, match=f"^Layer 'first' has no removable units: {reason}"):
        structure.keep(model, {"first": [0]})


def test_the_units_of_the_output_are_not_removable() -> None:
    with pytest.raises(ModelError, match=r"^Layer 'scores' .*output\.$"):
        structure.keep(built("edac_cnn"), {"scores": [0]})


@pytest.mark.parametrize("units", [[], [3, 2], [0, 256], [-1, 4], [5, 5]])
def test_units_that_do_not_exist_cannot_be_kept(units: list[int]) -> None:
    rule = r"^The kept units of 'dense1' must rise within 0 and 255, at least one of them\.$"
    with pytest.raises(ModelError, match=rule):
        structure.keep(built("edac_cnn"), {"dense1": units})
