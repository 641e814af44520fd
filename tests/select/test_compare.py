from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from stages.core.artifacts.dataset import SplitLabels
from stages.core.project.errors import DataError
from stages.core.scoring.baseline import baseline
from stages.select import compare


def drops(scores: dict[str, np.ndarray], truth: SplitLabels, metric: str = "roc_auc") -> dict[str, dict[str, Any]]:
    bootstrap = compare.Bootstrap(confidence=0.9, resamples=300)
    found = compare.measure(metric, scores, "baseline", truth, thresholds={}, bootstrap=bootstrap).drops()
    return {name: asdict(drop) for name, drop in found.items()}


def truth_of(y: np.ndarray, groups: np.ndarray) -> SplitLabels:
    return SplitLabels(y, groups, np.full(len(y), ""))


@pytest.fixture
def truth(rng: np.random.Generator) -> SplitLabels:
    return truth_of(rng.permutation(np.arange(80) % 2), np.arange(80) // 2)


def test_the_drop_is_the_difference_and_pairing_makes_its_interval_narrow(
    truth: SplitLabels, rng: np.random.Generator
) -> None:
    baseline = truth.y + rng.normal(size=80)
    nearly, unlike = baseline + 0.05 * rng.normal(size=80), truth.y + rng.normal(size=80)
    found = drops({"baseline": baseline, "nearly": nearly, "unlike": unlike}, truth)
    for name, scores in (("nearly", nearly), ("unlike", unlike)):
        exact = roc_auc_score(truth.y, baseline) - roc_auc_score(truth.y, scores)
        assert found[name]["drop"] == pytest.approx(exact, abs=1e-6)
        assert found[name]["drop_low"] <= found[name]["drop"] <= found[name]["drop_high"]
        assert found[name]["drop"] < found[name]["drop_bound"]
    width = {name: each["drop_high"] - each["drop_low"] for name, each in found.items()}
    assert width["baseline"] == 0
    assert width["nearly"] < width["unlike"] / 3
    assert found["baseline"]["drop_bound"] == 0
    assert found["baseline"]["delong_p"] == 1


def test_groups_are_drawn_whole(truth: SplitLabels, rng: np.random.Generator) -> None:
    scores = {"baseline": truth.y + rng.normal(size=80), "other": truth.y + rng.normal(size=80)}
    twice = {name: np.repeat(values, 2) for name, values in scores.items()}
    doubled = truth_of(np.repeat(truth.y, 2), np.repeat(truth.groups, 2))
    keys = ("drop_low", "drop_high", "drop_bound")
    assert [drops(twice, doubled)["other"][k] for k in keys] == [drops(scores, truth)["other"][k] for k in keys]


def test_metrics_of_more_classes_have_no_delong(rng: np.random.Generator) -> None:
    y = rng.integers(0, 3, 60)
    baseline, other = rng.dirichlet(np.ones(3), 60), rng.dirichlet(np.ones(3), 60)
    found = drops({"baseline": baseline, "other": other}, truth_of(y, np.arange(60)), "accuracy")
    exact = accuracy_score(y, baseline.argmax(axis=1)) - accuracy_score(y, other.argmax(axis=1))
    assert found["other"]["drop"] == pytest.approx(exact, abs=1e-6)
    assert found["other"]["delong_p"] is None


def test_a_sweep_without_its_baseline_is_told() -> None:
    with pytest.raises(DataError, match="must hold the float32 baseline"):
        baseline([])
