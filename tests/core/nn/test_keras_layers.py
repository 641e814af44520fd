"""Our own layers against Keras' of the same function, and what is left of them in an exported file."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from stages.core.litert import flatbuffer
from stages.core.litert.convert import convert
from stages.core.nn.keras import keras, tf
from stages.core.nn.layers import Attention, MaxPooling2D, PoolAndNormalise, UnrolledLSTM


def exported(layer: Any, shape: tuple[int, ...]) -> flatbuffer.Contents:
    model = keras.Sequential([keras.layers.Input(shape), layer])
    content = convert(
        lambda x: model(x, training=False), shape, signature=("x", "y"), owner="The layer", variables=model.variables
    )
    return flatbuffer.read(content)


def twins(rng: np.random.Generator, n_inputs: int, units: int) -> tuple[Any, Any]:
    """Return our LSTM and Keras', with the same weights."""
    ours, theirs = UnrolledLSTM(units), keras.layers.LSTM(units, return_sequences=True)
    for layer in (ours, theirs):
        layer.build(tf.TensorShape((None, None, n_inputs)))
    weights = [rng.normal(size=w.shape).astype(np.float32) / 2 for w in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


@pytest.mark.parametrize("n_steps", [1, 2, 31])
def test_the_lstm_has_the_outputs_and_gradients_of_that_of_keras(n_steps: int, rng: np.random.Generator) -> None:
    x = tf.constant(rng.normal(size=(3, n_steps, 7)), tf.float32)
    towards = tf.constant(rng.normal(size=(3, n_steps, 5)), tf.float32)
    found = []
    for layer in twins(rng, 7, 5):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            loss = tf.reduce_sum(outputs * towards)
        gradients = tape.gradient(loss, [x, *layer.trainable_weights], unconnected_gradients="zero")
        found.append((outputs, *gradients))
    assert found[0][0].shape == (3, n_steps, 5)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_backwards_it_is_the_lstm_of_the_reversed_steps(rng: np.random.Generator) -> None:
    ours, theirs = UnrolledLSTM(5, backwards=True), UnrolledLSTM(5)
    x = tf.constant(rng.normal(size=(3, 8, 7)), tf.float32)
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(x), theirs(x[:, ::-1])[:, ::-1])
    assert UnrolledLSTM.from_config(ours.get_config()).backwards


def test_the_lstm_begins_with_the_weights_of_that_of_keras() -> None:
    weights = []
    for layer in (UnrolledLSTM(4), keras.layers.LSTM(4, return_sequences=True)):
        keras.utils.set_random_seed(3)
        layer.build(tf.TensorShape((None, 5, 6)))
        weights.append(layer.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_exported_lstm_has_no_loop_and_each_kernel_once() -> None:
    contents = exported(UnrolledLSTM(8), (6, 10))
    assert not {"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "CALL_ONCE"} & set(contents.operators)
    assert contents.operators["FULLY_CONNECTED"] == 1 + 5  # all steps at once; then every step but the first
    assert sorted(weight.values.size for weight in contents.weights) == [8 * 32, 10 * 32]


def test_pooling_and_normalising_is_that_of_keras_while_learning_and_after(rng: np.random.Generator) -> None:
    ours = keras.Sequential([keras.layers.Input((9, 8, 3)), PoolAndNormalise()])
    theirs = keras.Sequential(
        [keras.layers.Input((9, 8, 3)), keras.layers.AveragePooling2D(2, 1), keras.layers.BatchNormalization()]
    )
    weights = [rng.uniform(0.5, 2.0, size=w.shape).astype(np.float32) for w in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    x = rng.normal(size=(4, 9, 8, 3)).astype(np.float32)
    for training in (True, False):  # the first call moves the running statistics of both
        np.testing.assert_allclose(ours(x, training=training), theirs(x, training=training), atol=1e-5)
    for mine, keras_own in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-6)
    assert ours.output_shape == theirs.output_shape


def test_normalisation_disappears_into_the_convolution() -> None:
    block = keras.Sequential([keras.layers.Conv2D(4, 2), PoolAndNormalise(), keras.layers.ReLU()])
    assert exported(block, (9, 8, 3)).operators == {"AVERAGE_POOL_2D": 1, "CONV_2D": 1}


def test_attention_is_its_formula(rng: np.random.Generator) -> None:
    layer = Attention()
    layer.build(tf.TensorShape((None, 5, 3)))
    w, b = rng.normal(size=(3, 1)).astype(np.float32), rng.normal(size=(5, 1)).astype(np.float32)
    layer.set_weights([w, b])
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    weights = softmax(np.tanh(x @ w + b), axis=1)
    np.testing.assert_allclose(layer(x), np.sum(weights * x, axis=1), atol=1e-6)


def test_attention_holds_no_weights_that_a_file_counts_as_prunable() -> None:
    assert exported(Attention(), (5, 3)).weights == ()


@pytest.mark.parametrize(("size", "strides"), [(2, None), ((1, 3), None), ((3, 2), None), (3, 2)])
def test_max_pooling_has_the_outputs_and_gradients_of_that_of_keras(
    size: Any, strides: int | None, rng: np.random.Generator
) -> None:
    x = tf.constant(rng.integers(-2, 3, size=(4, 13, 8, 5)), tf.float32)  # with equals in most windows
    ours: Any = MaxPooling2D(size, strides)
    found = []
    for pool in (partial(ours, training=True), keras.layers.MaxPooling2D(size, strides)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = pool(x)
        upstream = np.arange(1, 1 + np.prod(outputs.shape), dtype=np.float32).reshape(outputs.shape)
        found.append((outputs, tape.gradient(outputs, x, upstream)))
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_max_pooling_is_exported_as_one_operator() -> None:
    assert exported(MaxPooling2D(2), (9, 6, 3)).operators == {"MAX_POOL_2D": 1}
