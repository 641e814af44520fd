"""Every front end, architecture and quantisation scheme in small: files of a few kilobytes from random weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import flatbuffer
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import plugins
from stages.core.project.errors import ParameterError
from stages.features.export import export
from stages.features.params import FRONTENDS
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.quantize.waveform import with_frames
from stages.runtime.litert import Model
from tests import checkpoints

# Front ends that architectures were made for; log_mel for all others.
NATURAL = {
    "edac_cnn": "mfcc",
    "edac_cnn_lstm": "mel_image",
    "acdnet": "raw",
    "micro_acdnet": "raw",
    "wav2vec2_student": "raw",
}


@dataclass(frozen=True)
class Shapes:
    """Sizes of front ends and architectures.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    frontends, architectures : dict
        Parameters by name; none are the defaults.
    n_classes : int
    sharpness : float
        Factor on the last layer's weights, so that scores of random networks spread.
    """

    sample_rate: int
    frontends: dict[str, dict[str, Any]]
    architectures: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_classes: int = 3
    sharpness: float = 1.0

    def clip_samples(self, frontend: str) -> int:
        """Samples of one clip."""
        return int(self.frontends[frontend]["clip_samples"])

    def exported(self, frontend: str) -> bytes:
        """A front end's file."""
        module = plugins.load(FRONTENDS, frontend, "features.frontend")
        return export(module, module.Config(sample_rate=self.sample_rate, **self.frontends[frontend]))

    def settled(self, architecture: str, features: np.ndarray) -> Any:
        """A random network, its normalisations settled on features; None where it refuses their shape."""
        keras.utils.set_random_seed(5)
        options = {architecture: self.architectures.get(architecture, {})}
        try:
            model, _ = network.build(architecture, options, features.shape[1:], self.n_classes)
        except ParameterError:
            return None
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        model(features, training=True)
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([self.sharpness * kernel, bias])
        return model


# mfcc and log_mel give features of one shape, so that they share the networks.
SMALL = Shapes(
    sample_rate=8000,
    frontends={
        "raw": {"clip_samples": 900, "crop_samples": 900, "crops": 1, "pad_samples": 0},
        "mfcc": {"clip_samples": 6000, "n_fft": 256, "hop_length": 256, "n_mels": 24, "n_mfcc": 24},
        "log_mel": {"clip_samples": 6000, "n_fft": 256, "hop_length": 256, "n_mels": 24},
        "mel_image": {
            "clip_samples": 6000,
            "n_fft": 256,
            "hop_length": 256,
            "n_mels": 16,
            "fmax": 4000.0,
            "height": 24,
            "width": 24,
        },
    },
    architectures={
        "acdnet": {"channels": (4, 8, 4, 8, 8, 8, 8, 8, 8, 8, 8)},
        "bc_resnet": {"blocks": (1, 1, 1, 1)},
        "bilstm": {"units": 8},
        "ds_cnn": {"width": 0.25},
        "edac_cnn_lstm": {"units": 16},
        "mel_cnn": {"widths": (8, 8, 8, 8)},
        "mobilenet_v2": {"width": 0.25},
        "sparse_cnn": {"stem": 8, "widths": (8, 8, 16, 16, 16)},
        "strided_cnn": {"width": 0.25},
        "wav2vec2_student": {"shape": checkpoints.SMALL},
    },
    sharpness=4.0,
)


def waveforms(n_samples: int, n: int = 6) -> np.ndarray:
    """Noise of very different levels, silence among it; float32, (n, n_samples)."""
    rng = np.random.default_rng(4)
    clips = rng.normal(size=(n, n_samples)) * 10 ** rng.uniform(-3, -0.5, (n, 1))
    clips[0] = 0
    return clips.astype(np.float32)


def quantised(model: Any, features: np.ndarray, schemes: list[str] | None = None) -> dict[str, bytes]:
    """A network's files by scheme; every scheme unless some are named."""
    float32, made = to_float32(model), {}
    for name in plugins.names(SCHEMES) if schemes is None else schemes:
        scheme, config = QuantizeParams().scheme(name)
        made[name] = with_frames(scheme.quantize(config, float32, features))
    return made


def unpacked(model: bytes) -> bytes:
    """The same integers, 4-bit weights stored as bytes, which other kernels compute."""
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    values = {weight.name: weight.values for weight in flatbuffer.read(model).weights if weight.dtype == "int4"}
    for tensor in tree.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT4:
            tensor.type = schema.TensorType.INT8
            tree.buffers[tensor.buffer].data = values[tensor.name.decode()].ravel().view(np.uint8)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def pairs() -> Iterator[tuple[str, str]]:
    """Yield every front end with every architecture."""
    for frontend in plugins.names(FRONTENDS):
        for architecture in plugins.names(ARCHITECTURES):
            yield frontend, architecture


def features_of(frontend: bytes, clips: np.ndarray) -> np.ndarray:
    """What a front end makes of clips."""
    return np.asarray(Model(frontend).run(clips))
