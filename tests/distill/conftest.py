"""Tones of three pitches on all sides of the split, two clips of every group, and an altered copy of some."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.artifacts.recordings import Recording
from stages.core.audio.spec_augment import Masks
from stages.core.nn.keras import keras, tf
from stages.distill.teachers import ensemble
from stages.features.params import FeatureParams
from stages.features.stage import Inputs, make_features

RATE, CLIP = 8000, 2000
LABELS = ["high", "low", "middle"]
OPTIONS = {"log_mel": {"sample_rate": RATE, "clip_samples": CLIP, "n_fft": 256, "hop_length": 128, "n_mels": 16}}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command sets the number of threads before TensorFlow starts; here it has started."""
    monkeypatch.setattr(ensemble, "make_deterministic", lambda seed, _threads: keras.utils.set_random_seed(seed))
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the features stage: 30 clips to learn from, with 5 altered and 5 masked copies, 12 and 6 besides."""
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(3)
    recordings, copies, splits = [], [], {}
    for i in range(48):
        path = folder / f"{i:02d}.wav"
        n = CLIP + 100 * (i % 3 - 1)  # shorter and longer than a clip too
        tone = np.sin(2 * np.pi * 400 * (1 + i % 3) * np.arange(n) / RATE) * rng.uniform(0.05, 0.2)
        soundfile.write(path, tone + 0.3 * rng.normal(size=n), RATE, subtype="PCM_16")
        label, group = LABELS[(1, 2, 0)[i % 3]], f"g{i // 6}{i % 3}"
        recording = Recording(f"r{i:02d}", path, label, group, "site", "", "0" * 64, n / RATE, RATE)
        recordings.append(recording)
        splits[recording.recording_id] = "train" if i < 30 else "validation" if i < 42 else "test"
        if i < 5:
            copies.append(dataclasses.replace(recording, recording_id=f"r{i:02d}.copy1", parent=f"r{i:02d}"))
    params, masks = FeatureParams("log_mel", OPTIONS), Masks({"high": 1}, frequency=4, time=4)
    target = folder / "features"
    make_features(params, Inputs(recordings, copies, splits, LABELS, masks), target=target, workers=1)
    return target
