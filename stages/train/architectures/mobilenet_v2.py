"""A small MobileNetV2 for log-mel features: residual blocks that are wide inside and narrow between.

A block widens its input by a pointwise convolution, convolves every channel by itself over time and frequency, and
narrows the result by a linear pointwise convolution. A block that keeps shape and width adds its input to its output.
Depth costs fewer weights than in `ds_cnn`, while each of a block's three layers costs about 2 kB of a full-integer
file. The first layer standardises every mel band, as levels in decibels need no scaling of their own.

Two changes let the converter fold every normalisation and give each operator an integer kernel: ReLU stands for ReLU6,
which matters for fixed-point formats of few bits and not for scales per channel, and the numbers of filters follow the
paper's in order only, as its own are for pictures of 1,000 classes.

References
----------
Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, section 3
and table 2.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts


@dataclass(frozen=True)
class Config:
    """Parameters of MobileNetV2.

    Attributes
    ----------
    stem : int
        Filters of the first convolution, 3 × 3 with stride 2.
    widths : tuple[int, ...]
        Filters between the blocks; a block that is wider than the one before halves time and frequency.
    expansion : int
        Factor by which a block is wider inside than its input; the published one is 6.
    head : int
        Filters of the last convolution.
    width : float
        Factor of all numbers of filters; 1 leaves them as they are.
    dropout : float
        Rate before the last layer.
    weight_decay : float
        L2 penalty on the kernels.
    """

    stem: int = 16
    widths: tuple[int, ...] = (24, 24, 40, 40, 64)
    expansion: int = 3
    head: int = 128
    width: float = 1.0
    dropout: float = 0.3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.mobilenet_v2"
        _parts.check_width(owner, self.width, "1 leaves it as it is.")
        for name in ("stem", "expansion", "head"):
            require(getattr(self, name) >= 1, f"{owner}.{name}", "be at least 1", getattr(self, name))
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

    def scaled(n: int) -> int:
        return n if config.width == 1 else _parts.scaled(n, config.width)

    def pointwise(x: "keras.KerasTensor", n: int, name: str) -> "keras.KerasTensor":
        return layers.Conv2D(n, 1, use_bias=False, kernel_regularizer=decay, name=name)(x)

    def block(x: "keras.KerasTensor", n: int, stride: int, name: str) -> "keras.KerasTensor":
        inside = pointwise(x, config.expansion * int(x.shape[-1]), f"{name}_widen")
        inside = _parts.normed(inside, f"{name}_widen")
        depthwise = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")
        inside = _parts.normed(depthwise(inside), f"{name}_depthwise")
        narrow = pointwise(inside, n, f"{name}_narrow")
        narrow = layers.BatchNormalization(momentum=0.9, name=f"{name}_narrow_norm")(narrow)
        same = x.shape[1:] == narrow.shape[1:]
        return layers.Add(name=f"{name}_residual")([x, narrow]) if same else narrow

    inputs, x = _parts.picture(input_shape)
    stem = layers.Conv2D(scaled(config.stem), 3, 2, "same", use_bias=False, kernel_regularizer=decay, name="stem")
    x = _parts.normed(stem(x), "stem")
    for i, (n, before) in enumerate(zip(config.widths, (config.stem, *config.widths), strict=False), start=1):
        x = block(x, scaled(n), 2 if n > before else 1, f"block{i}")
    x = _parts.normed(pointwise(x, scaled(config.head), "head"), "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return keras.Model(inputs, _parts.scores(x, n_classes), name="mobilenet_v2")
