"""A bidirectional LSTM over the frames of a spectrogram, and one dense layer on the mean of its outputs.

Frames are averaged by the handful first, as each step of the recurrence is written out: the network is exported without
a loop (`stages.core.nn.layers.UnrolledLSTM`), so that it has full-integer forms, in a file that grows with the steps.

References
----------
Mou, Milanova, "Performance Analysis of Deep Learning Model Compression Techniques for Audio Classification on Edge
Devices", Sci 6(2), 2024, section 2.2, which gives no sizes.
Schuster, Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on Signal Processing 45(11), 1997.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts


@dataclass(frozen=True)
class Config:
    """Parameters of the bidirectional LSTM.

    Attributes
    ----------
    units : int
        Width of either direction.
    pool : int
        Frames that are averaged to a step.
    dropout : float
        Rate before the last layer.
    """

    units: int = 64
    pool: int = 10
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.bilstm"
        for name in ("units", "pool"):
            require(getattr(self, name) >= 1, f"{owner}.{name}", "be at least 1", getattr(self, name))
        _parts.check(owner, dropout=self.dropout)


def build(config: Config, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    """Build the network, uncompiled.

    Parameters
    ----------
    config : Config
    input_shape : tuple[int, ...]
        (n_frames, n_bands) or (n_frames, n_bands, 1).
    n_classes : int

    Returns
    -------
    tf_keras.Model

    Raises
    ------
    ParameterError
        If there are fewer frames than a step takes.
    """
    require(
        input_shape[0] >= config.pool,
        "train.options.bilstm.pool",
        f"be at most the {input_shape[0]} frames of a clip",
        config.pool,
        "Lower it.",
    )
    from stages.core.nn.layers import UnrolledLSTM

    layers = keras.layers
    inputs, x = _parts.bands(input_shape)
    x = layers.AveragePooling1D(config.pool, name="steps")(x)
    forwards = UnrolledLSTM(config.units, name="forwards")(x)
    backwards = UnrolledLSTM(config.units, backwards=True, name="backwards")(x)
    x = layers.Concatenate(name="both")([forwards, backwards])
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return keras.Model(inputs, _parts.scores(x, n_classes), name="bilstm")
