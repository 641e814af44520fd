"""The network of ACDNet and Micro-ACDNet: two convolutions of the waveform make its picture, ten more look at it.

The picture's rows are the channels of the second convolution: there the two swap places. As rows are no channels to the
convolutions that follow, that layer's filters cannot be removed exactly; all others can. Every convolution is without
bias and followed by batch normalisation and ReLU.
"""

from dataclasses import dataclass
from typing import ClassVar

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts

SHORTEST = 17  # samples, of which the two strided convolutions leave 1
POOLED = (3, 5, 7, 9, 11)  # convolutions that a pooling follows


@dataclass(frozen=True)
class Config:
    """Parameters of either network.

    Attributes
    ----------
    channels : tuple[int, ...]
        Filters of the convolutions in turn; of the twelfth, if it is left out, one per class.
    pool : int
        Outputs of the second convolution to a column of the picture; 50 are 10 ms at 20 kHz.
    dropout : float
        Rate before the twelfth convolution.
    weight_decay : float
        L2 penalty on the kernels; half of what PyTorch calls weight decay.
    """

    NAME: ClassVar[str]

    channels: tuple[int, ...] = ()
    pool: int = 50
    dropout: float = 0.2
    weight_decay: float = 2.5e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = f"train.options.{self.NAME}"
        valid = len(self.channels) in (11, 12) and min(self.channels) >= 1
        require(valid, f"{owner}.channels", "be 11 or 12 positive numbers of filters", list(self.channels))
        require(self.pool >= 1, f"{owner}.pool", "be at least 1", self.pool, "Write 50 for 10 ms at 20 kHz.")
        _parts.check(owner, dropout=self.dropout, weight_decay=self.weight_decay)


def build(config: Config, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    """Build the network, uncompiled.

    Parameters
    ----------
    config : Config
    input_shape : tuple[int, ...]
        (n_samples,) or (n_samples, 1).
    n_classes : int

    Returns
    -------
    tf_keras.Model

    Raises
    ------
    ParameterError
        If the features are too short.
    """
    n_columns = ((input_shape[0] - 9) // 2 + 1 - 5) // 2 + 1
    require(
        n_columns >= config.pool,
        "features",
        f"have at least {4 * config.pool + 13} samples for {config.NAME} with a pool of {config.pool}",
        input_shape,
        "Take longer crops, or lower pool.",
    )
    layers = keras.layers
    channels = (*config.channels, n_classes)[:12]
    decay = keras.regularizers.L2(config.weight_decay) if config.weight_decay else None

    def convolved(x: "keras.KerasTensor", i: int, size: tuple[int, int], stride: int = 1) -> "keras.KerasTensor":
        x = layers.Conv2D(
            channels[i - 1],
            size,
            (1, stride),
            "valid" if stride > 1 else "same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=decay,
            name=f"conv{i}",
        )(x)
        return layers.ReLU(name=f"relu{i}")(layers.BatchNormalization(name=f"norm{i}")(x))

    inputs = layers.Input(input_shape, name="features")
    x = layers.Reshape((1, input_shape[0], 1), name="waveform")(inputs)
    x = convolved(x, 1, (1, 9), stride=2)
    x = convolved(x, 2, (1, 5), stride=2)
    x = layers.MaxPooling2D((1, config.pool), name="pool2")(x)
    x = layers.Permute((3, 2, 1), name="picture")(x)
    for i in range(3, 12):
        x = convolved(x, i, (3, 3))
        size = tuple(min(2, n) for n in x.shape[1:3])
        if i in POOLED and max(size) > 1:
            x = layers.MaxPooling2D(size, name=f"pool{i}")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    x = convolved(x, 12, (1, 1))
    x = layers.AveragePooling2D(tuple(x.shape[1:3]), name="pool12")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = _parts.scores(x, n_classes, kernel_initializer="lecun_normal", kernel_regularizer=decay)
    return keras.Model(inputs, outputs, name=config.NAME)
