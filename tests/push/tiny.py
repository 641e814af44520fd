"""Tiny models, and the folders that the stages before push would leave with them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.variant import Variant
from stages.core.audio import decode
from stages.core.project import files
from stages.core.tracking.records import Registration
from stages.push import bundle
from stages.runtime.audio import clip as fit
from stages.runtime.litert import Model
from stages.select import golden
from tests import examples

if TYPE_CHECKING:
    from stages.core.tracking.connection import Tracker

SAMPLE_RATE, CLIP_SAMPLES = 8000, 4000
LABELS = ["negative", "positive"]


def tflites() -> tuple[bytes, ...]:
    """A front end, two binary models with different weights and one of three classes."""
    from stages.core.nn.keras import keras, tf

    def convert(function: Callable[..., object], shape: tuple[int, ...]) -> bytes:
        concrete = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)]).get_concrete_function()
        return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()

    def loudness(waveform: "tf.Tensor") -> "tf.Tensor":
        return tf.sqrt(tf.reduce_mean(tf.square(tf.reshape(waveform, (1, 20, 200))), axis=2))

    def network(seed: int, n_outputs: int = 1) -> bytes:
        keras.utils.set_random_seed(seed)
        kernel = tf.constant(np.random.default_rng(seed).normal(size=(20, n_outputs)), tf.float32)
        activation = tf.sigmoid if n_outputs == 1 else tf.nn.softmax
        return convert(lambda features: activation(features @ kernel), (1, 20))

    return convert(loudness, (1, CLIP_SAMPLES)), network(1), network(2), network(3, 3)


def write_features(folder: Path) -> Path:
    """What the features stage leaves, with the audio it was made from."""
    rng = np.random.default_rng(1234)
    clips = []
    for i in range(12):
        path = folder / f"{i:02d}.flac"
        # At another rate and length than the front end's, and as loud as can be: all must be mended on the way.
        soundfile.write(path, rng.uniform(-1, 1, 11025 + 1000 * i), 22050)
        clips.append(Clip(f"c{i:02d}", path, "validation" if i < 8 else "test", LABELS[i % 2]))
    clips_file.write(folder, clips)
    frontend_file.write(folder, Frontend(tuple(LABELS), SAMPLE_RATE, CLIP_SAMPLES))
    return folder


def write_selection(folder: Path, features: Path, frontend: bytes, model: bytes, i: int) -> Path:
    """What the select stage leaves; the third model, `i` = 2, has three classes."""
    (folder / "model.tflite").write_bytes(model)
    (folder / "frontend.tflite").write_bytes(frontend)
    description = frontend_file.read(features)
    frontend_file.write(folder, description)
    golden.write(folder / "golden", golden.choose(features, 4, _scores(folder, features)), description)
    labels = LABELS if i < 2 else [*LABELS, "unsure"]
    variant = {
        "name": f"constant-s0.{i}0-float32-seed1234",
        "key": f"constant-s0.{i}0-float32-seed1234",
        "sha256": files.sha256(folder / "model.tflite"),
        "scheme": "float32",
        "bit_width": 32,
        "sparsity": i / 10,
        "raw_bytes": len(model),
        "deflated_bytes": len(model) // 2,
    }
    figures = {
        "n": 8,
        "groups": 3,
        "pooled": {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.875}},
        "sites": {
            "home": {
                "n": 5,
                "groups": 2,
                "classes": {},
                "metrics": {"accuracy": {"value": None, "low": None, "high": None}},
            }
        },
    }
    data = {
        "source": "demo",
        "citation": "A | B, 2020",
        "licence": "CC0-1.0",
        "homepage": "",
        "found": 12,
        "usable": 11,
        "groups": 7,
        "labels": {label: {"found": 4, "usable": 3} for label in labels},
    }
    selection = {
        "variant": variant,
        "registered_name": "tiny",
        "labels": labels,
        "threshold": 0.5 if i < 2 else None,
        "validation": figures,
        "test": figures,
        "data": data,
        "measured": {"raw_bytes": len(model), "deflated_bytes": len(model) // 2, "latency_p50_ms": 0.5},
        "rule": {"metric": "accuracy", "margin": 0.0, "confidence": 0.95},
        "drop": dict.fromkeys(
            ("validation", "test"), dict.fromkeys(("drop", "drop_low", "drop_high", "drop_bound"), 0.0)
        ),
        "n_variants": 3,
        "reason": "made for tests",
    }
    selection_file.write(folder, examples.selection(**selection))
    return folder


def _scores(folder: Path, features: Path) -> Path:
    """Write what the sweep would have kept: the scores of the validation clips."""
    model, frontend, described = (
        Model(folder / "model.tflite"),
        Model(folder / "frontend.tflite"),
        frontend_file.read(features),
    )
    scores = []
    for clip in clips_file.read(features, "validation"):
        samples = decode.load(clip.path, described.sample_rate, described.hearing, clip.span)
        heard = fit(samples, described.clip_samples, described.align, described.hearing)
        scores.append(model.mean_over_crops(frontend.run(heard[np.newaxis]), described.crops)[0])
    np.savez(folder / "scores.npz", validation=np.squeeze(scores))
    return folder / "scores.npz"


def register(tracker: "Tracker", selected: Path) -> int:
    """Register a selection under the name `tiny`, as the select stage does, as its champion."""
    variant = Variant(**vars(selection_file.read(selected).variant), operators={}, metrics={})
    example = np.zeros((1, CLIP_SAMPLES), np.float32)
    version = tracker.register("tiny", Registration(variant, selected, example, n_outputs=1))
    tracker.set_alias("tiny", "champion", version)
    return version


def write_bundles(folder: Path) -> list[Path]:
    """Make everything above in `folder`, and a release of every model: version 1, 2 and 3."""
    frontend, *models = tflites()
    (folder / "features").mkdir()
    features = write_features(folder / "features")
    releases = []
    for i, model in enumerate(models):
        (folder / f"selected{i}").mkdir()
        selected = write_selection(folder / f"selected{i}", features, frontend, model, i)
        bundle.build(folder / f"release{i}", selected=selected, version=i + 1)
        releases.append(folder / f"release{i}")
    return releases
