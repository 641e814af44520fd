"""Releases for the page in the browser: a detector of loudness, whose answers a person can foresee."""

import sys
from pathlib import Path

import numpy as np
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.frontend import Frontend
from stages.core.litert.convert import convert
from stages.core.nn.keras import tf
from stages.push import bundle
from stages.runtime import manifest

sys.path.insert(0, str(Path(__file__).parent))
import tiny  # type: ignore[import-not-found]

RATE, CLIP_SAMPLES = 8000, 4000
LIMIT = 0.1  # of the root mean square at which the score is 1/2


def files(gain: float = 40.0) -> tuple[bytes, bytes]:
    """A front end (root mean square of twenty pieces) and a model (logistic function of their mean)."""
    frontend = convert(
        lambda waveform: tf.sqrt(tf.reduce_mean(tf.square(tf.reshape(waveform, (1, 20, 200))), axis=2)),
        (CLIP_SAMPLES,),
        signature=("waveform", "features"),
        owner="test",
    )
    model = convert(
        lambda features: tf.sigmoid(gain * (tf.reduce_mean(features, axis=1, keepdims=True) - LIMIT)),
        (20,),
        signature=("features", "scores"),
        owner="test",
    )
    return frontend, model


def tone(seconds: float, level: float, rate: int = RATE, hertz: float = 700.0) -> np.ndarray:
    """A tone whose root mean square is `level`."""
    return (level * np.sqrt(2) * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def selected(folder: Path, *, gain: float = 40.0) -> Path:
    """What the select stage leaves of the detector, golden recordings of four levels among them."""
    features = folder / "features"
    features.mkdir(parents=True)
    clips = []
    for i, level in enumerate((0.02, 0.3, 0.08, 0.13)):
        path = features / f"{i}.wav"
        soundfile.write(path, tone(0.5, level), RATE)
        clips.append(Clip(f"c{i}", path, "validation", tiny.LABELS[i % 2]))
    clips_file.write(features, clips)
    frontend_file.write(features, Frontend(tuple(tiny.LABELS), RATE, CLIP_SAMPLES))
    (folder / "selected").mkdir()
    return Path(tiny.write_selection(folder / "selected", features, *files(gain), 0))


def release(folder: Path, version: int = 1, *, gain: float = 40.0, key: Path | None = None) -> Path:
    """A release of the detector."""
    bundle.build(folder / "release", selected=selected(folder, gain=gain), version=version, key=key)
    return folder / "release"


def release_of(given: Path | None, folder: Path) -> Path:
    """A release: the given one, or one of the given selection, or of the detector, made below a folder."""
    if given is None:
        return release(folder)
    if (given / manifest.NAME).is_file():
        return given
    bundle.build(folder / "release", selected=given, version=1)
    return folder / "release"
