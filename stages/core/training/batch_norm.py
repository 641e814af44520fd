"""Exact statistics of batch normalisation, recomputed over a fixed sample of training clips, augmented as in training.

Keras' moving averages start at 0 and 1 and follow the batches slowly: after few steps inference would use mostly the
start values, and a network whose weights still change is judged by statistics of older weights. Here the sample passes
through the network in large batches of random order, every normalisation by the moments of its batch and without
dropout, and the moments of all batches are pooled. With a sample of one batch, inference computes exactly what training
would.

References
----------
Ioffe, Szegedy, "Batch Normalization", ICML 2015, section 3.1: population statistics, estimated after training.
Wu, Johnson, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576 (2021), section 3: precise statistics from about 1,000
samples, pooled.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from stages.core.artifacts.dataset import Split, indicators
from stages.core.nn.keras import keras, tf
from stages.core.training import batches
from stages.core.training.params import FitParams

CLIPS_AT_ONCE = 64  # takes less memory than a training step of as many


def normalisations(model: "keras.Model") -> "list[keras.layers.BatchNormalization]":
    """Return the trainable batch normalisations of a network; frozen ones keep their statistics."""
    kind = keras.layers.BatchNormalization
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind) and layer.trainable]


class BatchNormStatistics:
    """Recomputes the statistics of a network's batch normalisations.

    Parameters
    ----------
    model : tf_keras.Model
    split : Split
        Training split.
    params : FitParams
        `batch_norm_clips` is the size of the sample; crops and augmentation are drawn once, as for a step.
    seed : int
        Seed of the sample, the crops and the augmentation.
    """

    def __init__(self, model: "keras.Model", split: Split, params: FitParams, seed: int) -> None:
        self._model, self._layers = model, normalisations(model)
        n = min(params.batch_norm_clips, len(split)) if self._layers else 0
        rng = np.random.default_rng((seed, 3))
        rows = rng.choice(len(split), n, replace=False)
        targets = indicators(split.y, len(split.labels)).astype(np.float32)
        self._x = batches.batch(split, targets, rows, params, rng)[0] if n else None
        self._moments = tf.function(self._batch_moments, autograph=False) if n else None

    def recompute(self) -> None:
        """Set every moving mean and variance to the moments over the sample; nothing without a sample."""
        if self._x is None or self._moments is None:
            return
        parts = [self._x[i : i + CLIPS_AT_ONCE] for i in range(0, len(self._x), CLIPS_AT_ONCE)]
        found = [self._moments(tf.constant(part)) for part in parts]
        share = np.array([len(part) for part in parts]) / len(self._x)
        for layer, moments in zip(self._layers, zip(*found, strict=True), strict=True):
            means, variances = (np.array([pair[i].numpy() for pair in moments], np.float64) for i in (0, 1))
            mean = share @ means
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(share @ variances + share @ (means - mean) ** 2)

    def _batch_moments(self, x: "tf.Tensor") -> "list[tuple[tf.Tensor, tf.Tensor]]":
        found: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}
        with _normalising_by_batch(self._layers, found):
            self._model(x, training=False)
        return [found[layer.name] for layer in self._layers]


@contextlib.contextmanager
def _normalising_by_batch(
    layers: "list[keras.layers.BatchNormalization]", found: "dict[str, tuple[tf.Tensor, tf.Tensor]]"
) -> Iterator[None]:
    """Have layers normalise by the moments of the batch, whatever the mode, and note these."""

    def by_batch(layer: "keras.layers.BatchNormalization") -> "Callable[..., tf.Tensor]":
        def call(inputs: "tf.Tensor", training: bool | None = None) -> "tf.Tensor":  # noqa: ARG001
            x = layer.statistics_input(inputs) if hasattr(layer, "statistics_input") else inputs
            axes = [axis for axis in range(x.shape.rank) if axis not in layer.axis]
            mean, variance = tf.nn.moments(x, axes)
            found[layer.name] = mean, variance
            return tf.nn.batch_normalization(x, mean, variance, layer.beta, layer.gamma, layer.epsilon)

        return call

    for layer in layers:
        layer.call = by_batch(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
