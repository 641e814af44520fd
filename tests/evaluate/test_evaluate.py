import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stages.core.artifacts import dataset
from stages.core.artifacts.evaluation import Row
from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.core.scoring.metrics import METRICS
from stages.evaluate.params import EvaluateParams
from stages.evaluate.stage import evaluate
from stages.runtime import litert

TABLES = ("sites.csv", "roc.csv", "accuracy_versus_size.csv", "accuracy_versus_size.png")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def evaluated_rows(*arguments: Any) -> list[Row]:
    return [each.row() for each in evaluate(*arguments)]


def test_one_flat_row_per_variant(sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams) -> None:
    evaluate(sweep, features, tmp_path / "evaluation", params)
    rows = {row["name"]: row for row in table(tmp_path / "evaluation" / "variants.csv")}
    assert len(rows) == 10
    baseline, small = rows["baseline-s0.0-float32"], rows["constant-s0.9-narrow"]
    assert float(baseline["raw_ratio"]) == float(baseline["deflated_ratio"]) == 1
    assert float(small["raw_ratio"]) == pytest.approx(int(baseline["raw_bytes"]) / int(small["raw_bytes"]), abs=1e-4)
    assert 0 < float(small["latency_p50_ms"]) <= float(small["latency_p95_ms"])
    for side in ("validation", "test"):
        for metric in METRICS:
            assert {f"{side}_{metric}", f"{side}_{metric}_low", f"{side}_{metric}_high"} <= set(small)
    split = dataset.read_split(features, "test")
    scores = np.load(sweep / "scores" / "constant-s0.9-narrow.npz")["test"]
    assert float(small["test_roc_auc"]) == pytest.approx(roc_auc_score(split.y, scores), abs=1e-6)


@pytest.mark.thorough
def test_everything_but_latency_is_the_same_each_time(
    sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    for name in ("first", "second"):
        evaluate(sweep, features, tmp_path / name, params)
    for name in TABLES:
        assert files.sha256(tmp_path / "first" / name) == files.sha256(tmp_path / "second" / name)


@pytest.mark.thorough
def test_sites_are_listed_with_their_counts(
    sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    evaluate(sweep, features, tmp_path / "evaluation", params)
    rows = table(tmp_path / "evaluation" / "sites.csv")
    assert len(rows) == 10 * 2 * 2 * len(METRICS)
    assert {row["site"] for row in rows} == {"phone", "studio"}
    assert sum(int(r["n"]) for r in rows[:: len(METRICS)] if r["split"] == "test") == 10 * 50


@pytest.mark.thorough
def test_the_best_is_chosen_on_validation(sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams) -> None:
    evaluate(sweep, features, tmp_path / "evaluation", params)
    drawn = {row["variant"] for row in table(tmp_path / "evaluation" / "roc.csv")}
    rows = table(tmp_path / "evaluation" / "variants.csv")
    assert {row["name"] for row in rows if not row["schedule"]} < drawn
    for scheme in ("float32", "narrow"):
        pruned = [row for row in rows if row["schedule"] and row["scheme"] == scheme]
        best = max(float(row["validation_roc_auc"]) for row in pruned)
        (shown,) = [row for row in pruned if row["name"] in drawn]
        assert float(shown["validation_roc_auc"]) == best


@pytest.mark.thorough
def test_roc_curves_enclose_the_area_they_claim(
    sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    rows = evaluated_rows(sweep, features, tmp_path / "evaluation", params)
    points = [p for p in table(tmp_path / "evaluation" / "roc.csv") if p["variant"] == "baseline-s0.0-float32"]
    x, y = (np.array([float(p[key]) for p in points]) for key in ("false_positive_rate", "true_positive_rate"))
    assert float(np.trapezoid(y, x)) == pytest.approx(rows[0]["test_roc_auc"], abs=1e-4)


@pytest.mark.thorough
def test_the_lines_against_sparsity_start_at_the_baseline_whatever_the_pruning(
    sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    rows = evaluated_rows(sweep, features, tmp_path / "evaluation", params)
    points = table(tmp_path / "evaluation" / "against_sparsity.csv")
    by_name = {row["name"]: row for row in rows}
    ways = {(row["criterion"], row["schedule"]) for row in rows if row["schedule"]}
    baselines = [row for row in rows if not row["schedule"]]
    assert {point["pruning"] for point in points} == {", ".join(way) for way in ways}
    assert len(points) == len(rows) + (len(ways) - 1) * len(baselines)
    for way in ways:
        line = [p for p in points if p["pruning"] == ", ".join(way) and p["scheme"] == "narrow"]
        least = min(line, key=lambda point: float(point["sparsity"]))
        assert float(least["validation_metric"]) == by_name["baseline-s0.0-narrow"]["validation_roc_auc"]
        assert int(least["deflated_bytes"]) == by_name["baseline-s0.0-narrow"]["deflated_bytes"]


@pytest.mark.thorough
def test_an_interrupted_measurement_goes_on_where_it_stopped(
    sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = litert.latency
    measured: list[int] = []
    limit = 25

    def counting(model: litert.Model, sample: np.ndarray, *, warmup: int, runs: int) -> np.ndarray:
        if len(measured) == limit:
            raise KeyboardInterrupt
        measured.append(runs)
        return honest(model, sample, warmup=warmup, runs=runs)

    monkeypatch.setattr(litert, "latency", counting)
    with pytest.raises(KeyboardInterrupt):
        evaluate(sweep, features, tmp_path / "evaluation", params)
    assert not (tmp_path / "evaluation").exists()
    limit = -1
    evaluate(sweep, features, tmp_path / "evaluation", params)
    assert len(measured) == 25 + 20  # two rounds of ten models were finished, five of the third are done again
    assert sorted(path.name for path in (tmp_path / "evaluation" / "latency").iterdir()) == [
        f"round_{i}.npy" for i in range(4)
    ]


def test_a_model_file_that_was_changed_is_refused(
    sweep: Path, features: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    (sweep / "constant-s0.5-narrow.tflite").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"constant-s0.5-narrow.tflite .*scored"):
        evaluate(sweep, features, tmp_path / "evaluation", params)


def test_without_a_float32_baseline_there_is_nothing_to_compare_with(
    sweep: Path,
    features: Path,
    tmp_path: Path,
    params: EvaluateParams,
    keep: Callable[[Callable[[dict[str, Any]], bool]], None],
) -> None:
    keep(lambda v: v["scheme"] != "float32")
    with pytest.raises(DataError, match="must hold the float32 baseline"):
        evaluate(sweep, features, tmp_path / "evaluation", params)


@pytest.mark.thorough
def test_a_sweep_of_baselines_alone_is_enough(
    sweep: Path,
    features: Path,
    tmp_path: Path,
    params: EvaluateParams,
    keep: Callable[[Callable[[dict[str, Any]], bool]], None],
) -> None:
    keep(lambda v: not v["schedule"])
    assert len(evaluate(sweep, features, tmp_path / "evaluation", params)) == 2


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("confidence", 95.0, r"evaluate.confidence .*got 95.0.*0.95"),
        ("specificity", 0.0, "evaluate.specificity must be a fraction"),
        ("bootstrap_resamples", 10, "evaluate.bootstrap_resamples must be at least 100; got 10"),
        ("calibration_bins", 1, "evaluate.calibration_bins must be at least 2"),
        ("latency_runs", 3, "evaluate.latency_runs must be at least 10"),
    ],
)
def test_parameters_out_of_range_are_refused(field: str, value: float, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        EvaluateParams(**{field: value})  # type: ignore[arg-type]
