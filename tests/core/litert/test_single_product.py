"""One file against the two in turn, to the bit: front end x architecture x scheme, and in TensorFlow Lite Micro."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.litert import single
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import plugins
from stages.core.project.errors import ParameterError
from stages.evaluate import micro
from stages.features.export import export
from stages.features.params import FRONTENDS
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model
from tests import checkpoints

pytestmark = pytest.mark.thorough

RATE = 8000
# mfcc and log_mel give features of one shape, so that they share the networks.
SMALL: dict[str, dict[str, Any]] = {
    "raw": {"clip_samples": 1000, "crop_samples": 900, "crops": 1, "pad_samples": 0},
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
}
NARROW: dict[str, dict[str, Any]] = {
    "acdnet": {"channels": (4, 8, 4, 8, 8, 8, 8, 8, 8, 8, 8)},
    "bc_resnet": {"blocks": (1, 1, 1, 1)},
    "bilstm": {"units": 8},
    "ds_cnn": {"width": 0.25},
    "edac_cnn_lstm": {"units": 16},
    "mel_cnn": {"widths": (8, 8, 8, 8)},
    "sparse_cnn": {"stem": 8, "widths": (8, 8, 16, 16, 16)},
    "strided_cnn": {"width": 0.25},
    "wav2vec2_student": {"shape": checkpoints.SMALL},
}


def waveforms(n_samples: int) -> np.ndarray:
    """Noise of very different levels, silence among it."""
    rng = np.random.default_rng(4)
    clips = rng.normal(size=(6, n_samples)) * 10 ** rng.uniform(-3, -0.5, (6, 1))
    clips[0] = 0
    return clips.astype(np.float32)


def exported(frontend: str) -> bytes:
    module = plugins.load(FRONTENDS, frontend, "features.frontend")
    return export(module, module.Config(sample_rate=RATE, **SMALL[frontend]))


def settled(architecture: str, features: np.ndarray) -> Any:
    """A random network whose scores spread, or None where the architecture refuses the features' shape."""
    keras.utils.set_random_seed(5)
    try:
        model, _ = network.build(architecture, {architecture: NARROW.get(architecture, {})}, features.shape[1:], 3)
    except ParameterError:
        return None
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(features, training=True)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([4 * kernel, bias])
    return model


def quantised(model: Any, features: np.ndarray) -> dict[str, bytes]:
    float32, made = to_float32(model), {}
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        made[name] = scheme.quantize(config, float32, features)
    return made


def test_every_front_end_architecture_and_scheme() -> None:
    made: dict[tuple[str, tuple[int, ...]], dict[str, bytes]] = {}
    wrong, pairs = [], []
    for frontend in plugins.names(FRONTENDS):
        first, clips = exported(frontend), waveforms(SMALL[frontend]["clip_samples"])
        features = Model(first).run(clips)
        for architecture in plugins.names(ARCHITECTURES):
            key = architecture, features.shape[1:]
            if key not in made:
                model = settled(architecture, features)
                made[key] = {} if model is None else quantised(model, features)
            if made[key]:
                pairs.append((frontend, architecture))
            for scheme, model in made[key].items():
                expected = Model(model).run(features)
                found = Model(single.merge(first, model)).run(clips)
                if not np.array_equal(found, expected):
                    worst = np.abs(found - expected).max()
                    wrong.append(f"{frontend}, {architecture}, {scheme}: differs by {worst:.3g}")
    assert not wrong
    assert {frontend for frontend, _ in pairs} == set(plugins.names(FRONTENDS))
    assert {architecture for _, architecture in pairs} == set(plugins.names(ARCHITECTURES))


@pytest.mark.skipif(not micro.available(), reason="needs the extra `micro`")
def test_tensorflow_lite_micro_gives_the_same_bits_or_names_the_operator(tmp_path: Path) -> None:
    found: dict[tuple[str, str], str] = {}
    for frontend in plugins.names(FRONTENDS):
        first, clips = exported(frontend), waveforms(SMALL[frontend]["clip_samples"])
        features = Model(first).run(clips)
        architecture = {"raw": "micro_acdnet", "mel_image": "edac_cnn_lstm"}.get(frontend, "ds_cnn")
        made = quantised(settled(architecture, features), features)
        for scheme in ("float32", "static_wi8_ai8", "dynamic_wi8_afp32"):
            path = tmp_path / f"{frontend}_{scheme}.tflite"
            path.write_bytes(single.merge(first, made[scheme]))
            found[frontend, scheme] = micro.run(path, clips).refused
    named = re.compile(r" operator [A-Z][A-Z0-9_]+$")
    unnamed = {key: said for key, said in found.items() if said and not named.search(said)}
    assert not unnamed
    assert [key for key, said in found.items() if not said] == [("mfcc", "float32"), ("raw", "float32")], found
