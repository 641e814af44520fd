"""A sweep of a task whose clips have several labels, through evaluate and select's comparison."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset, evaluation
from stages.core.artifacts.variant import Variant, write_variants
from stages.core.project import files
from stages.evaluate import scoring
from stages.evaluate.params import EvaluateParams
from stages.evaluate.stage import evaluate
from stages.runtime.litert import Model
from stages.select import compare, golden
from stages.select.params import SelectParams
from stages.select.rules import choose

LABELS = ["dog", "rain", "siren"]


@pytest.fixture
def features(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "features"
    folder.mkdir()
    x = rng.normal(size=(180, 6)).astype(np.float32)
    held = x[:, :3] + 0.5 * rng.normal(size=(180, 3)) > 0.2
    held[~held.any(axis=1), 0] = True
    np.save(folder / "features.npy", x)
    rows = [
        {
            "clip_id": f"clip{i:03d}",
            "path": f"clip{i:03d}.wav",
            "split": ("train", "validation", "test")[i % 3],
            "label": "|".join(np.array(LABELS)[held[i]]),
            "group": f"g{i // 3}",
        }
        for i in range(180)
    ]
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    (folder / "frontend.tflite").write_bytes(bytes(1000))
    files.write_json(folder / "frontend.json", {"labels": LABELS, "sample_rate": 8000, "clip_samples": 8000})
    return folder


@pytest.fixture
def sweep(tmp_path: Path, features: Path, make_model: Callable[..., bytes], params: EvaluateParams) -> Path:
    """The float32 baseline, and a worse variant half its size."""
    folder = tmp_path / "sweep"
    (folder / "scores").mkdir(parents=True)
    splits = {side: dataset.read_split(features, side) for side in ("validation", "test")}
    baseline = np.eye(3, 6)
    variants = []
    for name, kernel in (("baseline-float32", baseline), ("constant-float32", baseline + 0.6 * baseline[::-1])):
        model = make_model(kernel)
        (folder / f"{name}.tflite").write_bytes(model)
        scores = {side: Model(model).run(np.asarray(split.x)) for side, split in splits.items()}
        np.savez(folder / "scores" / f"{name}.npz", validation=scores["validation"], test=scores["test"])
        pruned = name.startswith("constant")
        variants.append(
            Variant(
                name=name,
                key=name,
                criterion="magnitude" if pruned else "",
                schedule="constant" if pruned else "",
                sparsity=0.5 if pruned else 0.0,
                measured_sparsity=0.0,
                scheme="float32",
                bit_width=32,
                seed=1,
                sha256=files.sha256(folder / f"{name}.tflite"),
                raw_bytes=len(model) // (2 if pruned else 1),
                deflated_bytes=len(model) // (2 if pruned else 1),
                xz_bytes=len(model) // (2 if pruned else 1),
                operators={},
                keras_difference=0.0,
                metrics=scoring.metrics(scores, splits, params),
            )
        )
    write_variants(folder / "variants.json", variants)
    return folder


def test_mean_average_precision_ranks_and_every_class_has_its_threshold(
    tmp_path: Path, features: Path, sweep: Path, params: EvaluateParams
) -> None:
    rows = [each.row() for each in evaluate(sweep, features, tmp_path / "evaluation", params)]
    test = dataset.read_split(features, "test")
    with np.load(sweep / "scores" / "baseline-float32.npz") as stored:
        expected = average_precision_score(test.y, stored["test"], average="macro")
    assert rows[0]["test_pr_auc"] == pytest.approx(expected, abs=1e-6)
    assert rows[0]["test_pr_auc_low"] < rows[0]["test_pr_auc"] < rows[0]["test_pr_auc_high"]
    assert len(rows[0]["threshold"].split()) == 3
    table = [each.row() for each in evaluation.read(tmp_path / "evaluation")]
    assert choose(table, SelectParams(metric="pr_auc", margin=0.0))["name"] == "baseline-float32"
    assert choose(table, SelectParams(metric="pr_auc", margin=0.9))["name"] == "constant-float32"
    assert choose(table, SelectParams(metric="roc_auc", margin=0.0))["name"] == "baseline-float32"


@pytest.mark.parametrize("metric", ["pr_auc", "f1", "accuracy"])
def test_a_variant_is_compared_with_the_baseline_by_its_own_thresholds(
    features: Path, sweep: Path, params: EvaluateParams, metric: str
) -> None:
    truth = dataset.read_labels(features, "test")
    names = ("baseline-float32", "constant-float32")
    scores = {name: np.load(sweep / "scores" / f"{name}.npz")["test"].astype(np.float64) for name in names}
    variants = {entry["name"]: entry["metrics"] for entry in files.read_json(sweep / "variants.json")}
    found = compare.measure(
        metric,
        scores,
        names[0],
        truth,
        thresholds={name: variants[name]["validation"]["threshold"] for name in names},
        bootstrap=compare.Bootstrap(confidence=0.9, resamples=100),
    ).drops()
    values = [variants[name]["test"]["pooled"][metric]["value"] for name in names]
    assert found[names[1]].drop == pytest.approx(values[0] - values[1], abs=2e-6)
    assert found[names[0]].drop == 0
    assert found[names[1]].delong_p is None


def test_golden_recordings_show_every_label_and_none_twice(features: Path, sweep: Path) -> None:
    clips = golden.choose(features, 5, sweep / "scores" / "baseline-float32.npz")
    assert len({clip.clip_id for clip in clips}) == 5
    assert {label for clip in clips for label in clip.labels} == set(LABELS)
