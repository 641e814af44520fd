"""The profile that a release carries, against the statistics that a device computes of the same clips."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.frontend import Frontend
from stages.runtime import drift
from stages.select import profile

RATE, LENGTH, N, N_TRAIN = 8000, 4000, 24, 6


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Noise at 30 levels, of twelve people to validate and three to train; and quieter copies of training clips."""
    rng, clips = np.random.default_rng(1), []
    for i in range(N + 2 * N_TRAIN):
        path, train, copy = tmp_path / f"{i}.wav", i >= N, i >= N + N_TRAIN
        soundfile.write(path, 10 ** (-i / 20) * rng.choice([-0.5, 0.5], LENGTH), RATE, subtype="FLOAT")
        parent = f"c{i - N_TRAIN}" if copy else ""
        group = f"p{(i - N_TRAIN * copy) // 2}"
        clips.append(
            Clip(f"c{i}", path, "train" if train else "validation", ("no", "yes")[i % 2], group, parent=parent)
        )
    clips_file.write(tmp_path, clips)
    frontend_file.write(tmp_path, Frontend(("no", "yes"), RATE, LENGTH))
    np.save(tmp_path / "features.npy", np.arange(4.0 * len(clips)).reshape(-1, 4).astype(np.float32))
    np.savez(tmp_path / "scores.npz", validation=np.linspace(0, 1, N).astype(np.float32))
    return tmp_path


def test_a_profile_says_what_a_device_would_measure_and_is_read_back(features: Path) -> None:
    heard = profile.sounds(features)
    assert heard is not None
    found = profile.write(features / drift.NAME, heard, features / "scores.npz")
    assert found is not None
    assert drift.load(features) == found
    level = found.statistics["level"]
    np.testing.assert_allclose(level.shares, 1 / 10, atol=1e-6)
    loudness = 20 * np.log10(0.5) - np.arange(N + N_TRAIN)  # of a square wave
    np.testing.assert_allclose(level.edges, np.quantile(loudness, np.arange(1, 10) / 10, method="higher"), atol=1e-4)
    assert found.statistics["features"].edges[0] == pytest.approx(4 * 3 + 1.5)
    assert (level.clips, found.statistics["scores"].clips) == (N + N_TRAIN, N)
    assert level.group_size == 2
    assert level.freedom == pytest.approx(14)
    assert 1.7 < level.design_effects[0] <= 2  # two neighbours of each person


def test_training_clips_are_of_whole_groups_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [Clip(f"c{i}", Path("a.wav"), "train", "no", f"p{i // 5}") for i in range(100)]
    clips += [Clip(f"d{i}", Path("a.wav"), "train", "no", f"p{i}", parent=f"c{5 * i}") for i in range(20)]
    assert profile._of_training(clips).tolist() == list(range(100))
    monkeypatch.setattr(profile, "MOST_TRAINING_CLIPS", 48)
    found = profile._of_training(clips)
    assert len(found) == 50
    assert len(np.unique(found // 5)) == 10


def test_too_few_groups_make_no_profile(features: Path) -> None:
    clips = [Clip(c.clip_id, c.path, c.split, c.label, f"p{i % 9}") for i, c in enumerate(clips_file.read(features))]
    clips_file.write(features, clips)
    assert profile.sounds(features) is None
    assert not (features / drift.NAME).exists()
