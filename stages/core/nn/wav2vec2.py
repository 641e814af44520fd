"""A wav2vec 2.0 checkpoint in the layout of Hugging Face, read without PyTorch.

config.json               the network's shape, as `transformers.Wav2Vec2Config` writes it
preprocessor_config.json  whether a waveform is standardised first, and its sample rate
model.safetensors         the weights

Only safetensors are read: a pickle (`pytorch_model.bin`) runs whatever code it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stages.core.project import files, lazy
from stages.core.project.errors import DataError, ModelError, ParameterError, require

if TYPE_CHECKING:
    import safetensors
    import safetensors.numpy as safetensors_numpy
else:
    safetensors, safetensors_numpy = lazy.module("safetensors"), lazy.module("safetensors.numpy")


WEIGHTS = "model.safetensors"
FILES = ("config.json", "preprocessor_config.json", WEIGHTS)
_PREFIX = "wav2vec2."  # of every tensor but the head's, in a checkpoint that may have a head


@dataclass(frozen=True)
class Shape:
    """Shape of a wav2vec 2.0 network: names and defaults are those of the `config.json` of the base model.

    Attributes
    ----------
    conv_dim, conv_kernel, conv_stride : tuple[int, ...]
        Filters, width and stride (both in steps of what it reads) of each convolution of the feature encoder.
    conv_bias : bool
    feat_extract_norm : {"group", "layer"}
        Standardise each filter of the first convolution over time, or every step of each convolution over its filters.
    feat_extract_activation, hidden_act : {"gelu", "relu"}
    hidden_size, num_attention_heads, intermediate_size : int
    num_conv_pos_embeddings, num_conv_pos_embedding_groups : int
        Width (frames) and groups of the convolution that tells where in time a frame is.
    do_stable_layer_norm : bool
        Standardise before attention and feed-forward network instead of after.
    layer_norm_eps : float
    classifier_proj_size : int
        Width of the head.
    do_normalize : bool
        Standardise the waveform; of `preprocessor_config.json`.
    """

    OWNER: ClassVar[str] = "train.options.wav2vec2_student.shape"

    conv_dim: tuple[int, ...] = (512, 512, 512, 512, 512, 512, 512)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: str = "group"
    feat_extract_activation: str = "gelu"
    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    layer_norm_eps: float = 1e-5
    classifier_proj_size: int = 256
    do_normalize: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("conv_dim", "conv_kernel", "conv_stride"):
            values = getattr(self, name)
            rule = "be as many positive numbers as conv_dim has"
            valid = len(values) == len(self.conv_dim) > 0 and min(values) >= 1
            require(valid, f"{self.OWNER}.{name}", rule, list(values))
        for name in ("hidden_size", "intermediate_size", "num_conv_pos_embeddings", "classifier_proj_size"):
            require(getattr(self, name) >= 1, f"{self.OWNER}.{name}", "be at least 1", getattr(self, name))
        for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            parts = getattr(self, name)
            divides = parts >= 1 and self.hidden_size % parts == 0
            require(divides, f"{self.OWNER}.{name}", f"divide hidden_size ({self.hidden_size})", parts)
        norm = self.feat_extract_norm
        require(norm in ("group", "layer"), f"{self.OWNER}.feat_extract_norm", "be group or layer", norm)
        for name in ("feat_extract_activation", "hidden_act"):
            activation = getattr(self, name)
            require(activation in ("gelu", "relu"), f"{self.OWNER}.{name}", "be gelu or relu", activation)
        require(self.layer_norm_eps > 0, f"{self.OWNER}.layer_norm_eps", "be above 0", self.layer_norm_eps)

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames the feature encoder makes of a waveform; 0 or less of one that is too short."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            n_samples = (n_samples - kernel) // stride + 1
        return n_samples


@dataclass(frozen=True)
class Checkpoint:
    """Content of the two JSON files of a checkpoint.

    Attributes
    ----------
    folder : Path
    config : Mapping
        `config.json`.
    shape : Shape
    n_layers : int
        Number of layers of the transformer.
    sample_rate : int
        Hz.
    """

    folder: Path
    config: Mapping[str, Any]
    shape: Shape
    n_layers: int
    sample_rate: int

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the weights as float32, named without the prefix ``wav2vec2.``, weight normalisation multiplied out.

        Raises
        ------
        DataError
            If the file is not of safetensors.
        """
        path = self.folder / WEIGHTS
        try:
            stored = safetensors_numpy.load_file(path)
        except safetensors.SafetensorError as error:
            raise DataError(f"{path} must be a file of safetensors; it cannot be read: {error}.") from None
        named = {name.removeprefix(_PREFIX): np.asarray(values, np.float32) for name, values in stored.items()}
        return _multiplied_out(named, "encoder.pos_conv_embed.conv")

    def tensor(self, tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return one of its tensors.

        Raises
        ------
        ModelError
            If it is missing or of another shape.
        """
        found = tensors[name].shape if name in tensors else "none"
        if found != shape:
            raise ModelError(
                f"{self.folder / WEIGHTS} must hold {name} of shape {shape}, as config.json has it; got {found}. "
                "Take the files of one checkpoint."
            )
        return tensors[name]


def read(folder: Path, owner: str) -> Checkpoint:
    """Read what a checkpoint says of itself, and check that its weights can be read safely.

    Parameters
    ----------
    folder : Path
    owner : str
        The parameter that names it, for messages.

    Raises
    ------
    DataError
        If a file is missing, or if the weights are a pickle.
    ModelError
        If it is not a wav2vec 2.0 network that we know.
    """
    if not (folder / WEIGHTS).is_file() and (folder / "pytorch_model.bin").is_file():
        raise DataError(
            f"{owner} must hold {WEIGHTS}; {folder} has the pickle pytorch_model.bin, which could run any code. "
            "Have its publisher's safetensors, or save it anew with `save_pretrained`."
        )
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"{owner} must be the folder of a Hugging Face checkpoint; {folder} has no {name}.")
    config = files.read_json(folder / "config.json")
    preprocessor = files.read_json(folder / "preprocessor_config.json")
    kind = config.get("model_type")
    if kind != "wav2vec2":
        raise ModelError(f"{owner} must be a checkpoint of a wav2vec2 network; {folder} is one of {kind!r}.")
    for name in ("add_adapter", "adapter_attn_dim", "use_weighted_layer_sum"):
        if config.get(name):
            raise ModelError(f"{owner} must be a wav2vec2 network without {name}; {folder} has it. Take another.")
    known = Shape.__dataclass_fields__
    given = {name: _plain(value) for name, value in config.items() if name in known}
    try:
        shape = Shape(**{**given, "do_normalize": preprocessor.get("do_normalize", True)})
    except ParameterError as error:
        reason = str(error).removeprefix(f"{Shape.OWNER}.")
        raise ModelError(f"{owner} must be a network of a known shape; of that in {folder}, {reason}") from None
    return Checkpoint(
        folder,
        config,
        shape,
        config.get("num_hidden_layers", 12),
        preprocessor.get("sampling_rate", 16000),
    )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _multiplied_out(tensors: dict[str, np.ndarray], owner: str) -> dict[str, np.ndarray]:
    """Return the tensors with a weight for its direction and its length at each position along the last axis.

    Salimans, Kingma, "Weight Normalization", NeurIPS 2016, equation 2; PyTorch names the two in either way.
    """
    for length, direction in (
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
        ("weight_g", "weight_v"),
    ):
        if f"{owner}.{length}" in tensors:
            g, v = tensors.pop(f"{owner}.{length}"), tensors.pop(f"{owner}.{direction}")
            tensors[f"{owner}.weight"] = g * v / np.sqrt(np.square(v).sum(axis=(0, 1), keepdims=True))
    return tensors
