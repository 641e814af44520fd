"""Clips with several labels through the whole line: AudioSet's tables and a person's own clips, to the local device."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stages.core.artifacts import dataset
from stages.core.artifacts.variant import read_variants
from stages.core.project import files
from tests.e2e.test_pipeline import copy_project
from tests.trees import audioset_tables, encode

pytestmark = pytest.mark.thorough

RATE = 16_000
PITCHES = {"Dog": 400.0, "Cat": 1200.0, "Speech": 3600.0}  # Hz
WAYS = (["Dog"], ["Cat"], ["Speech"], ["Dog", "Cat"], ["Dog", "Speech"], ["Cat", "Speech"], ["Dog", "Cat", "Speech"])
CHANGES: dict[str, dict[str, Any]] = {
    "split": {"method": "official", "folds": {"test": ["eval"]}},
    "augment": {"preset": "none", "copies": {}},
    "features": {"frontend": "log_mel", "options": {"log_mel": {"sample_rate": RATE, "clip_samples": RATE}}},
    "train": {"epochs": 12, "batch_size": 8, "learning_rate": 0.003, "mixup": 0.2, "time_shift": 0.2},
    "quantize": {"aware": {"epochs": 1}},
    "sweep": {
        "criteria": ["magnitude", "filter_taylor"],
        "sparsities": [0.5],
        "schemes": ["float32", "static_wi8_ai8"],
        "qat_schemes": ["static_wi8_ai8"],
    },
    "evaluate": {"bootstrap_resamples": 100, "latency_runs": 10},
    "select": {"metric": "pr_auc", "margin": 0.9, "prefer": "raw_bytes"},
}


def bring_clips(folder: Path) -> Path:
    """Write a mirror: AudioSet's tables, and 84 clips of one to three tones, one for each of their labels."""
    rng, time = np.random.default_rng(1234), np.arange(RATE) / RATE
    segments: dict[str, list[tuple[str, float, list[str]]]] = {"balanced_train": [], "eval": []}
    for i in range(84):
        video, names = f"video{i:06d}", WAYS[i % len(WAYS)]
        segments["balanced_train" if i < 63 else "eval"].append((video, 0.0, names))
        tones = sum(np.sin(2 * np.pi * PITCHES[name] * time + rng.uniform(0, 6)) for name in names)
        encode(folder / "mine" / f"{video}_0.wav", 0.1 * tones + 0.02 * rng.normal(size=RATE), RATE)
    return audioset_tables(folder / "mirror" / "audioset", segments).parent


def test_pull_to_push(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    mirror = bring_clips(tmp_path)
    source = {"clips": str(tmp_path / "mine"), "labels": list(PITCHES)}
    project.set({"pull": {"source": "audioset", "mirror": str(mirror), "options": {"audioset": source}}} | CHANGES)
    done = project.run("dvc", "repro")
    assert done.returncode == 0, done.stderr[-3000:]

    features, sweep = project.root / "data/features", project.root / "models/sweep"
    truth = dataset.read_labels(features, "test")
    assert truth.y.shape == (21, 3)
    assert sorted({tuple(row) for row in truth.y.tolist()})[-1] == (1, 1, 1)
    by_name = {variant.name: variant for variant in read_variants(sweep / "variants.json")}
    assert set(by_name) == {
        "baseline-float32",
        "baseline-static_wi8_ai8",
        "baseline-aware_static_wi8_ai8",
        *(
            f"{criterion}polynomial-s0.50-{scheme}-seed1234"
            for criterion in ("", "filter_taylor-")
            for scheme in ("float32", "static_wi8_ai8", "aware_static_wi8_ai8")
        ),
    }
    for name, variant in by_name.items():
        scores = np.load(sweep / "scores" / f"{name}.npz")["test"]
        expected = average_precision_score(truth.y, scores, average="macro")
        assert variant.metrics["test"].pooled["pr_auc"].value == pytest.approx(expected, abs=1e-5)
    assert (by_name["baseline-float32"].metrics["test"].pooled["pr_auc"].value or 0) > 0.9, "tones are easily told"

    chosen = files.read_json(project.root / "models/selected/selection.json")["variant"]["name"]
    release = project.root / "models/devices/local/current"
    table = [clip for clip in files.read_csv(features / "clips.csv") if clip["split"] == "test"]
    here = np.load(sweep / "scores" / f"{chosen}.npz")["test"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "stages.runtime",
            "classify",
            *(project.root / c["path"] for c in table),
        ],
        cwd=release,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer, expected in zip(answers, here, strict=True):
        assert list(answer["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
        held = [
            label
            for label, score in answer["scores"].items()
            if score >= answer["threshold"][list(PITCHES).index(label)]
        ]
        assert answer["labels"] == held
    assert {len(answer["labels"]) for answer in answers} >= {1, 2}
