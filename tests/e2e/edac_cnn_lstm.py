"""The preset `edac_cnn_lstm` from pull to select, on twenty coughs in COUGHVID's layout, full-integer included.

It takes two minutes of two free cores, so that it runs only if it is named, and then prints what it made:

    pytest -n 0 -s tests/e2e/edac_cnn_lstm.py
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.project import files
from stages.runtime.litert import Model
from tests.e2e.test_pipeline import copy_project
from tests.trees import coughvid_tree

FEW: dict[str, dict[str, Any]] = {
    "train": {"epochs": 1, "batch_size": 32},
    "prune": {"epochs": 1},
    "quantize": {"calibration_clips": 16},
    "sweep": {"schedules": ["polynomial"], "sparsities": [0.9], "seeds": [1234]},
    "evaluate": {"bootstrap_resamples": 100, "latency_runs": 10},
}
STATUSES = {True: ["COVID-19"] * 4 + ["symptomatic"] * 8, False: ["healthy"] * 8}
COPIES = {"positive": 2 * 3, "negative": 1 * 2}  # the pitch shifted or not, times masked or not


def test_edac_cnn_lstm(datasets: Path, tmp_path: Path) -> None:
    entries = files.read_json(datasets / "covid19-cough" / "metadata.json")
    coughs = {
        datasets / "covid19-cough" / "raw" / entry["filename"]: status
        for covid, statuses in STATUSES.items()
        for entry, status in zip(
            (e for e in entries if e["source"] == "telegram" and e["covid19"] is covid), statuses, strict=False
        )
    }
    project = copy_project(tmp_path)
    assert project.run("edac", "preset", "edac_cnn_lstm", "--force").returncode == 0
    project.set({"pull": {"mirror": str(coughvid_tree(tmp_path / "mirror", coughs))}, **FEW})
    done = project.run("dvc", "repro", "select")
    assert done.returncode == 0, done.stderr[-3000:]

    clips = files.read_csv(project.root / "data/features/clips.csv")
    pictures = np.load(project.root / "data/features/features.npy")
    assert pictures.shape == (len(clips), 39, 88, 3)
    assert 0 <= pictures.min() < pictures.max() <= 1
    assert not [clip for clip in clips if clip["parent"] and clip["split"] != "train"]
    for label, copies in COPIES.items():
        train = [clip for clip in clips if clip["split"] == "train" and clip["label"] == label]
        assert len(train) == copies * sum(not clip["parent"] for clip in train) > 0

    variants = files.read_csv(project.root / "models/evaluation/variants.csv")
    schemes = ["dynamic_wi8_afp32", "float16", "float32", "static_wi8_ai8"]
    assert sorted((v["schedule"], v["scheme"]) for v in variants) == [
        (schedule, scheme) for schedule in ("", "polynomial") for scheme in schemes
    ]
    assert all(float(v["keras_difference"]) < 0.01 for v in variants)
    assert all(abs(float(v["measured_sparsity"]) - 0.9) < 1e-3 for v in variants if v["schedule"])
    assert Model(project.root / "models/selected/model.tflite").input_shape == (39, 88, 3)
    for v in variants:
        print(v["name"], v["raw_bytes"], v["deflated_bytes"], v["latency_p50_ms"])
