"""LiteRT's operators as TensorFlow functions, for the simulation of a quantised file."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.nn.keras import tf
from stages.core.project.errors import ModelError

_ACTIVATIONS: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {
    schema.ActivationFunctionType.NONE: tf.identity,
    schema.ActivationFunctionType.RELU: tf.nn.relu,
    schema.ActivationFunctionType.RELU6: tf.nn.relu6,
    schema.ActivationFunctionType.TANH: tf.tanh,
}


def _activated(options: Any, x: tf.Tensor) -> tf.Tensor:
    return _ACTIVATIONS[options.fusedActivationFunction](x)


def _padding(options: Any) -> str:
    return "SAME" if options.padding == schema.Padding.SAME else "VALID"


def _conv(options: Any, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    y = tf.nn.conv2d(x, tf.transpose(kernel, [1, 2, 3, 0]), strides, _padding(options), dilations=dilations)
    return _activated(options, y if bias is None else y + bias)


def _depthwise(options: Any, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    _, height, width, _ = kernel.shape
    kernel = tf.reshape(kernel, [height, width, x.shape[-1], options.depthMultiplier])
    strides = (1, options.strideH, options.strideW, 1)
    dilations = (options.dilationHFactor, options.dilationWFactor)
    y = tf.nn.depthwise_conv2d(x, kernel, strides, _padding(options), dilations=dilations)
    return _activated(options, y if bias is None else y + bias)


def _dense(options: Any, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    y = tf.matmul(tf.reshape(x, [-1, kernel.shape[1]]), kernel, transpose_b=True)
    return _activated(options, y if bias is None else y + bias)


def _pool(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    def pool(options: Any, x: tf.Tensor) -> tf.Tensor:
        size, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        return _activated(options, function(x, size, strides, _padding(options)))

    return pool


def _slice(options: Any, x: tf.Tensor, begin: np.ndarray, end: np.ndarray, strides: np.ndarray) -> tf.Tensor:
    if options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask:
        raise ModelError("Quantisation-aware fine-tuning must find plain slices; got one that adds or drops an axis.")

    def one(axis: int) -> slice:
        open_begin, open_end = options.beginMask >> axis & 1, options.endMask >> axis & 1
        return slice(None if open_begin else begin[axis], None if open_end else end[axis], strides[axis])

    return x[(slice(None), *map(one, range(1, len(begin))))]  # all clips


def _reduce(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    return lambda options, x, axes: function(x, axes, keepdims=options.keepDims)


# The shape of a result is the flatbuffer's, so that a function need not care for it.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ADD": lambda options, x, y: _activated(options, x + y),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "CONCATENATION": lambda options, *xs: _activated(options, tf.concat(xs, options.axis)),
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": lambda _, x: x,
    "FULLY_CONNECTED": _dense,
    "LOGISTIC": lambda _, x: tf.sigmoid(x),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MEAN": _reduce(tf.reduce_mean),
    "MUL": lambda options, x, y: _activated(options, x * y),
    "PACK": lambda options, *xs: tf.stack(xs, options.axis),
    "PAD": lambda _, x, widths: tf.pad(x, widths.reshape(-1, 2)),
    "QUANTIZE": lambda _, x: x,
    "RELU": lambda _, x: tf.nn.relu(x),
    "RESHAPE": lambda _, x, *_shape: x,
    "SOFTMAX": lambda options, x: tf.nn.softmax(options.beta * x),
    "STRIDED_SLICE": _slice,
    "SUB": lambda options, x, y: _activated(options, x - y),
    "SUM": _reduce(tf.reduce_sum),
    "TANH": lambda _, x: tf.tanh(x),
    "UNPACK": lambda options, x: tf.unstack(x, axis=options.axis),
}
MOVES = {"CONCATENATION", "DEQUANTIZE", "MAX_POOL_2D", "PACK", "PAD", "RESHAPE", "STRIDED_SLICE", "UNPACK"}
"""Operators that move values and do not compute."""
SAME_RANGE = (MOVES | {"AVERAGE_POOL_2D"}) - {"DEQUANTIZE"}
"""Operators whose integer inputs and outputs share a range."""
FIXED = {"LOGISTIC", "SOFTMAX", "TANH"}
"""Operators whose output range LiteRT fixes."""
