import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.scoring import metrics
from stages.core.scoring.metrics import METRICS, MetricParams, evaluate, summarise

PARAMS = MetricParams(resamples=200)
LABELS = ("negative", "positive")


def binary(rng: np.random.Generator, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    y = rng.integers(0, 2, n)
    scores = np.round(np.clip(0.3 * y + 0.7 * rng.uniform(size=n), 0, 1), 2)  # two decimals: many ties
    return y, scores


def value(result: dict[str, np.ndarray], name: str) -> float:
    return float(result[name])


# --- against scikit-learn, one weighted resample at a time -------------------------------------------------------


def test_binary_metrics_equal_scikit_learns_for_every_row_of_weights(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    weights = rng.integers(0, 4, (5, len(y))).astype(float)
    got = evaluate(y, scores, weights, threshold=0.6)
    predicted = scores >= 0.6
    for row, w in enumerate(weights):
        expected = {
            "roc_auc": oracle.roc_auc_score(y, scores, sample_weight=w),
            "pr_auc": oracle.average_precision_score(y, scores, sample_weight=w),
            "accuracy": oracle.accuracy_score(y, predicted, sample_weight=w),
            "balanced_accuracy": oracle.balanced_accuracy_score(y, predicted, sample_weight=w),
            "f1": oracle.f1_score(y, predicted, sample_weight=w),
        }
        fpr, tpr, _ = oracle.roc_curve(y, scores, sample_weight=w, drop_intermediate=False)
        expected["sensitivity_at_specificity"] = tpr[fpr <= 0.1 + 1e-12].max()
        for name, number in expected.items():
            assert got[name][row] == pytest.approx(number, abs=1e-12), name


def test_multi_class_metrics_equal_scikit_learns(rng: np.random.Generator) -> None:
    y = rng.integers(0, 4, 400)
    scores = rng.dirichlet(np.ones(4), 400) + 0.5 * np.eye(4)[y]
    scores /= scores.sum(axis=1, keepdims=True)
    weights = rng.integers(0, 3, (3, 400)).astype(float)
    got = evaluate(y, scores, weights)
    predicted = scores.argmax(axis=1)
    for row, w in enumerate(weights):
        assert got["roc_auc"][row] == pytest.approx(
            np.mean([oracle.roc_auc_score(y == c, scores[:, c], sample_weight=w) for c in range(4)])
        )
        assert got["pr_auc"][row] == pytest.approx(
            np.mean([oracle.average_precision_score(y == c, scores[:, c], sample_weight=w) for c in range(4)])
        )
        assert got["f1"][row] == pytest.approx(oracle.f1_score(y, predicted, sample_weight=w, average="macro"))
        assert got["accuracy"][row] == pytest.approx(oracle.accuracy_score(y, predicted, sample_weight=w))
        assert got["balanced_accuracy"][row] == pytest.approx(
            oracle.balanced_accuracy_score(y, predicted, sample_weight=w)
        )


def test_unweighted_multi_class_auc_is_scikit_learns_one_against_rest(rng: np.random.Generator) -> None:
    y, scores = rng.integers(0, 5, 200), rng.dirichlet(np.ones(5), 200)
    expected = oracle.roc_auc_score(y, scores, multi_class="ovr", average="macro")
    assert value(evaluate(y, scores), "roc_auc") == pytest.approx(expected)


def test_calibration_error_is_the_weighted_gap_of_scikit_learns_calibration_curve(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    fraction, mean = calibration_curve(y, scores, n_bins=10)
    edges = np.linspace(0, 1, 11)
    counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=10)
    expected = np.sum(np.abs(fraction - mean) * counts[counts > 0]) / len(y)
    assert float(metrics.calibration_error(y, scores)) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_a_multi_class_task_by_hand() -> None:
    y = np.array([0, 1, 2, 2])
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.65, 0.05], [0.62, 0.2, 0.18], [0.0, 0.0, 1.0]])
    # the first three share the bin (0.6, 0.7]: confidence 0.7 + 0.65 + 0.62 against two right; the last is perfect
    assert float(metrics.calibration_error(y, scores)) == pytest.approx(abs(1.97 - 2) / 4)


def test_sensitivity_is_read_where_the_specificity_is_exactly_reached() -> None:
    # Ten negatives, one above 0.5: specificity is 9/10 there, and 1 - 0.9 is not quite 0.1 in floating point.
    y = np.array([0] * 10 + [1] * 4)
    scores = np.array([0.9] + [0.1] * 9 + [0.95, 0.6, 0.6, 0.05])
    assert value(evaluate(y, scores, specificity=0.9), "sensitivity_at_specificity") == pytest.approx(0.75)
    assert value(evaluate(y, scores, specificity=0.95), "sensitivity_at_specificity") == pytest.approx(0.25)


# --- laws ------------------------------------------------------------------------------------------------------

CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=4, max_size=60).filter(
    lambda pairs: len({truth for truth, _ in pairs}) == 2
)


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_ranking_metrics_ignore_a_monotone_transform_of_the_scores(pairs: list[tuple[bool, int]]) -> None:
    y = np.array([int(truth) for truth, _ in pairs])
    scores = np.array([level / 20 for _, level in pairs])
    before, after = evaluate(y, scores), evaluate(y, scores**3 / 2)
    for name in ("roc_auc", "pr_auc", "sensitivity_at_specificity"):
        assert value(before, name) == value(after, name)


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_reversed_scores_give_the_complement_of_the_auc(pairs: list[tuple[bool, int]]) -> None:
    y = np.array([int(truth) for truth, _ in pairs])
    scores = np.array([level / 20 for _, level in pairs])
    assert value(evaluate(y, scores), "roc_auc") == pytest.approx(1 - value(evaluate(y, 1 - scores), "roc_auc"))


@settings(max_examples=40, deadline=None)
@given(CASES, st.data())
def test_a_whole_weight_is_as_many_copies_of_the_clip(pairs: list[tuple[bool, int]], data: st.DataObject) -> None:
    y = np.array([int(truth) for truth, _ in pairs])
    scores = np.array([level / 20 for _, level in pairs])
    copies = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(y), max_size=len(y))))
    weighted, repeated = evaluate(y, scores, copies), evaluate(np.repeat(y, copies), np.repeat(scores, copies))
    for name in METRICS:
        assert value(weighted, name) == pytest.approx(value(repeated, name))


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_every_metric_lies_between_0_and_1(pairs: list[tuple[bool, int]]) -> None:
    y = np.array([int(truth) for truth, _ in pairs])
    got = evaluate(y, np.array([level / 20 for _, level in pairs]))
    assert set(got) == set(METRICS)
    assert all(-1e-12 <= number <= 1 + 1e-12 for number in got.values())


def test_perfect_scores_give_perfect_metrics(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, 50)
    for scores in (y.astype(float), np.eye(2)[y]):
        got = evaluate(y, scores)
        assert value(got, "calibration_error") == 0
        assert all(value(got, name) == 1 for name in METRICS if name != "calibration_error")


# --- thresholds and curves -------------------------------------------------------------------------------------


def test_threshold_maximises_youdens_j_and_lies_between_two_scores() -> None:
    y = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.2, 0.6, 0.5, 0.8, 0.9])
    assert metrics.threshold_for(y, scores) == pytest.approx(0.7)  # both 0.7 and 0.35 give 2/3; the higher wins


def test_no_threshold_has_a_higher_youdens_j(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    fpr, tpr, _ = oracle.roc_curve(y, scores)
    predicted = metrics.predict(scores, metrics.threshold_for(y, scores))
    assert predicted[y == 1].mean() - predicted[y == 0].mean() == pytest.approx((tpr - fpr).max())


def test_threshold_needs_both_classes() -> None:
    with pytest.raises(DataError, match="needs clips of both classes"):
        metrics.threshold_for(np.ones(4, int), np.linspace(0, 1, 4))


def test_roc_points_are_scikit_learns(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    fpr, tpr, _ = oracle.roc_curve(y, scores)
    got = metrics.roc_points(y, scores)
    np.testing.assert_allclose(got, (fpr, tpr))


def test_roc_points_of_a_single_score() -> None:
    np.testing.assert_array_equal(metrics.roc_points(np.array([0, 1]), np.array([0.5, 0.5])), [[0, 1], [0, 1]])


# --- summary ---------------------------------------------------------------------------------------------------


def test_summary_is_json_without_nan_and_the_same_each_time(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    groups, sites = np.array([f"g{i // 5}" for i in range(len(y))]), rng.choice(["a", "b"], len(y))
    first, second = (
        summarise(y, scores, groups=groups, sites=sites, labels=LABELS, params=PARAMS, threshold=0.4) for _ in range(2)
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
    whole = summarise(y, scores, groups=groups, sites=sites, labels=LABELS, params=PARAMS)
    rows = sites == "a"
    alone = summarise(y[rows], scores[rows], groups=groups[rows], sites=sites[rows], labels=LABELS, params=PARAMS)
    assert whole["sites"]["a"]["metrics"] == alone["pooled"]
    assert alone["sites"] == {}


def test_interval_of_the_mean_is_that_of_the_groups_not_of_the_clips(rng: np.random.Generator) -> None:
    # 20 groups of 50 clips that are right or wrong together: the standard error is that of 20 draws, not of 1000.
    right = np.repeat(np.arange(20) % 2, 50)
    y = np.tile([0, 1], 500)
    scores = np.where(right == 1, y, 1 - y).astype(float)
    groups = np.repeat(np.arange(20).astype(str), 50)
    got = summarise(
        y, scores, groups=groups, sites=np.full(1000, ""), labels=LABELS, params=MetricParams(resamples=4000)
    )["pooled"]["accuracy"]
    half_width = 1.96 * np.sqrt(0.25 / 20)
    assert got["value"] == 0.5
    assert (got["high"] - got["low"]) / 2 == pytest.approx(half_width, rel=0.15)


def test_interval_of_a_good_ranking_holds_the_value(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    got = summarise(y, scores, groups=np.arange(300).astype(str), sites=np.full(300, ""), labels=LABELS, params=PARAMS)
    for name in ("roc_auc", "accuracy", "f1"):
        assert got["pooled"][name]["low"] < got["pooled"][name]["value"] < got["pooled"][name]["high"]


def test_a_site_of_one_class_says_why_it_has_no_auc(rng: np.random.Generator) -> None:
    y, scores = np.array([0, 0, 0, 1, 0, 1]), rng.uniform(size=6)
    sites = np.array(["a", "a", "a", "b", "b", "b"])
    groups = np.array(["1", "2", "3", "4", "5", "6"])
    got = summarise(y, scores, groups=groups, sites=sites, labels=LABELS, params=PARAMS)["sites"]["a"]["metrics"]
    undefined = {"value": None, "low": None, "high": None, "reason": "one class only"}
    for name in ("roc_auc", "pr_auc", "f1", "balanced_accuracy", "sensitivity_at_specificity"):
        assert got[name] == undefined
    assert got["accuracy"]["value"] is not None


def test_one_group_has_no_interval() -> None:
    y, scores = np.array([0, 1]), np.array([0.2, 0.7])
    one = np.full(2, "same")
    got = summarise(y, scores, groups=one, sites=one, labels=LABELS, params=PARAMS)["pooled"]["roc_auc"]
    assert got == {"value": 1.0, "low": None, "high": None, "reason": "one group only"}


def test_two_groups_of_one_class_each_still_have_an_interval() -> None:
    y, scores = np.array([0, 1]), np.array([0.2, 0.7])
    got = summarise(y, scores, groups=np.array(["1", "2"]), sites=np.full(2, ""), labels=LABELS, params=PARAMS)
    assert got["pooled"]["roc_auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_multi_class_summary_has_no_threshold(rng: np.random.Generator) -> None:
    y, scores = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    groups = np.arange(60).astype(str)
    got = summarise(y, scores, groups=groups, sites=np.full(60, ""), labels=("a", "b", "c"), params=PARAMS)
    assert got["threshold"] is None
    assert got["positives"] is None
    assert sum(got["classes"].values()) == 60


def test_a_column_of_scores_is_a_binary_score(rng: np.random.Generator) -> None:
    y, scores = binary(rng, 40)
    groups, sites = np.arange(40).astype(str), np.full(40, "")
    flat, column = (
        summarise(y, s, groups=groups, sites=sites, labels=LABELS, params=PARAMS) for s in (scores, scores[:, None])
    )
    assert flat == column


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (np.zeros((4, 3)), "must describe the same 4 clips of 2 classes"),
        (np.zeros(3), "must describe the same 4 clips"),
        (np.array([0.1, np.nan, 0.2, 0.3]), "must be finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: np.ndarray, match: str) -> None:
    names = np.array(["1", "2", "3", "4"])
    with pytest.raises(DataError, match=match):
        summarise(np.array([0, 1, 0, 1]), scores, groups=names, sites=names, labels=LABELS, params=PARAMS)


def test_an_empty_split_is_refused() -> None:
    none = np.array([], dtype=str)
    with pytest.raises(DataError, match="at least one clip"):
        summarise(np.array([], int), np.array([]), groups=none, sites=none, labels=LABELS, params=PARAMS)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_one_metric_alone_is_what_it_is_among_all(rng: np.random.Generator, metric: str, n_classes: int) -> None:
    y = rng.integers(0, n_classes, 60)
    scores = rng.uniform(size=60) if n_classes == 2 else rng.dirichlet(np.ones(n_classes), 60)
    weights = rng.integers(0, 3, (4, 60)).astype(float)
    alone = metrics.measure(metric, y, scores, weights, threshold=0.4)
    np.testing.assert_array_equal(alone, evaluate(y, scores, weights, threshold=0.4)[metric])
