"""The CNN of EDAC and of Mahanta et al.: two convolutions, then one very large dense layer.

99 % of its 6,145,313 parameters (for MFCCs of 302 frames × 15 coefficients) are the first dense layer's kernel, which
is what makes it so compressible. Batch normalisation follows the convolution's ReLU, as in the notebook that trained
the published baseline; the published pruning script has the two the other way round, which is another function.

References
----------
EDAC: Efficient Deployment of Audio Classification Models for COVID-19 Detection, arXiv:2309.05357 (2023), section 3.
Mahanta et al., "The Brogrammers DiCOVA 2021 Challenge System Report", arXiv:2101.01542 (2021).
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """Parameters of the EDAC CNN; the defaults are the published ones.

    Attributes
    ----------
    dropout : tuple[float, float]
        Rates after the first and the second dense layer.
    regularisation : float
        Scales every penalty of the published network; 0 turns them off.
    """

    dropout: tuple[float, ...] = (0.5, 0.3)
    regularisation: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        valid = len(self.dropout) == 2 and all(0 <= rate < 1 for rate in self.dropout)
        require(valid, "train.options.edac_cnn.dropout", "be two fractions in [0, 1)", self.dropout)
        require(self.regularisation >= 0, "train.options.edac_cnn.regularisation", "be 0 or more", self.regularisation)


def build(config: Config, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    """Build the network, uncompiled.

    Parameters
    ----------
    config : Config
    input_shape : tuple[int, ...]
        (n_frames, n_coefficients) or (n_frames, n_coefficients, 1).
    n_classes : int

    Returns
    -------
    tf_keras.Model
    """
    from stages.core.nn.layers import MaxPooling2D

    layers, scale = keras.layers, config.regularisation

    def dense(units: int, l1: float, l2: float, bias_l2: float, activity_l2: float, name: str) -> "keras.layers.Layer":
        return layers.Dense(
            units,
            activation="relu",
            kernel_regularizer=keras.regularizers.L1L2(l1 * scale, l2 * scale),
            bias_regularizer=keras.regularizers.L2(bias_l2 * scale),
            activity_regularizer=keras.regularizers.L2(activity_l2 * scale),
            name=name,
        )

    binary = n_classes == 2
    return keras.Sequential(
        [
            layers.Input(input_shape),
            layers.Reshape((*input_shape[:2], 1), name="channel"),
            layers.Conv2D(64, 3, activation="relu", name="conv1"),
            MaxPooling2D(2, name="pool"),
            layers.Conv2D(32, 2, activation="relu", name="conv2"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flatten"),
            dense(256, 3e-4, 4e-3, 3e-3, 3e-4, "dense1"),
            layers.Dropout(config.dropout[0], name="dropout1"),
            dense(128, 1e-3, 1e-2, 1e-2, 1e-3, "dense2"),
            layers.Dropout(config.dropout[1], name="dropout2"),
            layers.Dense(1 if binary else n_classes, activation="sigmoid" if binary else "softmax", name="scores"),
        ],
        name="edac_cnn",
    )
