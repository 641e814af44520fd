from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.quantize.convert import to_float32
from tests.quantize.conftest import SHAPE


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
