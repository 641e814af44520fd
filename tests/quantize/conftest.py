"""Small networks with everything in them: convolutions, batch normalisation in both places, dense layers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.quantize.convert import to_float32

SHAPE = (20, 12, 1)


def build(n_classes: int, sparsity: float = 0.0) -> Any:
    from stages.core.nn.keras import keras

    layers, binary = keras.layers, n_classes == 2
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm_after_relu"),
            layers.DepthwiseConv2D(3, use_bias=False, name="depthwise"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(1 if binary else n_classes, activation="sigmoid" if binary else "softmax", name="scores"),
        ],
        name="tiny",
    )
    rng = np.random.default_rng(2)
    for layer in model.layers:
        weights = layer.get_weights()
        if "norm" in layer.name:
            signs = rng.choice([-1.0, 1.0], weights[0].shape)
            layer.set_weights([signs * rng.uniform(0.5, 1.5, weights[0].shape), *map(np.abs, rng.normal(size=(3, 8)))])
        elif isinstance(layer, layers.Conv2D | layers.Dense) and not isinstance(layer, layers.DepthwiseConv2D):
            kernel = weights[0]
            kept = np.abs(kernel) >= np.quantile(np.abs(kernel), sparsity)
            layer.set_weights([kernel * kept, *weights[1:]])  # the product of a negative and 0 is -0.0
    return model


@pytest.fixture(scope="session")
def networks() -> dict[int, Any]:
    """Keras networks by number of classes, 80 % of their prunable weights zero."""
    return {n: build(n, sparsity=0.8) for n in (2, 5)}


@pytest.fixture(scope="session")
def float32s(networks: dict[int, Any]) -> dict[int, bytes]:
    """Their float32 flatbuffers."""
    return {n: to_float32(network) for n, network in networks.items()}


@pytest.fixture(scope="session")
def clips() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(64, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="session")
def converted() -> Callable[..., bytes]:
    """Convert a stack of layers with random weights, a part of the kernels' zero; no bias is zero."""

    def convert(*stack: Any, shape: tuple[int, ...], zeros: float = 0.0) -> bytes:
        from stages.core.nn.keras import keras

        model, rng = keras.Sequential([keras.layers.Input(shape), *stack]), np.random.default_rng(1)
        for layer in model.layers:
            new = []
            for weight in layer.get_weights():
                size = np.sqrt(2 / max(np.prod(weight.shape[:-1]), 8)) if weight.ndim > 1 else 0.2
                kept = rng.random(weight.shape) >= (zeros if weight.ndim > 1 else 0)
                new.append(rng.normal(0, size, weight.shape) * kept + 0.0)
            layer.set_weights(new)
        return to_float32(model)

    return convert


@pytest.fixture(scope="session")
def float32(converted: Callable[..., bytes]) -> bytes:
    """A network of two convolutions and two dense layers for three classes, 60 % of its kernels zero."""
    from stages.core.nn.keras import keras

    layers = keras.layers
    return converted(
        layers.Conv2D(16, 3, activation="relu", padding="same"),
        layers.MaxPooling2D(2),
        layers.Conv2D(24, 3, activation="relu", strides=2),
        layers.Flatten(),
        layers.Dense(24, activation="relu"),
        layers.Dense(3, activation="softmax"),
        shape=SHAPE,
        zeros=0.6,
    )
