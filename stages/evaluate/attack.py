"""White-box attacks on the features of the float network, whose results every file is then given.

How far a file's figures fall says how far an attack that was made for the float network carries over to it.
"""

import numpy as np

from stages.core.artifacts.dataset import Split, indicators
from stages.core.nn.keras import keras, tf
from stages.core.project.progress import track

PGD_STEPS = 10
_STEP = 0.25
"""Length of a step of PGD, as a part of the largest change."""
_BATCH = 32
_SUREST = 10.0
"""Logit beyond which logits are scaled down to it."""


def perturbed(model: "keras.Model", split: Split, *, snr_db: float, steps: int) -> np.ndarray:
    """Change the features of clips, by little, so that a network's loss grows the most.

    Parameters
    ----------
    model : tf_keras.Model
        Ends in a sigmoid or a softmax, which is removed from it.
    split : Split
    snr_db : float
        Decibels by which the variance of a crop's features lies above the square of the largest change of any value.
    steps : int
        1 for FGSM; for PGD more, each of a quarter of the largest change.

    Returns
    -------
    np.ndarray, shape (n, n_crops, *input_shape), float32
        Perturbed crops.

    References
    ----------
    Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015 (FGSM). Madry et al.,
    "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018 (PGD).
    """
    last, sigmoid = model.layers[-1], keras.activations.sigmoid
    multi_class = getattr(last, "activation", None) is keras.activations.softmax
    if multi_class or getattr(last, "activation", None) is sigmoid:
        last.activation = keras.activations.linear
    crops = np.asarray(split.crops, np.float32)
    n, n_crops, *shape = crops.shape
    x = crops.reshape(-1, *shape)
    truth = np.repeat(indicators(split.y, len(split.labels)), n_crops, axis=0).astype(np.float32)
    axes = tuple(range(1, x.ndim))
    reach = (x.std(axis=axes, keepdims=True) * 10 ** (-snr_db / 20)).astype(np.float32)
    found = np.empty_like(x)
    for start in track(range(0, len(x), _BATCH), "attack"):
        rows = slice(start, start + _BATCH)
        clean, most = tf.constant(x[rows]), tf.constant(reach[rows])
        moved = clean
        for _ in range(steps):
            slope = _slope(model, moved, truth[rows], multi_class=multi_class)
            moved = moved + (most if steps == 1 else most * _STEP) * tf.sign(slope)
            moved = tf.clip_by_value(moved, clean - most, clean + most)
        found[rows] = moved.numpy()
    return found.reshape(n, n_crops, *shape)


def _slope(model: "keras.Model", x: "tf.Tensor", truth: np.ndarray, *, multi_class: bool) -> "tf.Tensor":
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = model(x, training=False)
        # A float32 loss of surer clips is flat; the sign of its slope does not depend on a scale of the logits.
        largest = tf.reduce_max(tf.abs(logits), axis=1, keepdims=True)
        logits = logits * tf.stop_gradient(_SUREST / tf.maximum(largest, _SUREST))
        if multi_class:
            loss = tf.nn.softmax_cross_entropy_with_logits(truth, logits)
        else:
            loss = tf.nn.sigmoid_cross_entropy_with_logits(truth[:, -logits.shape[1] :], logits)
        total = tf.reduce_sum(loss)
    return tape.gradient(total, x)
