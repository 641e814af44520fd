"""A student and its teacher through the whole line: learned together, pruned, quantised, registered, on the device."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.core.artifacts.variant import read_variants
from stages.core.project import files
from stages.core.tracking import connection
from tests.e2e.test_pipeline import copy_project

pytestmark = pytest.mark.thorough

TAUGHT: dict[str, dict[str, Any]] = {
    "distill": {
        "teacher": "ensemble",
        "threads": 1,
        "alpha": 0.3,
        "feature_penalty": 0.01,
        "options": {
            "ensemble": {
                "architecture": "ds_cnn",
                "options": {"ds_cnn": {"stem": 8, "widths": [16]}},
                "members": 2,
                "over": "folds",
                "fit": {"epochs": 8, "learning_rate": 0.003},
            }
        },
    },
    "train": {"epochs": 16, "learning_rate": 0.003},
    "quantize": {"calibration_clips": 64, "aware": {"epochs": 1}},  # 16 of the demo may miss every loud cough
    "sweep": {"sparsities": [0.5], "qat_schemes": ["static_wi8_ai8"], "distilled": [False, True]},
    "evaluate": {"bootstrap_resamples": 100, "latency_runs": 10},
}


def test_distil_prune_quantise_register_push(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    project.set(TAUGHT)
    done = project.run("dvc", "repro")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "teacher 1:" in done.stderr

    teacher = files.read_json(project.root / "data/teacher/teacher.json")
    assert (teacher["teacher"], teacher["about"]["out_of_fold"]) == ("ensemble", True)
    assert not (project.root / "data/teacher/work").exists()
    variants = read_variants(project.root / "models/sweep/variants.json")
    assert {variant.name: variant.distilled for variant in variants} == {
        "baseline-float32": False,
        "baseline-static_wi8_ai8": False,
        "baseline-aware_static_wi8_ai8": False,
        "baseline-distilled-aware_static_wi8_ai8": True,
        "polynomial-s0.50-float32-seed1234": False,
        "polynomial-s0.50-static_wi8_ai8-seed1234": False,
        "polynomial-s0.50-aware_static_wi8_ai8-seed1234": False,
        "polynomial-distilled-s0.50-float32-seed1234": True,
        "polynomial-distilled-s0.50-static_wi8_ai8-seed1234": True,
        "polynomial-distilled-s0.50-aware_static_wi8_ai8-seed1234": True,
    }
    assert len({variant.sha256 for variant in variants}) == len(variants)
    table = files.read_csv(project.root / "models/evaluation/against_sparsity.csv")
    assert {row["scheme"] for row in table} >= {"float32", "float32, distilled", "static_wi8_ai8, aware, distilled"}
    assert "static_wi8_ai8, aware, distilled" in (project.root / "models/report.html").read_text()

    tracker = connection.connect(project.root / "mlruns", "edac-demo")
    runs = tracker.client.search_runs([tracker.experiment_id])
    told = {run.info.run_name: run.data.params["distilled"] for run in runs if "edac.key" in run.data.tags}
    assert told == {variant.name: str(variant.distilled) for variant in variants}
    assert "ensemble, T 2, alpha 0.3" in {run.data.params.get("teacher") for run in runs}
    release = project.root / "models/devices/local/current"
    recording = next((project.root / "data/recordings/audio").glob("s010-*.wav"))
    done = subprocess.run(
        [sys.executable, "-m", "stages.runtime", "classify", str(recording)],
        cwd=release,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    assert "| Teacher | 2 ds_cnn over folds |" in (release / "MODEL_CARD.md").read_text()

    weights = files.sha256(project.root / "models/baseline/weights.npz")
    project.set({"distill": {"temperature": 4.0}})
    done = project.run("dvc", "repro", "train")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "teacher 1:" not in done.stderr, "how students learn costs no teacher"
    assert files.sha256(project.root / "models/baseline/weights.npz") != weights
