"""Keras layers of our own: functions of Keras' layers, written so that their exported graphs are fast in 8 bits."""

from collections.abc import Callable

from stages.core.nn.keras import keras, tf


class PoolAndNormalise(keras.layers.BatchNormalization):
    """Average pooling of 2 × 2 with stride 1, then batch normalisation.

    Both are linear and the pooling's weights add up to 1, so outside training, where the normalisation's statistics are
    fixed, they change places: next to a convolution the normalisation is folded into its weights on export. Where the
    pooling stands between, it stays as a product and a sum, and in full integers costs two bits of precision.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the normalised means of all 2 × 2 neighbourhoods: one row and one column less than `inputs` has."""
        if training:
            return super().call(self.statistics_input(inputs), training=True)
        return _mean_of_neighbours(super().call(inputs, training=False))

    def statistics_input(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return what the statistics describe: the means of the neighbourhoods."""
        return _mean_of_neighbours(inputs)


class MaxPooling2D(keras.layers.MaxPooling2D):
    """Keras' layer, with a gradient in half the time where windows do not overlap.

    TensorFlow's looks up and adds, element by element, what is one comparison of the input with the maxima.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the greatest of every window."""
        apart = self.strides == self.pool_size and (self.padding, self.data_format) == ("valid", "channels_last")
        if training and apart:
            return _maxima(inputs, self.pool_size)
        return super().call(inputs)


class UnrolledLSTM(keras.layers.Layer):
    """The function and the weights of Keras' `LSTM(units, return_sequences=True)`, without its loop.

    Keras' layer is exported as a loop, one operator's or the graph's own, that reads its input matrix anew at every
    step and that ai-edge-quantizer leaves in float32. Here one matrix product projects the inputs of all steps, and the
    recurrence is written out, one small product per step. The gates are stored in Keras' order: input, forget,
    candidate, output.

    Parameters
    ----------
    units : int
        Width of the output.
    backwards : bool
        From the last step to the first; the outputs stand in the order of the inputs.

    References
    ----------
    Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997; with the forget gate of Gers,
    Schmidhuber, Cummins, "Learning to Forget", Neural Computation 12(10), 2000.
    """

    def __init__(self, units: int, *, backwards: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.backwards = backwards
        self.cell = keras.layers.LSTMCell(units)

    def build(self, input_shape: tf.TensorShape) -> None:
        """Make the kernel (n_inputs, 4 units), the recurrent kernel (units, 4 units) and the bias (4 units)."""
        self.cell.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the output of every step.

        Parameters
        ----------
        inputs : tf.Tensor, shape (n, n_steps, n_inputs), float32

        Returns
        -------
        tf.Tensor, shape (n, n_steps, units), float32
        """
        units = self.cell.units
        projected = tf.tensordot(inputs, self.cell.kernel, 1) + self.cell.bias
        output = state = None
        outputs = []
        for gates in tf.unstack(projected, axis=1)[:: -1 if self.backwards else 1]:
            if output is not None:
                gates += output @ self.cell.recurrent_kernel
            i, f, candidate, o = (gates[:, k : k + units] for k in range(0, 4 * units, units))
            new = tf.sigmoid(i) * tf.tanh(candidate)
            state = new if state is None else tf.sigmoid(f) * state + new
            output = tf.sigmoid(o) * tf.tanh(state)
            outputs.append(output)
        return tf.stack(outputs[:: -1 if self.backwards else 1], axis=1)


class Attention(keras.layers.Layer):
    """Weigh the steps of a sequence and add them up: the weights are the softmax over the steps of tanh(x_t · w + b_t).

    The bias belongs to the step, so the number of steps is fixed. Never pruned, as in the published network: the
    product with w is written as a sum of products, so that a model file does not count it among its prunable weights.

    References
    ----------
    Hamdi et al., "Attention-based hybrid CNN-LSTM and spectral data augmentation for COVID-19 diagnosis from cough
    sound", Journal of Intelligent Information Systems 59, 2022, section 3.4.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        """Make w (width, 1), random normal, and b (n_steps, 1), zero."""
        _, n_steps, width = input_shape
        self.kernel = self.add_weight("kernel", (width, 1), initializer="random_normal")
        self.bias = self.add_weight("bias", (n_steps, 1), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the weighted sum of the steps.

        Parameters
        ----------
        inputs : tf.Tensor, shape (n, n_steps, width), float32

        Returns
        -------
        tf.Tensor, shape (n, width), float32
        """
        scores = tf.tanh(tf.reduce_sum(inputs * self.kernel[:, 0], axis=2) + self.bias[:, 0])
        return tf.reduce_sum(inputs * tf.nn.softmax(scores)[:, :, None], axis=1)


class Standardise(keras.layers.Layer):
    """Zero mean and unit variance along one axis, then a scale and an offset for every channel.

    Along the channels it is layer normalisation (Ba, Kiros, Hinton, "Layer Normalization", arXiv 1607.06450), along
    time instance normalisation, which is group normalisation with a group for each channel. Keras' own is exported
    through the operator of batch normalisation, which needs a fixed batch.

    Parameters
    ----------
    axis : int
        Axis of (n, n_steps, n_channels) to standardise along: 1 or 2.
    epsilon : float
        Added to the variance.
    learned : bool
        Whether there are a scale and an offset.
    """

    def __init__(self, axis: int = 2, epsilon: float = 1e-5, learned: bool = True, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.axis, self.epsilon, self.learned = axis, epsilon, learned

    def build(self, input_shape: tf.TensorShape) -> None:
        """Make the scale (n_channels,), 1, and the offset (n_channels,), 0."""
        if self.learned:
            self.gamma = self.add_weight("gamma", (input_shape[-1],), initializer="ones")
            self.beta = self.add_weight("beta", (input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the standardised values: same shape, float32."""
        centred = inputs - tf.reduce_mean(inputs, self.axis, keepdims=True)
        variance = tf.reduce_mean(centred * centred, self.axis, keepdims=True)  # a squared difference has no 16 bits
        values = centred * tf.math.rsqrt(variance + self.epsilon)
        return values * self.gamma + self.beta if self.learned else values


class GroupedConv1D(keras.layers.Layer):
    """A convolution along time in which each group of channels sees itself alone; as many steps out as in.

    It is written as one convolution per group, as TensorFlow has no gradient of a grouped one on a CPU. The width of an
    even kernel has one step more before than after.

    Parameters
    ----------
    kernel_size : int
        Steps.
    groups : int
        Divides the number of channels.
    """

    def __init__(self, kernel_size: int, groups: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.groups = kernel_size, groups

    def build(self, input_shape: tf.TensorShape) -> None:
        """Make the kernel (kernel_size, n_channels / groups, n_channels) and the bias (n_channels,)."""
        n = input_shape[-1]
        self.kernel = self.add_weight("kernel", (self.kernel_size, n // self.groups, n))
        self.bias = self.add_weight("bias", (n,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the sums: shape (n, n_steps, n_channels), float32."""
        before = self.kernel_size // 2
        padded = tf.pad(inputs, [[0, 0], [before, self.kernel_size - 1 - before], [0, 0]])
        x, kernel, bias = (tf.split(values, self.groups, axis=-1) for values in (padded, self.kernel, self.bias))
        return tf.concat([tf.nn.conv1d(x[i], kernel[i], 1, "VALID") + bias[i] for i in range(self.groups)], axis=-1)

    def get_prunable_weights(self) -> list[tf.Variable]:
        """Return the kernel."""
        return [self.kernel]


class DotProductAttention(keras.layers.Layer):
    """Attention of several heads, without the projections around it.

    Parameters
    ----------
    heads : int
        Divides the number of channels.
    dropout : float
        Rate, of the weights.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.
    """

    def __init__(self, heads: int, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.heads, self.rate = heads, dropout
        self.dropout = keras.layers.Dropout(dropout)

    def get_config(self) -> dict[str, object]:
        """Return what makes such a layer."""
        return super().get_config() | {"heads": self.heads, "dropout": self.rate}

    def call(self, inputs: list[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Return for every query the mean of the values, weighted by the softmax of its products with the keys.

        Parameters
        ----------
        inputs : list of tf.Tensor
            Queries, keys and values, each of shape (n, n_steps, n_channels), float32.
        training : bool or None

        Returns
        -------
        tf.Tensor, shape (n, n_steps, n_channels), float32
        """
        _, n_steps, n_channels = inputs[0].shape
        width = n_channels // self.heads
        split = [tf.transpose(tf.reshape(x, (-1, n_steps, self.heads, width)), (0, 2, 1, 3)) for x in inputs]
        queries, keys, values = split
        weights = tf.nn.softmax(tf.matmul(queries * width**-0.5, keys, transpose_b=True))
        means = tf.matmul(self.dropout(weights, training=training), values)
        return tf.reshape(tf.transpose(means, (0, 2, 1, 3)), (-1, n_steps, n_channels))


class GlobalSumPooling1D(keras.layers.Layer):
    """The sum over time."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return (n, n_channels) of (n, n_steps, n_channels)."""
        return tf.reduce_sum(inputs, axis=1)


def _mean_of_neighbours(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(x, 2, strides=1, padding="VALID")


def _maxima(x: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    @tf.custom_gradient
    def pooled(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        y = tf.nn.max_pool2d(x, size, size, "VALID")
        return y, lambda upstream: _to_the_first_maximum(x, y, upstream, *size)

    return pooled(x)


@tf.function(jit_compile=True, autograph=False)
def _to_the_first_maximum(x: tf.Tensor, y: tf.Tensor, upstream: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Return the gradient for x of windows of which y are the maxima, as TensorFlow's: equals after the first get 0."""
    n_rows, n_columns, n_channels = y.shape[1:]
    windows = tf.reshape(
        x[:, : n_rows * height, : n_columns * width], [-1, n_rows, height, n_columns, width, n_channels]
    )
    taken, rows = tf.zeros_like(y, tf.bool), []
    for i in range(height):
        columns = []
        for j in range(width):
            greatest = windows[:, :, i, :, j] == y
            columns.append(tf.where(greatest & ~taken, upstream, 0.0))
            taken |= greatest
        rows.append(tf.stack(columns, axis=3))
    inside = tf.reshape(tf.stack(rows, axis=2), [-1, n_rows * height, n_columns * width, n_channels])
    rest = [[0, x.shape[1] - n_rows * height], [0, x.shape[2] - n_columns * width]]
    return tf.pad(inside, [[0, 0], *rest, [0, 0]])
