"""What is said of unknown sounds: shares, AUROC against scikit-learn, and the sounds that are made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stages.core.artifacts import dataset, evaluation
from stages.core.artifacts.rejection import FittedRejection
from stages.core.artifacts.variant import read_variants, write_variants
from stages.core.project import files
from stages.evaluate import unknown
from stages.evaluate.params import EvaluateParams
from stages.evaluate.stage import evaluate
from stages.runtime.rejection import Rejection, confidence


def test_known_clips_are_told_from_others_as_scikit_learn_counts(features: Path, params: EvaluateParams) -> None:
    test, rng = dataset.read_split(features, "test"), np.random.default_rng(1)
    sure, others = rng.normal(1, 1, len(test)), rng.normal(0, 1, 40)
    found = unknown.against("tones", sure, others, 0.0, test, params)
    truth = np.concatenate([np.ones(len(sure)), np.zeros(40)])
    assert found["auroc.tones"].value == pytest.approx(roc_auc_score(truth, np.concatenate([sure, others])), abs=1e-6)
    assert found["rejected.tones"].value == pytest.approx(np.mean(others < 0), abs=1e-6)
    floor = np.sort(sure)[int(np.floor(0.05 * (len(sure) - 1)))]
    assert found["fpr95.tones"].value == pytest.approx(np.mean(others >= floor), abs=1e-6)
    assert np.mean(sure >= floor) >= 0.95
    auroc = found["auroc.tones"]
    assert auroc.value is not None
    assert auroc.low is not None
    assert auroc.high is not None
    assert auroc.low < auroc.value < auroc.high


def test_made_sounds_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    sound = unknown.chord(16_000, 16_000, rng)
    power = np.sort(np.abs(np.fft.rfft(sound)) ** 2)[::-1]
    assert power[:60].sum() > 0.8 * power.sum(), "of few frequencies"
    assert np.square(sound[:1600]).sum() > np.square(sound[-1600:]).sum(), "it decays"


@pytest.mark.thorough
def test_a_sweep_with_rules_says_what_is_kept_and_decided(
    features: Path, sweep: Path, params: EvaluateParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = read_variants(sweep / "variants.json")
    first = variants[0]
    with np.load(sweep / "scores" / f"{first.name}.npz") as stored:
        scores = stored["test"].astype(np.float64)
    threshold = first.threshold
    assert isinstance(threshold, float)
    sure = confidence(scores[:, None], "distance", threshold)
    rule = Rejection("distance", float(np.median(sure)), 0.5)
    write_variants(sweep / "variants.json", [replace(first, rejection=FittedRejection(rule, 50, 50)), *variants[1:]])
    monkeypatch.setattr(unknown, "probes", lambda *_: {})
    found = evaluate(sweep, features, tmp_path / "evaluation", params)
    figures = found[0].rejection
    test = dataset.read_split(features, "test")
    kept = sure >= rule.limit
    said = scores >= threshold
    assert figures["kept"].value == pytest.approx(kept.mean(), abs=1e-6)
    assert figures["accuracy_decided"].value == pytest.approx(np.mean((said == test.y)[kept]), abs=1e-6)
    assert figures["sensitivity_decided"].value == pytest.approx(said[kept & (test.y == 1)].mean(), abs=1e-6)
    assert figures["specificity_decided"].value == pytest.approx(1 - said[kept & (test.y == 0)].mean(), abs=1e-6)
    assert all(not each.rejection for each in found[1:])
    assert evaluation.read(tmp_path / "evaluation") == found
    assert {row["figure"] for row in files.read_csv(tmp_path / "evaluation" / "rejection.csv")} == set(figures)
