from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from stages.core.artifacts import dataset, evaluation
from stages.core.artifacts.variant import read_variants
from stages.core.project import files
from stages.core.project.errors import ParameterError
from stages.evaluate import robustness, scoring
from stages.evaluate.disturbances import conditions
from stages.evaluate.params import EvaluateParams, Robustness
from stages.evaluate.stage import evaluate
from stages.evaluate.subjects import Subjects

pytestmark = pytest.mark.thorough

CHOSEN = Robustness(noise_snr_db=(10, -20), gain_db=(-6,), sample_rates=(8000,))


def judged(recorded: Path, sweep: Path, target: Path, chosen: Robustness, params: EvaluateParams) -> Any:
    variants = read_variants(sweep / "variants.json")
    params = EvaluateParams(bootstrap_resamples=100, seed=params.seed, robustness=chosen)
    rows = robustness.measure(Subjects(tuple(variants), variants[0], sweep, recorded), folder=target, params=params)
    return variants, {(row["name"], row["condition"], row["figure"]): row for row in rows}


def test_every_variant_is_scored_under_every_condition(
    recorded: Path, sweep: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    variants, rows = judged(recorded, sweep, tmp_path / "robustness", CHOSEN, params)
    names = ["clean", "noise_10db", "noise_-20db", "gain_-6db", "rate_8000hz"]
    assert list(conditions(CHOSEN)) == names
    assert len(rows) == len(variants) * len(names) * len(robustness.FIGURES)
    split, name = dataset.read_split(recorded, "test"), variants[3].name
    scores = scoring.score(sweep / f"{name}.tflite", split.crops)
    threshold = variants[3].threshold
    assert rows[name, "clean", "accuracy"]["value"] == pytest.approx(
        accuracy_score(split.y, scores >= threshold), abs=1e-6
    )
    stored = {condition: np.load(tmp_path / "robustness" / f"{condition}.npz")[name] for condition in names}
    np.testing.assert_allclose(stored["clean"], scores, atol=1e-6)
    shift = {condition: np.abs(stored[condition] - stored["clean"]).mean() for condition in names}
    assert 0 < shift["noise_10db"] < shift["noise_-20db"]
    assert min(shift["gain_-6db"], shift["rate_8000hz"]) > 0


def test_agreement_is_that_of_the_decisions_with_the_float_model(
    recorded: Path, sweep: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    variants, rows = judged(recorded, sweep, tmp_path / "robustness", Robustness(noise_snr_db=(10,)), params)
    with np.load(tmp_path / "robustness" / "noise_10db.npz") as scores:
        mine, floats = (scores[v.name] >= v.threshold for v in (variants[5], variants[0]))
    found = rows[variants[5].name, "noise_10db", "agreement"]
    assert found["value"] == pytest.approx(np.mean(mine == floats), abs=1e-6)
    assert found["low"] <= found["value"] <= found["high"]
    assert rows[variants[0].name, "noise_10db", "agreement"]["value"] == 1


def test_noise_is_the_same_each_time_and_another_with_another_seed(recorded: Path, sweep: Path, tmp_path: Path) -> None:
    chosen = Robustness(noise_snr_db=(0,))
    for folder, seed in (("first", 1), ("second", 1), ("third", 2)):
        judged(recorded, sweep, tmp_path / folder, chosen, EvaluateParams(seed=seed))
    first, second, third = (np.load(tmp_path / f / "noise_0db.npz") for f in ("first", "second", "third"))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not any(np.array_equal(first[name], third[name]) for name in first)


def test_a_finished_condition_is_not_repeated(
    recorded: Path, sweep: Path, tmp_path: Path, params: EvaluateParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows = judged(recorded, sweep, tmp_path / "robustness", CHOSEN, params)
    monkeypatch.setattr(robustness, "_disturbed_features", None)
    assert judged(recorded, sweep, tmp_path / "robustness", CHOSEN, params)[1] == rows


def test_the_stage_writes_a_table_if_it_is_asked_to(recorded: Path, sweep: Path, tmp_path: Path) -> None:
    few = EvaluateParams(bootstrap_resamples=100, latency_warmup=1, latency_runs=10)
    evaluate(sweep, recorded, tmp_path / "without", few)
    assert not (tmp_path / "without" / "robustness.csv").exists()
    evaluate(sweep, recorded, tmp_path / "with", replace(few, robustness=Robustness(gain_db=(6,))))
    rows = files.read_csv(tmp_path / "with" / "robustness.csv")
    assert {row["condition"] for row in rows} == {"clean", "gain_+6db"}
    for each in evaluation.read(tmp_path / "with"):
        assert set(each.robustness) == {"clean", "gain_+6db"}
        assert set(each.robustness["clean"]) == set(robustness.FIGURES)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"sample_rates": (8,)}, r"evaluate.robustness.sample_rates .*1000 Hz; got 8\b"),
        ({"gain_db": (500,)}, "evaluate.robustness.gain_db must be decibels"),
        ({"clip_db": (0.0,)}, r"evaluate.robustness.clip_db must be decibels in \(0, 100\]; got 0.0"),
        ({"reverberation_s": (-1,)}, "evaluate.robustness.reverberation_s must be seconds"),
        ({"bands_hz": ((3400.0, 300.0),)}, r"evaluate.robustness.bands_hz .*rising"),
        ({"shift_s": (0.0,)}, "evaluate.robustness.shift_s must be seconds"),
        ({"pgd_snr_db": (1000.0,)}, "evaluate.robustness.pgd_snr_db must be decibels"),
        ({"noise_snr_db": (10, 10)}, "evaluate.robustness.noise_snr_db must name each value once"),
    ],
)
def test_conditions_out_of_range_are_refused(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Robustness(**chosen)
