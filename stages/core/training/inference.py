"""Scores, loss and accuracy of a Keras network on a split."""

import numpy as np

from stages.core.artifacts.dataset import Split, indicators
from stages.core.nn.keras import keras
from stages.core.training import losses


def evaluate(model: "keras.Model", split: Split) -> tuple[float, float]:
    """Return a network's cross-entropy (nats) and its accuracy at a threshold of 0.5, without class weights.

    Both are means over clips, for a multi-label task over clips and classes.
    """
    scores = predict(model, split)
    targets = indicators(split.y, len(split.labels)).astype(np.float32)[:, -scores.shape[1] :]
    values, correct = (each(targets, scores, split.multi_label) for each in (losses.cross_entropy, losses.correct))
    return float(np.mean(values)), float(np.mean(correct))


def predict(model: "keras.Model", split: Split) -> np.ndarray:
    """Return a network's scores of every clip, means over its crops: shape (n, n_outputs), float32."""
    n = max(1, 64 // split.n_crops)
    parts = (split.crops[i : i + n] for i in range(0, len(split), n))
    scores = [model(crops.reshape(-1, *split.input_shape), training=False).numpy() for crops in parts]
    return np.concatenate(scores).reshape(len(split), split.n_crops, -1).mean(axis=1)
