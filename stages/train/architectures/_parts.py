"""Building blocks that several architectures share."""

from collections.abc import Sequence
from typing import Any

from stages.core.nn.keras import keras
from stages.core.project.errors import require


def check(owner: str, *, dropout: float, widths: Sequence[int] = (1,), weight_decay: float = 0.0) -> None:
    """Check the ranges of parameters that most architectures have.

    Raises
    ------
    ParameterError
        Named ``owner.parameter``.
    """
    valid = len(widths) > 0 and min(widths) >= 1
    require(valid, f"{owner}.widths", "be a list of positive numbers of filters", list(widths))
    require(0 <= dropout < 1, f"{owner}.dropout", "be a fraction in [0, 1)", dropout)
    require(weight_decay >= 0, f"{owner}.weight_decay", "be 0 or more", weight_decay)


def check_width(owner: str, width: float, advice: str) -> None:
    """Check the factor of all numbers of filters; errors as of `check`."""
    require(0 < width <= 16, f"{owner}.width", "be above 0 and at most 16", width, advice)


def scaled(n: int, width: float) -> int:
    """Return a number of filters times `width`, to the nearest even number, at least 4.

    Examples
    --------
    >>> scaled(24, 0.6)
    14
    """
    return max(4, 2 * round(n * width / 2))


def bands(input_shape: tuple[int, ...]) -> "tuple[keras.KerasTensor, keras.KerasTensor]":
    """Return the input, and its bands, each standardised: levels in decibels need no scaling of their own.

    Parameters
    ----------
    input_shape : tuple[int, ...]
        (n_frames, n_bands) or (n_frames, n_bands, 1).

    Returns
    -------
    inputs, standardised : keras.KerasTensor
        The latter of shape (n, n_frames, n_bands).
    """
    inputs = keras.layers.Input(input_shape, name="features")
    x = keras.layers.Reshape(input_shape[:2], name="bands")(inputs)
    return inputs, keras.layers.BatchNormalization(momentum=0.9, name="standardise")(x)


def picture(input_shape: tuple[int, ...]) -> "tuple[keras.KerasTensor, keras.KerasTensor]":
    """Return the same, the latter of shape (n, n_frames, n_bands, 1)."""
    inputs, x = bands(input_shape)
    return inputs, keras.layers.Reshape((*input_shape[:2], 1), name="channel")(x)


def normed(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    """Return ReLUs of the normalised channels, settled within the few steps of a small data set."""
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def scores(x: "keras.KerasTensor", n_classes: int, **more: Any) -> "keras.KerasTensor":
    """Return the probabilities: of a sigmoid, (n, 1), of two classes; of a softmax, (n, n_classes), of more."""
    units, activation = (1, "sigmoid") if n_classes == 2 else (n_classes, "softmax")
    return keras.layers.Dense(units, activation, name="scores", **more)(x)
