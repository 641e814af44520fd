"""Cross-entropy, accuracy and class weights of the three kinds of task: binary, multi-class, multi-label."""

from typing import Any

import numpy as np

from stages.core.artifacts.dataset import indicators
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import DataError


def cross_entropy(targets: Any, scores: Any, multi_label: bool) -> "tf.Tensor":
    """Return the cross-entropy of each clip in nats: shape (n,), for a multi-label task (n, n_classes).

    Parameters
    ----------
    targets, scores : tf.Tensor or np.ndarray, shape (n, n_outputs), float32
        Probabilities; one output for a binary task.
    multi_label : bool
    """
    losses = keras.losses
    if multi_label:
        return losses.binary_crossentropy(targets[..., np.newaxis], scores[..., np.newaxis])
    return (losses.binary_crossentropy if scores.shape[-1] == 1 else losses.categorical_crossentropy)(targets, scores)


def smoothed(y: np.ndarray, smoothing: float, *, multi_label: bool) -> np.ndarray:
    """Return targets of which a fraction is spread evenly: over the classes, or over presence and absence of each.

    Parameters
    ----------
    y : np.ndarray, shape (n, n_classes), int
        0 or 1.
    smoothing : float
        In [0, 1).
    multi_label : bool

    Returns
    -------
    np.ndarray, shape (n, n_classes), float32

    Examples
    --------
    >>> smoothed(np.array([[0, 1, 0, 0]]), 0.5, multi_label=False).tolist()
    [[0.125, 0.625, 0.125, 0.125]]
    """
    targets = y.astype(np.float32)
    if not smoothing:
        return targets
    return targets * np.float32(1 - smoothing) + np.float32(smoothing / (2 if multi_label else y.shape[1]))


def correct(targets: Any, scores: Any, multi_label: bool) -> "tf.Tensor":
    """Return 1 where a prediction is right, else 0: shape (n,), for a multi-label task (n, n_classes).

    The threshold of a sigmoid is 0.5. Parameters as for `cross_entropy`.
    """
    if multi_label:
        agree = tf.equal(targets > 0.5, scores > 0.5)
    elif scores.shape[-1] == 1:
        agree = tf.equal(targets > 0.5, scores > 0.5)[:, 0]
    else:
        agree = tf.equal(tf.argmax(targets, axis=1), tf.argmax(scores, axis=1))
    return tf.cast(agree, tf.float32)


def class_weights(y: np.ndarray, n_classes: int, *, balanced: bool = True) -> np.ndarray:
    """Return weights inversely proportional to the classes' frequencies, with mean 1 over the clips.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
        Class of each clip; for a multi-label task, 0 or 1 for each class.
    n_classes : int
    balanced : bool
        If False, all weights are 1.

    Returns
    -------
    np.ndarray, float32
        Shape (n_classes,); for a multi-label task (2, n_classes): weights of absence, then of presence.

    Raises
    ------
    DataError
        If a class has no clip, or if all clips of a multi-label task have it.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]), 2).round(3).tolist()
    [0.6669999957084656, 2.0]
    """
    if not balanced:
        return np.ones((2, n_classes) if y.ndim == 2 else n_classes, np.float32)
    held = indicators(y, n_classes).sum(axis=0)
    counts = np.stack([len(y) - held, held]) if y.ndim == 2 else held
    if not counts.all():
        lost = int(np.flatnonzero(counts.reshape(-1, n_classes).min(axis=0) == 0)[0])
        raise DataError(
            f"the training split has no clip {'with or without' if y.ndim == 2 else 'of'} class {lost}. Run `dvc repro "
            "split` again."
        )
    return (len(y) / ((2 if y.ndim == 2 else n_classes) * counts)).astype(np.float32)


def weigh(targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight targets by class: return weighted targets that are probabilities again, and the weights of the clips.

    A blend of two clips is part of one class and part of another. The cross-entropy with the weighted targets times the
    clip's weight is the sum over the classes of the class weight, the target and -log(score), so that every class has
    the same total weight whether or not clips are blended. Targets of 0 and 1 stay as they are.

    Parameters
    ----------
    targets : np.ndarray, shape (n, n_classes), float32
    weights : np.ndarray
        As `class_weights` returns them.

    Returns
    -------
    targets : np.ndarray, shape (n, n_classes), float32
    clip_weights : np.ndarray, float32
        Shape (n,); for a multi-label task (n, n_classes).

    Examples
    --------
    >>> half = np.array([[0.5, 0.5]], np.float32)
    >>> [values.tolist() for values in weigh(half, np.array([1.0, 3.0], np.float32))]
    [[[0.25, 0.75]], [2.0]]
    """
    if weights.ndim == 1:
        totals = targets @ weights
        return targets * weights / totals[:, np.newaxis], totals
    totals = (1 - targets) * weights[0] + targets * weights[1]
    return targets * weights[1] / totals, totals
