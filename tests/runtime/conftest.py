"""A whole, tiny release, made once."""

import hashlib
import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import runtime
from stages.core.nn.keras import tf
from stages.features.export import export
from stages.features.frontends import mfcc
from stages.runtime.litert import Model

RATE, CLIP = 8000, 8000
CONFIG = mfcc.Config(sample_rate=RATE, clip_samples=CLIP, n_fft=512, hop_length=256, n_mels=20, n_mfcc=5)
LABELS = {1: ["negative", "positive"], 3: ["a", "b", "c"]}


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    """Write 16-bit mono PCM with the standard library."""
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, rate, 0, "NONE", ""))
        stream.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


def convert(function: Callable[..., Any], shape: tuple[int, ...]) -> bytes:
    """Convert a function of one float32 tensor (1, *shape) to a float32 `.tflite`."""
    spec = tf.TensorSpec((1, *shape), tf.float32)
    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def tiny_model(n_outputs: int) -> bytes:
    """Return a linear classifier of MFCCs that answers something else for every loudness."""
    frames, n_mfcc, _ = mfcc.feature_shape(CONFIG)
    weights = np.random.default_rng(0).standard_normal((frames * n_mfcc, n_outputs)).astype(np.float32) * 1e-3
    activation = tf.sigmoid if n_outputs == 1 else tf.nn.softmax
    return convert(lambda x: activation(tf.reshape(x, (1, -1)) @ weights), (frames, n_mfcc, 1))


def write_manifest(folder: Path, values: dict[str, Any]) -> None:
    files = {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(values | {"files": files}))


def build_release(folder: Path, n_outputs: int) -> None:
    """Write a release with the runtime's code in it."""
    (folder / "golden").mkdir(parents=True)
    frontend, model = export(mfcc, CONFIG), tiny_model(n_outputs)
    (folder / "frontend.tflite").write_bytes(frontend)
    (folder / "model.tflite").write_bytes(model)
    (folder / "MODEL_CARD.md").write_text("# tiny\n")
    source = Path(next(iter(runtime.__path__)))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, folder / "stages" / "runtime", ignore=ignored)
    shutil.copy(source.parent / "__init__.py", folder / "stages" / "__init__.py")
    golden = []
    for i, level in enumerate((0.9, 0.001)):
        samples = np.random.default_rng(i).uniform(-level, level, CLIP)
        write_wav(folder / "golden" / f"{i}.wav", samples)
        heard = (np.rint(samples * 32767) / 32768).astype(np.float32)
        scores = Model(model).run(Model(frontend).run(heard[np.newaxis]))[0]
        golden.append({"file": f"golden/{i}.wav", "scores": scores.tolist()})
    values = {
        "schema": 2,
        "name": "tiny",
        "version": 1,
        "device_class": "any",
        "card": "MODEL_CARD.md",
        "labels": LABELS[n_outputs],
        "threshold": 0.5 if n_outputs == 1 else None,
        "sample_rate": RATE,
        "clip_samples": CLIP,
        "golden": golden,
        "tolerance": 1e-4,
        "model": {"scheme": "float32"},
    }
    write_manifest(folder, values)


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Releases by their number of outputs; not to be altered."""
    folder = tmp_path_factory.mktemp("releases")
    for n_outputs in LABELS:
        build_release(folder / str(n_outputs), n_outputs)
    return {n_outputs: folder / str(n_outputs) for n_outputs in LABELS}


@pytest.fixture
def release(releases: dict[int, Path], tmp_path: Path) -> Path:
    """A copy of the binary release, to be altered; without what a test before compiled there."""
    return Path(shutil.copytree(releases[1], tmp_path / "release", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def alter(release: Path) -> Callable[..., None]:
    """Return a function that changes keys of the release's manifest; checksums are made anew."""

    def change(**values: Any) -> None:
        write_manifest(release, json.loads((release / "manifest.json").read_text()) | values)

    return change
