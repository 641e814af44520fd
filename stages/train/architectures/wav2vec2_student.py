"""wav2vec 2.0 with few transformer layers, which it may take from a teacher's checkpoint: 16 kHz waveforms to classes.

The feature encoder is whole, as a student without part of it would not understand the layers it takes. Layer drop and
the masks of its pretraining are left out. With a checkpoint's own head and all its layers it computes what
`transformers.Wav2Vec2ForSequenceClassification` does.

References
----------
Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", NeurIPS 2020,
sections 2 and 4.2.
Peng et al., "Shrinking Bigfoot: Reducing wav2vec 2.0 footprint", SustaiNLP 2021, section 3: fewer layers, distilled.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from stages.core.nn import wav2vec2
from stages.core.nn.keras import keras
from stages.core.nn.wav2vec2 import Checkpoint, Shape
from stages.core.project.errors import ModelError, require
from stages.train.architectures import _parts

SAMPLE_RATE = 16000
_OWNER = "train.options.wav2vec2_student"


@dataclass(frozen=True)
class Config:
    """Parameters of the student.

    Attributes
    ----------
    checkpoint : Path or None
        Folder of a wav2vec 2.0 checkpoint (`stages.core.nn.wav2vec2`) whose weights to start from, such as the one that
        a teacher leaves; None starts from random ones.
    layers : int
        Number of layers of the transformer.
    take : {"first", "even"}
        Which of the checkpoint's layers: the first, or the first, the last and evenly spaced ones between.
    head : {"fresh", "checkpoint"}
        Start from a random head, or from the checkpoint's, which must be of as many classes.
    pooling : {"mean", "sum", "max"}
        Over time, of what the head makes of each frame.
    dropout : float
        Rate in the transformer and before the scores.
    freeze_feature_encoder : bool
        Train the convolutions of the waveform, too, or leave them as they are; pruning may change them in any case.
    shape : Shape or None
        Without a checkpoint, the network's; None for that of wav2vec2-base.
    """

    checkpoint: Path | None = None
    layers: int = 2
    take: Literal["first", "even"] = "first"
    head: Literal["fresh", "checkpoint"] = "fresh"
    pooling: Literal["mean", "sum", "max"] = "mean"
    dropout: float = 0.1
    freeze_feature_encoder: bool = False
    shape: Shape | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.layers >= 1, f"{_OWNER}.layers", "be at least 1", self.layers)
        require(0 <= self.dropout < 1, f"{_OWNER}.dropout", "be a fraction in [0, 1)", self.dropout)
        alone = self.checkpoint is None or self.shape is None
        require(alone, f"{_OWNER}.shape", "be left out where checkpoint is given, whose shape it is", "both")
        headed = self.checkpoint is not None or self.head == "fresh"
        require(headed, f"{_OWNER}.head", "be fresh without a checkpoint", self.head)


def standalone(config: Config) -> Config:
    """Return the parameters that build the same network without the checkpoint.

    Its feature encoder is not frozen: whoever prunes it must be able to train it.

    Raises
    ------
    DataError, ModelError
        If the checkpoint is not one of wav2vec 2.0.
    """
    if config.checkpoint is None:
        return replace(config, freeze_feature_encoder=False)
    shape = wav2vec2.read(config.checkpoint, f"{_OWNER}.checkpoint").shape
    return replace(config, checkpoint=None, head="fresh", shape=shape, freeze_feature_encoder=False)


def build(config: Config, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    """Build the network, uncompiled.

    Parameters
    ----------
    config : Config
    input_shape : tuple[int, ...]
        (n_samples,) or (n_samples, 1), at the checkpoint's sample rate, 16 kHz.
    n_classes : int

    Returns
    -------
    tf_keras.Model
        Its layer ``"encoder"`` gives what the feature encoder makes, ``"hidden"`` the transformer's last frames.

    Raises
    ------
    ParameterError
        If the features are not waveforms, or too short.
    DataError, ModelError
        If the checkpoint cannot be read, or does not fit.
    """
    source = None if config.checkpoint is None else wav2vec2.read(config.checkpoint, f"{_OWNER}.checkpoint")
    shape = source.shape if source else config.shape or Shape()
    if source:
        of = f"be at most the {source.n_layers} that {source.folder} has"
        require(config.layers <= source.n_layers, f"{_OWNER}.layers", of, config.layers)
        pooling = source.config.get("pooling", "mean")
        fits = config.head == "fresh" or config.pooling == pooling
        require(fits, f"{_OWNER}.pooling", f"be the {pooling} that the checkpoint's head has", config.pooling)
    waveform = len(input_shape) == 1 or input_shape[1:] == (1,)
    require(waveform, "features", "be waveforms for wav2vec2_student", input_shape, "Choose the front end raw.")
    enough = shape.n_frames(input_shape[0]) >= 1
    require(
        enough, "features", "have samples enough for a frame of wav2vec2_student", input_shape, "Take longer clips."
    )
    model = _network(config, shape, input_shape, n_classes)
    if source:
        _fill(model, source, config, n_classes)
    return model


def _network(config: Config, shape: Shape, input_shape: tuple[int, ...], n_classes: int) -> "keras.Model":
    from stages.core.nn.layers import DotProductAttention, GlobalSumPooling1D, GroupedConv1D, Standardise

    layers = keras.layers
    pools = {"mean": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D, "sum": GlobalSumPooling1D}

    def norm(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
        return Standardise(epsilon=shape.layer_norm_eps, name=name)(x)

    def dropped(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
        return layers.Dropout(config.dropout, name=name)(x)

    def dense(x: "keras.KerasTensor", width: int, name: str, activation: str = "linear") -> "keras.KerasTensor":
        return layers.Dense(width, activation, name=name)(x)

    inputs = layers.Input(input_shape, name="features")
    x = layers.Reshape((input_shape[0], 1), name="waveform")(inputs)
    if shape.do_normalize:
        x = Standardise(axis=1, epsilon=1e-7, learned=False, name="standardised")(x)
    n_convs = len(shape.conv_dim)
    for i, (width, kernel, stride) in enumerate(zip(shape.conv_dim, shape.conv_kernel, shape.conv_stride, strict=True)):
        standardised = shape.feat_extract_norm == "layer" or i == 0
        activation, trained = shape.feat_extract_activation, not config.freeze_feature_encoder
        conv = layers.Conv1D(width, kernel, stride, use_bias=shape.conv_bias, name=f"conv{i + 1}", trainable=trained)
        x = conv(x)
        if standardised:
            axis = 2 if shape.feat_extract_norm == "layer" else 1
            x = Standardise(axis=axis, name=f"conv{i + 1}_norm", trainable=trained)(x)
        x = layers.Activation(activation, name="encoder" if i == n_convs - 1 else f"conv{i + 1}_{activation}")(x)
    x = dropped(dense(norm(x, "projection_norm"), shape.hidden_size, "projection"), "projection_dropout")
    place = GroupedConv1D(shape.num_conv_pos_embeddings, shape.num_conv_pos_embedding_groups, name="positions")(x)
    x = layers.Add(name="placed")([x, layers.Activation(shape.feat_extract_activation, name="positions_act")(place)])
    before = shape.do_stable_layer_norm
    x = dropped(x if before else norm(x, "encoder_norm"), "encoder_dropout")
    for own in (f"layer{i}" for i in range(1, config.layers + 1)):
        read = norm(x, f"{own}_norm") if before else x
        heads = [dense(read, shape.hidden_size, f"{own}_{name}") for name in ("query", "key", "value")]
        found = DotProductAttention(shape.num_attention_heads, config.dropout, name=f"{own}_attention")(heads)
        found = dropped(dense(found, shape.hidden_size, f"{own}_out"), f"{own}_out_dropout")
        x = layers.Add(name=f"{own}_attended")([x, found])
        x = x if before else norm(x, f"{own}_norm")
        read = norm(x, f"{own}_final_norm") if before else x
        wide = dropped(dense(read, shape.intermediate_size, f"{own}_wide", shape.hidden_act), f"{own}_wide_dropout")
        narrow = dropped(dense(wide, shape.hidden_size, f"{own}_narrow"), f"{own}_narrow_dropout")
        x = layers.Add(name=f"{own}_fed")([x, narrow])
        x = x if before else norm(x, f"{own}_final_norm")
    x = layers.Activation("linear", name="hidden")(norm(x, "encoder_norm") if before else x)
    x = dense(x, shape.classifier_proj_size, "projector")
    x = dropped(pools[config.pooling](name="pool")(x), "dropout")
    return keras.Model(inputs, _parts.scores(x, n_classes), name="wav2vec2_student")


def _fill(model: "keras.Model", source: Checkpoint, config: Config, n_classes: int) -> None:
    """Give a network the weights of a checkpoint: PyTorch's are Keras' with the order of the axes reversed."""
    tensors = source.tensors()
    spread = np.linspace(0, source.n_layers - 1, config.layers).round().astype(int)
    taken = spread if config.take == "even" else np.arange(config.layers)
    n_convs = len(source.shape.conv_dim)
    names = {
        **{f"conv{i + 1}": f"feature_extractor.conv_layers.{i}.conv" for i in range(n_convs)},
        **{f"conv{i + 1}_norm": f"feature_extractor.conv_layers.{i}.layer_norm" for i in range(n_convs)},
        "projection_norm": "feature_projection.layer_norm",
        "projection": "feature_projection.projection",
        "positions": "encoder.pos_conv_embed.conv",
        "encoder_norm": "encoder.layer_norm",
    }
    parts = {
        **{name: f"attention.{name[0]}_proj" for name in ("query", "key", "value")},
        "out": "attention.out_proj",
        "norm": "layer_norm",
        "wide": "feed_forward.intermediate_dense",
        "narrow": "feed_forward.output_dense",
        "final_norm": "final_layer_norm",
    }
    for i, layer in enumerate(taken, start=1):
        names |= {f"layer{i}_{ours}": f"encoder.layers.{layer}.{theirs}" for ours, theirs in parts.items()}
    if config.head == "checkpoint":
        names["projector"] = "projector"
    for layer in model.layers:
        if layer.name in names:
            kinds = ("weight", "bias")[: len(layer.weights)]
            shapes = [tuple(w.shape[::-1]) for w in layer.weights]
            needed = [f"{names[layer.name]}.{kind}" for kind in kinds]
            found = [source.tensor(tensors, name, shape) for name, shape in zip(needed, shapes, strict=True)]
            layer.set_weights([values.T for values in found])
    if config.head == "checkpoint":
        _fill_scores(model, source, tensors, n_classes)


def _fill_scores(model: "keras.Model", source: Checkpoint, tensors: dict[str, np.ndarray], n_classes: int) -> None:
    """Load the last layer from the checkpoint; for two classes the difference, whose sigmoid is their softmax."""
    n_theirs = len(tensors.get("classifier.bias", ()))
    if n_theirs != n_classes:
        raise ModelError(
            f"{_OWNER}.head can be the checkpoint's only if it is of the task's {n_classes} classes; that of "
            f"{source.folder} is of {n_theirs}. Write head: fresh."
        )
    width = source.shape.classifier_proj_size
    kernel = source.tensor(tensors, "classifier.weight", (n_classes, width)).T
    bias = source.tensor(tensors, "classifier.bias", (n_classes,))
    if n_classes == 2:
        kernel, bias = np.diff(kernel, axis=1), np.diff(bias)
    model.get_layer("scores").set_weights([kernel, bias])
