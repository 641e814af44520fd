"""A small depthwise-separable CNN for log-mel features: under 100 k parameters, and every operator has an int8 kernel.

A strided convolution, then blocks of a depthwise 3 × 3 and a pointwise convolution, each followed by batch
normalisation and ReLU, which the converter folds into the convolution. The first layer standardises every mel band by
batch normalisation, so that features in decibels need no scaling of their own. Global average pooling makes the number
of parameters independent of the clip's length.

References
----------
Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128 (2017), section 4.5.
Howard et al., "MobileNets", arXiv:1704.04861 (2017), section 3.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts


@dataclass(frozen=True)
class Config:
    """Parameters of the DS-CNN.

    Attributes
    ----------
    stem : int
        Filters of the first convolution, 3 × 3 with stride 2.
    widths : tuple[int, ...]
        Filters of each block; a block that is wider than the one before halves time and frequency.
    width : float
        Factor of all numbers of filters, `stem` and `widths`; 1 leaves them as they are.
    dropout : float
        Rate before the last layer.
    weight_decay : float
        L2 penalty on the kernels.
    """

    stem: int = 32
    widths: tuple[int, ...] = (64, 64, 128, 128, 192)
    width: float = 1.0
    dropout: float = 0.3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.ds_cnn"
        _parts.check_width(owner, self.width, "1 is as published.")
        require(self.stem >= 1, f"{owner}.stem", "be at least 1 filter", self.stem)
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
    """
    layers = keras.layers
    decay = keras.regularizers.L2(config.weight_decay)
    if config.width == 1:
        stem, widths = config.stem, config.widths
    else:
        stem = _parts.scaled(config.stem, config.width)
        widths = tuple(_parts.scaled(n, config.width) for n in config.widths)
    inputs, x = _parts.picture(input_shape)
    conv = layers.Conv2D(stem, 3, 2, "same", use_bias=False, kernel_regularizer=decay, name="stem")
    x = _parts.normed(conv(x), "stem")
    for i, (width, before) in enumerate(zip(widths, (config.stem, *config.widths), strict=False), start=1):
        stride = 2 if config.widths[i - 1] > before else 1
        depthwise = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"block{i}_depthwise")
        x = _parts.normed(depthwise(x), f"block{i}_depthwise")
        pointwise = layers.Conv2D(width, 1, use_bias=False, kernel_regularizer=decay, name=f"block{i}_pointwise")
        x = _parts.normed(pointwise(x), f"block{i}_pointwise")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return keras.Model(inputs, _parts.scores(x, n_classes), name="ds_cnn")
