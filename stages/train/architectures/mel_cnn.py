"""A small plain CNN for mel spectrograms: blocks of two 3 × 3 convolutions and a pooling, as on pictures.

The paper that it stands for compares such a network on mel spectrograms with ACDNet on raw audio, and says what its
layers are - convolutions, batch normalisations, ReLUs, poolings, one dense layer - but not how wide. The first layer
standardises every band, so that levels in decibels need no scaling of their own.

References
----------
Mou, Milanova, "Performance Analysis of Deep Learning Model Compression Techniques for Audio Classification on Edge
Devices", Sci 6(2), 2024, section 2.2.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts


@dataclass(frozen=True)
class Config:
    """Parameters of the mel CNN.

    Attributes
    ----------
    widths : tuple[int, ...]
        Filters of each block, which halves time and frequency.
    dropout : float
        Rate before the last layer.
    weight_decay : float
        L2 penalty on the kernels.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    dropout: float = 0.3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.mel_cnn"
        _parts.check(owner, widths=self.widths, dropout=self.dropout, weight_decay=self.weight_decay)


def build(config: Config, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    """Build the network, uncompiled.

    Parameters
    ----------
    config : Config
    input_shape : tuple[int, ...]
        (n_frames, n_mels) or (n_frames, n_mels, 1).
    n_classes : int

    Returns
    -------
    tf_keras.Model

    Raises
    ------
    ParameterError
        If the features are too small to be halved so often.
    """
    shortest = 2 ** len(config.widths)
    require(
        min(input_shape[:2]) >= shortest,
        "features",
        f"have at least {shortest} frames and bands for mel_cnn with {len(config.widths)} blocks",
        input_shape,
        "Take longer clips or more bands, or fewer blocks.",
    )
    from stages.core.nn.layers import MaxPooling2D

    layers = keras.layers
    decay = keras.regularizers.L2(config.weight_decay)
    inputs, x = _parts.picture(input_shape)
    for i, width in enumerate(config.widths, start=1):
        for name in (f"block{i}a", f"block{i}b"):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_regularizer=decay, name=name)(x)
            x = _parts.normed(x, name)
        x = MaxPooling2D(2, name=f"block{i}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return keras.Model(inputs, _parts.scores(x, n_classes), name="mel_cnn")
