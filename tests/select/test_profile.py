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

RATE, LENGTH, N = 8000, 4000, 24


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Noise at 24 levels, of twelve people."""
    rng, clips = np.random.default_rng(1), []
    for i in range(N):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 10 ** (-i / 20) * rng.choice([-0.5, 0.5], LENGTH), RATE, subtype="FLOAT")
        clips.append(Clip(f"c{i}", path, "validation", ("no", "yes")[i % 2], f"p{i // 2}"))
    clips_file.write(tmp_path, clips)
    frontend_file.write(tmp_path, Frontend(("no", "yes"), RATE, LENGTH))
    np.save(tmp_path / "features.npy", np.arange(4.0 * N).reshape(N, 4).astype(np.float32))
    np.savez(tmp_path / "scores.npz", validation=np.linspace(0, 1, N).astype(np.float32))
    return tmp_path


def test_a_profile_says_what_a_device_would_measure_and_is_read_back(features: Path) -> None:
    heard = profile.sounds(features)
    assert heard is not None
    found = profile.write(features / drift.NAME, heard, features / "scores.npz")
    assert found is not None
    assert drift.load(features) == found
    level = found.statistics["level"]
    np.testing.assert_allclose(level.shares, 1 / 5, atol=1 / N)
    loudness = 20 * np.log10(0.5) - np.arange(N)  # of a square wave
    np.testing.assert_allclose(level.edges, np.quantile(loudness, [0.2, 0.4, 0.6, 0.8], method="higher"), atol=1e-4)
    assert found.statistics["features"].edges[0] == pytest.approx(4 * 5 + 1.5)
    assert level.effective < N  # two neighbours of each person


def test_too_few_groups_make_no_profile(features: Path) -> None:
    clips = [Clip(c.clip_id, c.path, c.split, c.label, f"p{i % 9}") for i, c in enumerate(clips_file.read(features))]
    clips_file.write(features, clips)
    assert profile.sounds(features) is None
    assert not (features / drift.NAME).exists()
