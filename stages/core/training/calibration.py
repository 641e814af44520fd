"""Calibrate the scores of a trained network: scale and shift the logits in the weights of its last layer.

The network keeps its size, its zeros and the ranks of its scores; only the last layer's kernel and bias change.
"""

from collections.abc import Callable

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.artifacts.network import ScoreCalibration
from stages.core.nn.keras import keras, tf
from stages.core.scoring import logits as scaling
from stages.core.scoring.logits import Logits

ACTIVATIONS = ("sigmoid", "softmax")


def calibrate(model: "keras.Model", validation: Split, method: str) -> ScoreCalibration:
    """Fit a scale and a shift of the logits on validation and fold them into the last layer.

    Parameters
    ----------
    model : tf_keras.Model
        Changed, unless calibration is refused.
    validation : Split
    method : str
        One of `stages.core.scoring.logits.METHODS`.

    Returns
    -------
    ScoreCalibration
        The calibration that was folded; `reason` says why nothing was.
    """
    last = model.layers[-1]
    if method == "none" or not _foldable(last):
        ends = f"the network ends in {last.name!r}, not in a dense layer of a sigmoid or softmax with a bias"
        return ScoreCalibration(reason="evaluate.decisions.calibration is none" if method == "none" else ends)
    before = keras.Model(model.input, last.input)
    kernel, bias = (weight.astype(np.float64) for weight in last.get_weights())
    values = over_crops(lambda crops: before(crops, training=False), validation).astype(np.float64) @ kernel + bias
    found = scaling.fit(Logits(values, validation.y, validation.groups), method)
    if found.changes_scores:
        scale, shift = np.array(found.scale), np.array(found.shift)
        last.set_weights([kernel * scale, bias * scale + shift])
    return found


def over_crops(function: Callable[[np.ndarray], "tf.Tensor"], split: Split) -> np.ndarray:
    """Return a function of every crop of every clip: shape (n, n_crops, n_values), float32."""
    n = max(1, 64 // split.n_crops)
    parts = (split.crops[i : i + n].reshape(-1, *split.input_shape) for i in range(0, len(split), n))
    return np.concatenate([function(crops).numpy() for crops in parts]).reshape(len(split), split.n_crops, -1)


def _foldable(layer: "keras.layers.Layer") -> bool:
    dense = isinstance(layer, keras.layers.Dense) and layer.use_bias
    return dense and keras.activations.serialize(layer.activation) in ACTIVATIONS
