"""wav2vec 2.0 without a hub, as a person runs it: a small random checkpoint is fine-tuned, distilled into a student of
fewer layers, pruned, quantised and pushed to the local device, which tells two tones apart."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.project import files
from tests import checkpoints
from tests.e2e.test_pipeline import Project, copy_project

pytestmark = pytest.mark.thorough

RATE, N_SAMPLES = 16_000, 1_600
HERTZ = {"low": 500, "high": 2_500}
EXTRA = "part of the optional extra: pip install edac[wav2vec2]"


def recordings(folder: Path) -> Path:
    """Write twenty speakers' tones, one file for each label."""
    rng, t = np.random.default_rng(1), np.arange(N_SAMPLES) / RATE
    for label, hertz in HERTZ.items():
        (folder / label).mkdir(parents=True)
        for speaker in range(20):
            tone = np.sin(2 * np.pi * hertz * rng.uniform(0.9, 1.1) * t + speaker) * rng.uniform(0.1, 0.5)
            soundfile.write(folder / label / f"s{speaker:02d}-1.wav", tone + 0.02 * rng.normal(size=t.size), RATE)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason=EXTRA)
    folder = tmp_path_factory.mktemp("wav2vec2")
    copy = copy_project(folder)
    checkpoints.save(copy.root / "data/wav2vec2", n_layers=3, scale=0.2)
    crop = {"clip_samples": N_SAMPLES, "crop_samples": N_SAMPLES, "crops": 1, "pad_samples": 0}
    student = {"checkpoint": "data/teacher/checkpoint", "layers": 1, "head": "checkpoint", "dropout": 0.0}
    teacher = {"epochs": 8, "warmup_epochs": 1, "learning_rate": 3e-3, "dropout": 0.0}
    copy.set(
        {
            "pull": {
                "source": "folder",
                "options": {
                    "folder": {
                        "root": str(recordings(folder / "tones")),
                        "group_pattern": "/([^/-]+)-",
                        "labels": ["low", "high"],
                    }
                },
            },
            "augment": {"preset": "none", "copies": {}},
            "features": {"frontend": "raw", "options": {"raw": {"sample_rate": RATE, **crop}}},
            "distill": {"teacher": "wav2vec2", "options": {"wav2vec2": teacher}, "feature_penalty": 0.01},
            "train": {
                "architecture": "wav2vec2_student",
                "epochs": 3,
                "learning_rate": 1e-3,
                "batch_size": 8,
                "options": {"wav2vec2_student": student},
            },
            "sweep": {"schedules": ["polynomial"], "sparsities": [0.5], "schemes": ["float32", "static_wi8_ai8"]},
        }
    )
    done = copy.run("dvc", "repro", "push")
    assert done.returncode == 0, done.stderr[-3000:]
    return copy


def test_the_teacher_leaves_what_the_student_takes(project: Project) -> None:
    taught = files.read_json(project.root / "data/teacher/teacher.json")
    assert taught["teacher"] == "wav2vec2"
    assert taught["validation"]["pooled"]["roc_auc"]["value"] == 1
    described = files.read_json(project.root / "models/baseline/architecture.json")
    assert described["config"]["checkpoint"] is None
    assert described["n_parameters"] < 0.75 * taught["about"]["parameters"]


def test_the_device_tells_the_tones_apart(project: Project, tmp_path: Path) -> None:
    selected = files.read_json(project.root / "models/selected/selection.json")
    assert (selected["variant"]["scheme"], selected["variant"]["sparsity"]) == ("static_wi8_ai8", 0.5)
    tones = recordings(tmp_path / "tones")
    for label in HERTZ:
        done = subprocess.run(
            [sys.executable, "-m", "stages.runtime", "classify", str(tones / label / "s07-1.wav")],
            cwd=project.root / "models/devices/local/current",
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["label"] == label
    assert project.calls.read_text() == ""
