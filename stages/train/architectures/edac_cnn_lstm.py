"""The CNN-LSTM with attention of EDAC and of Hamdi et al.: four convolutions, an LSTM over the rows, attention.

99 % of its 10,820,440 parameters (for pictures of 39 × 88 × 3) are the LSTM's. Its steps are the rows of the picture:
mel bands in the papers, which attend over frequency, and frames if the front end puts time first. The LSTM is exported
without a loop (`stages.core.nn.layers.UnrolledLSTM`), so the network has full-integer forms.

References
----------
EDAC: Efficient Deployment of Audio Classification Models for COVID-19 Detection, arXiv:2309.05357 (2023), section 3.
Hamdi et al., "Attention-based hybrid CNN-LSTM and spectral data augmentation for COVID-19 diagnosis from cough sound",
Journal of Intelligent Information Systems 59 (2022), section 3.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require

FILTERS = (16, 32, 64, 128)
SHORTEST = 2 * len(FILTERS) + 1  # every block takes two rows and two columns away


@dataclass(frozen=True)
class Config:
    """Parameters of the EDAC CNN-LSTM; the defaults are the published ones.

    Attributes
    ----------
    units : int
        Width of the LSTM.
    dropout : float
        Rate after every block of the convolutional part and after the LSTM.
    dense_dropout : float
        Rate before the last layer.
    """

    units: int = 256
    dropout: float = 0.2
    dense_dropout: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.edac_cnn_lstm"
        require(self.units >= 1, f"{owner}.units", "be at least 1", self.units)
        for name in ("dropout", "dense_dropout"):
            require(0 <= getattr(self, name) < 1, f"{owner}.{name}", "be a fraction in [0, 1)", getattr(self, name))


def build(config: Config, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    """Build the network, uncompiled.

    Parameters
    ----------
    config : Config
    input_shape : tuple[int, ...]
        (n_rows, n_columns) or (n_rows, n_columns, n_channels), at least 9 rows and columns.
    n_classes : int

    Returns
    -------
    tf_keras.Model

    Raises
    ------
    ParameterError
        If the features are too small.
    """
    require(
        min(input_shape[:2]) >= SHORTEST,
        "features",
        f"have at least {SHORTEST} rows and {SHORTEST} columns for edac_cnn_lstm",
        input_shape,
        "Take longer clips or more bands, or another architecture.",
    )
    from stages.core.nn.layers import Attention, PoolAndNormalise, UnrolledLSTM

    layers = keras.layers
    n_steps, n_columns = (size - 2 * len(FILTERS) for size in input_shape[:2])
    binary = n_classes == 2
    model = keras.Sequential([layers.Input(input_shape)], name="edac_cnn_lstm")
    if len(input_shape) == 2:
        model.add(layers.Reshape((*input_shape, 1), name="channel"))
    for i, filters in enumerate(FILTERS, start=1):
        model.add(layers.Conv2D(filters, 2, kernel_initializer="random_normal", name=f"conv{i}"))
        model.add(PoolAndNormalise(name=f"pool_norm{i}"))
        model.add(layers.ReLU(name=f"relu{i}"))
        model.add(layers.Dropout(config.dropout, name=f"dropout{i}"))
    for layer in (
        layers.Reshape((n_steps, n_columns * FILTERS[-1]), name="rows"),
        UnrolledLSTM(config.units, name="lstm"),
        layers.Activation("tanh", name="tanh"),
        layers.BatchNormalization(name="norm5"),
        layers.Dropout(config.dropout, name="dropout5"),
        Attention(name="attention"),
        layers.Dense(100, activation="relu", name="dense"),
        layers.Dropout(config.dense_dropout, name="dropout6"),
        layers.Dense(1 if binary else n_classes, activation="sigmoid" if binary else "softmax", name="scores"),
    ):
        model.add(layer)
    return model
