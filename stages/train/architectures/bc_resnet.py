"""A residual network that broadcasts what it hears over time across the bands: accurate for its size on short sounds.

A block adds to its input two residuals: one convolved along frequency, and one that is the mean over all bands,
convolved along time and added to every band again, so that the wide part of the work is done once per frame and not
once per band. The first layer standardises every band, as levels in decibels need no scaling of their own.

Three changes let the converter fold every normalisation and give each operator an integer kernel: batch normalisation
stands for the published sub-spectral one, ReLU for swish, and a stride along frequency is one along time too. Its many
layers cost about 45 kB of a full-integer file before the first weight, so that below some 90 kB `strided_cnn` is wider.

References
----------
Kim, Chang, Lee, Sung, "Broadcasted Residual Learning for Efficient Keyword Spotting", Interspeech 2021, sections 2 and
3; `width` 1 is BC-ResNet-1, 2 is BC-ResNet-2 and so on.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts

if TYPE_CHECKING:
    from tf_keras import KerasTensor

_CHANNELS = (8, 12, 16, 20)
_STRIDES = (1, 2, 2, 1)
_DILATIONS = (1, 2, 4, 8)
_STEM, _HEAD = 16, 32


@dataclass(frozen=True)
class Config:
    """Parameters of BC-ResNet.

    Attributes
    ----------
    width : float
        Factor of all numbers of filters; 1 to 8 are published.
    blocks : tuple of int
        Blocks of each of the four stages.
    dropout : float
        Rate within blocks and before the last layer.
    weight_decay : float
        L2 penalty on the kernels.
    """

    width: float = 1.0
    blocks: tuple[int, ...] = (2, 2, 4, 4)
    dropout: float = 0.1
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.bc_resnet"
        _parts.check_width(owner, self.width, "1 to 8 are published.")
        four = len(self.blocks) == len(_CHANNELS) and min(self.blocks) >= 1
        require(four, f"{owner}.blocks", "be four positive numbers", list(self.blocks))
        _parts.check(owner, dropout=self.dropout, weight_decay=self.weight_decay)


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

    def pointwise(x: "KerasTensor", n: int, name: str) -> "KerasTensor":
        return layers.Conv2D(n, 1, use_bias=False, kernel_regularizer=decay, name=name)(x)

    def depthwise(x: "KerasTensor", size: tuple[int, int], name: str, **more: Any) -> "KerasTensor":
        x = layers.DepthwiseConv2D(size, padding="same", use_bias=False, name=name, **more)(x)
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)

    def block(x: "KerasTensor", n: int, stride: int, dilation: int, name: str) -> "KerasTensor":
        before = x
        if x.shape[-1] != n:  # a transition block
            x = _parts.normed(pointwise(x, n, f"{name}_in"), f"{name}_in")
        spectral = depthwise(x, (1, 3), f"{name}_frequency", strides=(stride, stride))  # Keras knows square ones
        height = int(spectral.shape[2])
        pooled = layers.AveragePooling2D((1, height), name=f"{name}_mean")(spectral)
        along = depthwise(pooled, (3, 1), f"{name}_time", dilation_rate=(dilation, 1))
        temporal = layers.ReLU(name=f"{name}_time_relu")(along)
        temporal = pointwise(temporal, n, f"{name}_out")
        temporal = layers.Dropout(config.dropout, name=f"{name}_dropout")(temporal)
        summed = layers.Add(name=f"{name}_broadcast")([spectral, temporal])
        if before.shape[1:] == spectral.shape[1:]:
            summed = layers.Add(name=f"{name}_residual")([summed, before])
        return layers.ReLU(name=f"{name}_relu")(summed)

    inputs, x = _parts.picture(input_shape)
    stem = layers.Conv2D(
        _parts.scaled(_STEM, config.width), 5, (1, 2), "same", use_bias=False, kernel_regularizer=decay, name="stem"
    )
    x = _parts.normed(stem(x), "stem")
    for stage, (n, stride, dilation) in enumerate(zip(_CHANNELS, _STRIDES, _DILATIONS, strict=True), start=1):
        for i in range(config.blocks[stage - 1]):
            n_filters = _parts.scaled(n, config.width)
            x = block(x, n_filters, stride if i == 0 else 1, dilation, f"stage{stage}block{i + 1}")
    x = _parts.normed(pointwise(x, _parts.scaled(_HEAD, config.width), "head"), "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(x)
    return keras.Model(inputs, _parts.scores(x, n_classes), name="bc_resnet")
