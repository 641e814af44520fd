"""A CNN whose zeros LiteRT skips: nearly all of its weights are 1 × 1 convolutions, arranged as XNNPACK asks.

XNNPACK multiplies by sparse matrices only from a 3 × 3 convolution of three channels with stride 2 and a ring of zeros
on, through 1 × 1 convolutions, depthwise 3 × 3 convolutions and ReLUs, to a global average pooling; and only in float
(schemes `sparse_float32`, `sparse_float16`), at two thirds of zeros or more. It does so on Arm; on x86 with AVX it
prefers dense matrices, and only the file is smaller. The features become three channels by three short filters along
time, in the place of the deltas of speech recognition.

References
----------
Elsen et al., "Fast Sparse ConvNets", CVPR 2020, sections 3 and 4.
Howard et al., "MobileNets", arXiv:1704.04861 (2017), section 3.
"""

from dataclasses import dataclass

from stages.core.nn.keras import keras
from stages.core.project.errors import require
from stages.train.architectures import _parts

CHANNELS = 3  # of what XNNPACK's convolution reads


@dataclass(frozen=True)
class Config:
    """Parameters of the sparse CNN.

    Attributes
    ----------
    stem : int
        Filters of the strided convolution.
    widths : tuple[int, ...]
        Filters of each block; a block that is wider than the one before halves time and frequency.
    dropout : float
        Rate before the last layer.
    weight_decay : float
        L2 penalty on the kernels of 1 × 1.
    """

    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 128, 256, 256)
    dropout: float = 0.3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "train.options.sparse_cnn"
        require(self.stem >= 1, f"{owner}.stem", "be at least 1 filter", self.stem)
        _parts.check(owner, widths=self.widths, dropout=self.dropout, weight_decay=self.weight_decay)


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
    """
    layers = keras.layers
    decay = keras.regularizers.L2(config.weight_decay)
    inputs, x = _parts.picture(input_shape)
    x = layers.Conv2D(CHANNELS, (5, 1), padding="same", name="deltas")(x)
    x = layers.ZeroPadding2D(1, name="stem_pad")(x)
    x = _parts.normed(layers.Conv2D(config.stem, 3, 2, use_bias=False, name="stem")(x), "stem")
    width = config.stem
    for i, wider in enumerate(config.widths, start=1):
        stride, width = (2 if wider > width else 1), wider
        x = layers.ZeroPadding2D(1, name=f"block{i}_pad")(x)  # as XNNPACK pads: Keras' "same" is lopsided at stride 2
        depthwise = layers.DepthwiseConv2D(3, stride, use_bias=False, name=f"block{i}_depthwise")
        x = _parts.normed(depthwise(x), f"block{i}_depthwise")
        pointwise = layers.Conv2D(width, 1, use_bias=False, kernel_regularizer=decay, name=f"block{i}_pointwise")
        x = _parts.normed(pointwise(x), f"block{i}_pointwise")
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Dropout(config.dropout, name="dropout")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, _parts.scores(x, n_classes), name="sparse_cnn")
