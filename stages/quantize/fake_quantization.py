"""Fake quantisation: values rounded to the grids of integers, with the straight-through estimator for gradients.

Rounding follows Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, section 3, on the grids of ai-edge-quantizer. The gradient of rounding is that of the identity,
and zero outside the clipping range.
"""

from collections.abc import Callable

from stages.core.nn.keras import tf

Nearest = Callable[[tf.Tensor], tf.Tensor]
"""Steps from zero to a whole number of them."""


def round_activation(
    x: tf.Tensor, low: tf.Tensor, high: tf.Tensor, bits: int, nearest: Nearest = tf.round
) -> tf.Tensor:
    """Round to the grid of an asymmetric integer, or, in 16 bits, a symmetric one.

    Parameters
    ----------
    x : tf.Tensor, float32
    low, high : tf.Tensor, float32
        Range, with 0 in it, of any shape that broadcasts; moved so that 0 is on the grid.
    bits : int
    nearest : callable
        Steps from zero to a whole number of them.
    """
    least, greatest = limits(bits)
    scale = scale_of_activation(low, high, bits)
    first = tf.constant(-greatest, tf.float32) if bits == 16 else tf.round(low / scale)
    return rounded(x, scale, first, first + 2 * greatest if bits == 16 else first + (greatest - least), nearest)


def scale_of_activation(low: tf.Tensor, high: tf.Tensor, bits: int) -> tf.Tensor:
    """Return the step of an activation's grid."""
    least, greatest = limits(bits)
    if bits == 16:
        return tf.maximum(tf.maximum(-low, high), 1e-9) / greatest
    return tf.maximum(high - low, 1e-9) / (greatest - least)


def round_weights(w: tf.Tensor, axis: int | None, bits: int) -> tf.Tensor:
    """Round to the grid of a symmetric integer whose scale is the greatest magnitude over 2^(bits - 1) - 1.

    Parameters
    ----------
    w : tf.Tensor, float32
    axis : int or None
        Every slice along it has its own scale; None for one scale.
    bits : int

    Examples
    --------
    >>> round_weights(tf.constant([0.3, -1.0, 0.9]), None, 2).numpy().tolist()
    [0.0, -1.0, 1.0]
    """
    last = tf.constant(limits(bits)[1], tf.float32)
    return rounded(w, scale_of_weights(w, axis, bits), -last, last)


def scale_of_weights(w: tf.Tensor, axis: int | None, bits: int) -> tf.Tensor:
    """Return the step of the weights' grid, of their rank."""
    others = [i for i in range(w.shape.rank) if i != axis]
    return tf.maximum(tf.reduce_max(tf.abs(w), others, keepdims=True), 1e-9) / limits(bits)[1]


def round_dynamically(x: tf.Tensor, *, rows: bool) -> tf.Tensor:
    """Round to 8 bits as LiteRT does while it runs, by the extremes of each row (the last axis), or of each clip."""
    axes = [-1] if rows else list(range(1, x.shape.rank))
    low = tf.minimum(tf.reduce_min(x, axes, keepdims=True), 0.0)
    high = tf.maximum(tf.reduce_max(x, axes, keepdims=True), 0.0)
    return round_activation(x, low, high, 8)


def rounded(
    x: tf.Tensor, scale: tf.Tensor, first: tf.Tensor, last: tf.Tensor, nearest: Nearest = tf.round
) -> tf.Tensor:
    """Round to whole steps of `scale` and clip to `first` to `last` steps, with the straight-through gradient.

    Parameters
    ----------
    x, scale : tf.Tensor, float32
    first, last : tf.Tensor, float32
        Bounds in steps from zero.
    nearest : callable
        Steps from zero to a whole number of them.
    """

    @tf.custom_gradient
    def straight_through(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        steps = nearest(x / scale)
        inside = (steps >= first) & (steps <= last)
        return tf.clip_by_value(steps, first, last) * scale, lambda upstream: tf.where(inside, upstream, 0.0)

    return straight_through(x)


def away_from_zero(steps: tf.Tensor) -> tf.Tensor:
    """Round halves away from zero.

    Examples
    --------
    >>> away_from_zero(tf.constant([0.5, -1.5, 0.4])).numpy().tolist()
    [1.0, -2.0, 0.0]
    """
    return tf.sign(steps) * tf.floor(tf.abs(steps) + 0.501)  # a half of whole numbers may come out as 0.49999


def limits(bits: int) -> tuple[int, int]:
    """Return the least and the greatest signed integer of so many bits.

    Examples
    --------
    >>> limits(8)
    (-128, 127)
    """
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
