"""A plain CNN for log-mel features that keeps where in the spectrum something was heard.

A strided convolution, then blocks of two 3 × 3 convolutions, the first of which halves time and frequency. What is left
of the frequency axis is read by one convolution as high as it is, so that the same shape means one thing among low
bands and another among high ones. Over time, the mean and the maximum count: one for what lasts, one for what happens
once. Every convolution is followed by batch normalisation and ReLU, which the converter folds into it; the first layer
standardises every band, so that levels in decibels need no scaling of their own.

References
----------
Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR 2015 workshop, for strides in place of
poolings. Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition", IEEE/ACM
Transactions on Audio, Speech, and Language Processing 28 (2020), section II, for the two ways of pooling over time.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts


@dataclass(frozen=True)
class Config:
    """Parameters of the strided CNN.

    Attributes
    ----------
    widths : tuple[int, ...]
        Filters of the first convolution and of each block.
    head : int
        Filters of the convolution over all bands that are left.
    width : float
        Factor of all numbers of filters, `widths` and `head`; 1 leaves them as they are.
    dropout : float
        Rate before the last layer.
    weight_decay : float
        L2 penalty on the kernels.
    """

    widths: tuple[int, ...] = (16, 24, 32, 48, 56)
    head: int = 80
    width: float = 1.0
    dropout: float = 0.3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.strided_cnn"
        _parts.check_width(owner, self.width, "1 is as published.")
        require(self.head >= 1, f"{owner}.head", "be at least 1 filter", self.head)
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

    def convolved(
        x: "keras.KerasTensor", width: int, name: str, size: tuple[int, int] = (3, 3), stride: int = 1
    ) -> "keras.KerasTensor":
        padding = "valid" if size[0] == 1 else "same"
        conv = layers.Conv2D(width, size, stride, padding, use_bias=False, kernel_regularizer=decay, name=name)
        return _parts.normed(conv(x), name)

    if config.width == 1:
        widths, head = config.widths, config.head
    else:
        widths = tuple(_parts.scaled(n, config.width) for n in config.widths)
        head = _parts.scaled(config.head, config.width)
    inputs, x = _parts.picture(input_shape)
    x = convolved(x, widths[0], "stem", stride=2)
    for i, width in enumerate(widths[1:], start=1):
        x = convolved(x, width, f"block{i}a", stride=2)
        x = convolved(x, width, f"block{i}b")
    x = convolved(x, head, "spectrum", size=(1, int(x.shape[2])))
    lasting = layers.GlobalAveragePooling2D(name="mean")(x)
    once = layers.MaxPooling2D(x.shape[1:3], name="maximum")(x)  # which has more integer kernels than the global one
    x = layers.Concatenate(name="pool")([lasting, layers.Flatten(name="once")(once)])
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return keras.Model(inputs, _parts.scores(x, n_classes), name="strided_cnn")
