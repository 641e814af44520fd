import json

import numpy as np
import pytest
from scipy.stats import binomtest

from stages.core.artifacts.dataset import SplitLabels
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import METRICS, MetricParams
from stages.core.scoring.summary import summarise
from stages.core.scoring.thresholds import threshold_for

PARAMS = MetricParams(resamples=200)
LABELS = ("negative", "positive")


def binary(rng: np.random.Generator, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    y = rng.integers(0, 2, n)
    scores = np.round(np.clip(0.3 * y + 0.7 * rng.uniform(size=n), 0, 1), 2)  # two decimals: many ties
    return y, scores


def test_summary_is_json_without_nan_and_the_same_each_time(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    groups, sites = np.array([f"g{i // 5}" for i in range(len(y))]), rng.choice(["a", "b"], len(y))
    first, second = (
        summarise(SplitLabels(y, groups, sites), scores, labels=LABELS, params=PARAMS, threshold=0.4) for _ in range(2)
    )
    assert files.to_json(first) == files.to_json(second)
    assert json.loads(files.to_json(first)) == first
    assert (first["n"], first["groups"], first["positives"]) == (300, 60, int(y.sum()))
    assert first["threshold"] == 0.4
    assert set(first["pooled"]) == set(METRICS)
    assert first["sites"]["a"]["n"] + first["sites"]["b"]["n"] == 300


def test_a_site_is_summarised_as_if_it_were_alone(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    groups, sites = np.array([f"g{i // 5}" for i in range(len(y))]), np.array(["a", "b"] * 150)
    whole = summarise(SplitLabels(y, groups, sites), scores, labels=LABELS, params=PARAMS)
    rows = sites == "a"
    alone = summarise(SplitLabels(y[rows], groups[rows], sites[rows]), scores[rows], labels=LABELS, params=PARAMS)
    assert whole["sites"]["a"]["metrics"] == alone["pooled"]
    assert alone["sites"] == {}


def test_interval_of_the_mean_is_that_of_the_groups_not_of_the_clips(rng: np.random.Generator) -> None:
    # 20 groups of 50 clips that are right or wrong together: the standard error is that of 20 draws, not of 1000.
    right = np.repeat(np.arange(20) % 2, 50)
    y = np.tile([0, 1], 500)
    scores = np.where(right == 1, y, 1 - y).astype(float)
    groups = np.repeat(np.arange(20).astype(str), 50)
    got = summarise(
        SplitLabels(y, groups, np.full(1000, "")), scores, labels=LABELS, params=MetricParams(resamples=4000)
    )["pooled"]["accuracy"]
    exact = binomtest(10, 20).proportion_ci(0.95)  # Clopper and Pearson's of 20 trials; here with Student's quantile
    assert got["value"] == 0.5
    assert got["low"] < exact.low
    assert got["high"] - got["low"] == pytest.approx(exact.high - exact.low, rel=0.15)


def test_interval_of_a_good_ranking_holds_the_value(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    got = summarise(SplitLabels(y, np.arange(300).astype(str), np.full(300, "")), scores, labels=LABELS, params=PARAMS)
    for name in ("roc_auc", "accuracy", "f1"):
        assert got["pooled"][name]["low"] < got["pooled"][name]["value"] < got["pooled"][name]["high"]


def test_a_site_of_one_class_says_why_it_has_no_auc(rng: np.random.Generator) -> None:
    y, scores = np.array([0, 0, 0, 1, 0, 1]), rng.uniform(size=6)
    sites = np.array(["a", "a", "a", "b", "b", "b"])
    groups = np.array(["1", "2", "3", "4", "5", "6"])
    got = summarise(SplitLabels(y, groups, sites), scores, labels=LABELS, params=PARAMS)["sites"]["a"]["metrics"]
    undefined = {"value": None, "low": None, "high": None, "reason": "one class only"}
    for name in ("roc_auc", "pr_auc", "f1", "balanced_accuracy", "sensitivity_at_specificity"):
        assert got[name] == undefined
    assert got["accuracy"]["value"] is not None


def test_few_groups_have_no_interval_and_say_so() -> None:
    y, scores = np.array([0, 1] * 6), np.array([0.2, 0.7] * 6)
    groups = np.repeat(list("abc"), 4)
    got = summarise(SplitLabels(y, groups, np.full(12, "")), scores, labels=LABELS, params=PARAMS)["pooled"]["roc_auc"]
    assert got == {"value": 1.0, "low": None, "high": None, "reason": "3 groups; an interval needs 10"}


def test_a_rare_class_takes_the_interval_from_metrics_that_compare_classes_alone(rng: np.random.Generator) -> None:
    y, scores = np.array([1] * 2 + [0] * 28), rng.uniform(size=30)
    groups = np.arange(30).astype(str)
    got = summarise(SplitLabels(y, groups, np.full(30, "")), scores, labels=LABELS, params=PARAMS)["pooled"]
    assert got["roc_auc"]["reason"] == "2 groups of a class; an interval needs 3"
    assert got["accuracy"]["low"] < got["accuracy"]["value"] < got["accuracy"]["high"]


def test_a_perfect_auc_of_six_and_six_is_no_certainty() -> None:
    y = np.array([0, 1] * 6)
    groups = np.arange(12).astype(str)
    got = summarise(SplitLabels(y, groups, np.full(12, "")), y * 1.0, labels=LABELS, params=PARAMS)["pooled"]
    assert got["roc_auc"] == {"value": 1.0, "low": pytest.approx(0.025 ** (1 / 6), abs=1e-6), "high": 1.0}
    assert got["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 12), abs=1e-6)


def test_a_threshold_chosen_on_these_clips_is_not_what_they_are_judged_by(rng: np.random.Generator) -> None:
    y, scores = rng.integers(0, 2, 50), rng.uniform(size=50)
    groups, chosen = np.arange(50).astype(str), threshold_for(y, scores)
    truth = SplitLabels(y, groups, np.full(50, ""))
    elsewhere = summarise(truth, scores, labels=LABELS, params=PARAMS, threshold=chosen)
    here = summarise(truth, scores, labels=LABELS, params=PARAMS, threshold=chosen, chosen_here=True)
    assert here["threshold"] == elsewhere["threshold"] == chosen
    assert (elsewhere["decided_by"], here["decided_by"]) == ("given threshold", "cross-fitted thresholds")
    assert here["pooled"]["accuracy"]["value"] < elsewhere["pooled"]["accuracy"]["value"]
    assert here["pooled"]["roc_auc"] == elsewhere["pooled"]["roc_auc"]


def test_multi_class_summary_has_no_threshold(rng: np.random.Generator) -> None:
    y, scores = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    groups = np.arange(60).astype(str)
    got = summarise(SplitLabels(y, groups, np.full(60, "")), scores, labels=("a", "b", "c"), params=PARAMS)
    assert got["threshold"] is None
    assert got["positives"] is None
    assert sum(got["classes"].values()) == 60


def test_a_column_of_scores_is_a_binary_score(rng: np.random.Generator) -> None:
    y, scores = binary(rng, 40)
    groups, sites = np.arange(40).astype(str), np.full(40, "")
    flat, column = (
        summarise(SplitLabels(y, groups, sites), s, labels=LABELS, params=PARAMS) for s in (scores, scores[:, None])
    )
    assert flat == column


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (np.zeros((4, 3)), "the same 4 clips of 2 classes"),
        (np.zeros(3), "must describe the same 4 clips"),
        (np.array([0.1, np.nan, 0.2, 0.3]), "must be finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: np.ndarray, match: str) -> None:
    names = np.array(["1", "2", "3", "4"])
    with pytest.raises(DataError, match=match):
        summarise(SplitLabels(np.array([0, 1, 0, 1]), names, names), scores, labels=LABELS, params=PARAMS)


def test_an_empty_split_is_refused() -> None:
    none = np.array([], dtype=str)
    with pytest.raises(DataError, match="at least one clip"):
        summarise(SplitLabels(np.array([], int), none, none), np.array([]), labels=LABELS, params=PARAMS)
