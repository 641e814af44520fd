"""Make a differentiable function of a quantised model file: its own graph, with integers simulated in float32.

The graph is read from the flatbuffer, so that the function rounds exactly the tensors that the file holds as integers:
batch normalisation is folded where the converter folds it, and an LSTM is the products it was exported as.
Rounding is fake quantisation with the straight-through estimator (`stages.quantize.fake_quantization`).
"""

import math
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer, operators
from stages.core.nn.keras import keras, tf
from stages.quantize import fake_quantization as fq
from stages.quantize.fake_quantization import Nearest
from stages.quantize.quantized_graph import QuantizedGraph
from stages.quantize.ranges import Ranges
from stages.quantize.simulated_operators import FUNCTIONS, MOVES

RANGE_MOMENTUM = 0.99  # per step, of an activation's range


def simulate(float32: bytes, quantised: bytes) -> keras.Model:
    """Build the differentiable function of a quantised file, with the constants of its float32 file as weights.

    Parameters
    ----------
    float32 : bytes
        Model of one input and one output, with a batch size of 1.
    quantised : bytes
        Quantised from it. Its weights are taken as symmetric and its other constants as asymmetric integers, with
        ranges by their extremes.

    Returns
    -------
    tf_keras.Model
        Its only layer is a `SimulatedGraph`.

    Raises
    ------
    ModelError
        If the graph holds an operator, or mixes clips in a way, that has no counterpart here.
    """
    layer = SimulatedGraph(float32, quantised)
    inputs = keras.Input(layer.shape_of_input)
    return keras.Model(inputs, layer(inputs), name="simulation")


class SimulatedGraph(keras.layers.Layer):
    """The graph of a quantised file.

    Weights that are zero stay zero: they were pruned. Activation ranges follow a moving average over training batches.

    Attributes
    ----------
    logits : tf.Tensor, shape (n, n_scores), float32
        Logits of the last call.

    Parameters
    ----------
    float32, quantised : bytes
        See `simulate`.
    """

    def __init__(self, float32: bytes, quantised: bytes, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._file = QuantizedGraph(quantised)
        self._floats = flatbuffer.float_constants(float32)

    @property
    def shape_of_input(self) -> tuple[int, ...]:
        """Shape of one clip."""
        return tuple(int(size) for size in self._file.tensors[self._file.inputs[0]].shape[1:])

    def build(self, input_shape: tf.TensorShape) -> None:
        """Make a weight of every float constant, and one of all ranges."""
        self._weights_of: dict[int, tf.Variable] = {}
        self._shared: dict[str, np.ndarray | None] = {}
        weights: dict[str, tf.Variable] = {}
        for i, name in enumerate(self._file.names):
            if name in self._floats:
                if name not in weights:
                    values, self._shared[name] = self._start(i)
                    start = keras.initializers.Constant(values)
                    weights[name] = self.add_weight(f"constant{i}", values.shape, initializer=start)
                self._weights_of[i] = weights[name]
        start = np.zeros((max(self._file.groups.values(), default=-1) + 1, 2), np.float32)
        for i, group in self._file.groups.items():
            quantization, (low, high) = self._file.tensors[i].quantization, fq.limits(self._file.bits(i))
            start[group] = (np.array([low, high]) - quantization.zeroPoint[0]) * quantization.scale[0]
        self.ranges = self.add_weight(
            "ranges", start.shape, initializer=keras.initializers.Constant(start), trainable=False
        )
        super().build(input_shape)

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the scores.

        Parameters
        ----------
        inputs : tf.Tensor, shape (n, ...), float32
        training : bool
            True to update the ranges.

        Returns
        -------
        tf.Tensor, shape (n, n_scores), float32
        """
        ranges = tf.identity(self.ranges)
        seen: dict[int, list[tuple[tf.Tensor, tf.Tensor]]] = {}

        def rounded(i: int, x: tf.Tensor, nearest: Nearest = tf.round) -> tf.Tensor:
            group = self._file.groups[i]
            if training and group not in self._file.fixed:
                seen.setdefault(group, []).append((tf.reduce_min(x), tf.reduce_max(x)))
            return fq.round_activation(x, ranges[group, 0], ranges[group, 1], self._file.bits(i), nearest)

        values = {i: self._constant(i) for i in range(len(self._file.tensors)) if self._file.is_constant(i)}
        (source,) = self._file.inputs
        values[source] = rounded(source, inputs) if source in self._file.groups else inputs
        for operator in self._file.operators:
            code = self._file.code(operator)
            arguments: list[Any] = [None if i < 0 else values[i] for i in operator.inputs]
            if code in operators.WEIGHTED and self._file.is_dynamic(operator):
                arguments[0] = fq.round_dynamically(arguments[0], rows=self._file.is_product_of_rows(operator))
            elif code in operators.WEIGHTED and len(arguments) == 3 and operator.inputs[0] in self._file.groups:
                arguments[2] = self._bias(operator, ranges)
            if code in ("LOGISTIC", "SOFTMAX"):
                self.logits = arguments[0]  # of those that stand within the network, the last one's stay
            results = FUNCTIONS[code](operator.builtinOptions, *arguments)
            for i, result in zip(operator.outputs, results if isinstance(results, list) else [results], strict=True):
                result = tf.reshape(result, [-1, *self._file.tensors[i].shape[1:]])
                moved = i not in self._file.groups or code in MOVES
                values[i] = result if moved else rounded(i, result, self._nearest(operator, ranges))
        if seen:
            self._follow(ranges, seen)
        return values[self._file.outputs[0]]

    def constants(self) -> dict[str, np.ndarray]:
        """Return the weights by the names they have in the float32 file."""
        return {self._file.names[i]: self._unshared(i).numpy() for i in self._weights_of}

    def activation_ranges(self) -> Ranges:
        """Return the ranges of all activations that are integers in the quantised file."""
        ranges = self.ranges.numpy()
        return {self._file.names[i]: (float(ranges[g, 0]), float(ranges[g, 1])) for i, g in self._file.groups.items()}

    def why_no_scaling(self) -> str:
        """Say why `scale_logits` cannot be used; empty if it can."""
        head = self._file.head(self._floats)
        if head is None:
            return "the file does not end in a fully connected layer with a bias and a sigmoid or softmax"
        shared = self._shared[self._file.names[self._file.stored.get(head.inputs[1], head.inputs[1])]]
        return "" if shared is None else "the last layer's weights share their values"

    def scale_logits(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Scale and shift the logits in the last layer's weights and bias, and in the range of integer logits.

        Parameters
        ----------
        scale, shift : np.ndarray, shape (n_scores,)
        """
        head = self._file.head(self._floats)
        assert head is not None  # `why_no_scaling` was asked
        kernel, bias = (self._weights_of[self._file.stored.get(i, i)] for i in head.inputs[1:3])
        kernel.assign(kernel.numpy() * scale[:, np.newaxis])
        bias.assign(bias.numpy() * scale + shift)
        if head.outputs[0] in self._file.groups:
            ranges, group = self.ranges.numpy(), self._file.groups[head.outputs[0]]
            ends = np.concatenate([ranges[group] * a + b for a, b in zip(scale, shift, strict=True)])
            ranges[group] = min(ends.min(), 0.0), max(ends.max(), 0.0)
            self.ranges.assign(ranges)

    def _follow(self, ranges: tf.Tensor, seen: dict[int, list[tuple[tf.Tensor, tf.Tensor]]]) -> None:
        rows = []
        for group in range(ranges.shape[0]):
            lows, highs = zip(*seen[group], strict=True) if group in seen else ([ranges[group, 0]], [ranges[group, 1]])
            zero = tf.constant(0.0)
            rows.append([tf.reduce_min([*lows, zero]), tf.reduce_max([*highs, zero])])
        self.ranges.assign(RANGE_MOMENTUM * ranges + (1 - RANGE_MOMENTUM) * tf.convert_to_tensor(rows))

    def _start(self, i: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return a constant's start and, if its weights share values, which of them each has, from 1 on."""
        values = self._floats[self._file.names[i]]
        if i not in self._file.kernels or self._file.is_integer(i):
            return values, None
        stored = np.frombuffer(self._file.data(i), np.float32).reshape(values.shape)
        if np.array_equal(stored, values):
            return values, None
        centroids, which = np.unique(stored[stored != 0], return_inverse=True)
        number = np.zeros(stored.shape, np.int32)
        number[stored != 0] = which + 1
        return centroids, number

    def _unshared(self, i: int) -> tf.Tensor:
        weight, number = tf.convert_to_tensor(self._weights_of[i]), self._shared[self._file.names[i]]
        return weight if number is None else tf.gather(tf.concat([[0.0], weight], 0), number)

    def _constant(self, i: int) -> Any:
        if i not in self._weights_of:  # a shape or an axis
            return np.frombuffer(self._file.data(i), np.int32)
        weight, is_kernel = self._unshared(i), i in self._file.kernels
        if is_kernel:
            weight = tf.where(weight == 0.0, 0.0, weight)  # without a gradient where it is pruned
        if not self._file.is_integer(i):  # float, or a bias, whose 32 bits are as good
            return weight
        if is_kernel:
            return fq.round_weights(weight, self._file.axis(i), self._file.bits(i))
        low, high = tf.minimum(tf.reduce_min(weight), 0.0), tf.maximum(tf.reduce_max(weight), 0.0)
        return fq.round_activation(weight, low, high, self._file.bits(i))

    def _bias(self, operator: Any, ranges: tf.Tensor) -> tf.Tensor | None:
        """Return a bias as a multiple of the product of the scales of the input and of the weights."""
        x, kernel, bias = operator.inputs
        if bias < 0:
            return None
        low, high = tf.unstack(ranges[self._file.groups[x]])
        of_weights = fq.scale_of_weights(
            tf.convert_to_tensor(self._weights_of[kernel]), self._file.axis(kernel), self._file.bits(kernel)
        )
        scale = tf.reshape(of_weights, [-1]) * fq.scale_of_activation(low, high, self._file.bits(x))
        last = tf.constant(2.0**31)
        return fq.rounded(tf.convert_to_tensor(self._weights_of[bias]), scale, -last, last)

    def _nearest(self, operator: Any, ranges: tf.Tensor) -> Nearest:
        """Return how the kernel that runs an operator rounds: to the even step, but for three."""
        code, x, y = self._file.code(operator), operator.inputs[0], operator.outputs[0]
        if code == "AVERAGE_POOL_2D":  # a half to the greater magnitude of the stored integer
            zero = fq.limits(self._file.bits(y))[0] - tf.round(ranges[self._file.groups[y], 0] / self._scale(y, ranges))
            return lambda steps: fq.away_from_zero(steps + zero) - zero
        if code == "QUANTIZE" and x in self._file.groups:  # a multiplier with eight bits after the point
            ratio = self._scale(x, ranges) / self._scale(y, ranges)
            return lambda steps: tf.floor(steps / ratio * tf.round(256 * ratio) / 256 + 0.5)
        if code == "CONV_2D" and self._file.bits(operator.inputs[1]) < 8:  # at first to a power of two of a step
            of_weights = tf.reshape(self._scale_of_weights(operator.inputs[1]), [-1])
            ratio = of_weights * self._scale(x, ranges) / self._scale(y, ranges)
            coarse = 2.0 ** tf.minimum(tf.floor(tf.math.log(ratio) / math.log(2)) + 1, 0.0)
            return lambda steps: fq.away_from_zero(tf.round(steps / coarse) * coarse)
        return tf.round

    def _scale(self, i: int, ranges: tf.Tensor) -> tf.Tensor:
        low, high = tf.unstack(ranges[self._file.groups[i]])
        return fq.scale_of_activation(low, high, self._file.bits(i))

    def _scale_of_weights(self, i: int) -> tf.Tensor:
        return fq.scale_of_weights(tf.convert_to_tensor(self._weights_of[i]), self._file.axis(i), self._file.bits(i))
