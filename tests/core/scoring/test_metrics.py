import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from stages.core.scoring import metrics
from stages.core.scoring.curves import roc_points
from stages.core.scoring.metrics import METRICS, MetricParams, evaluate


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


def test_sensitivity_is_read_where_the_specificity_is_exactly_reached() -> None:
    # Ten negatives, one above 0.5: specificity is 9/10 there, and 1 - 0.9 is not quite 0.1 in floating point.
    y = np.array([0] * 10 + [1] * 4)
    scores = np.array([0.9] + [0.1] * 9 + [0.95, 0.6, 0.6, 0.05])
    assert value(evaluate(y, scores), "sensitivity_at_specificity") == pytest.approx(0.75)
    assert value(
        evaluate(y, scores, params=MetricParams(specificity=0.95)), "sensitivity_at_specificity"
    ) == pytest.approx(0.25)


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


def test_roc_points_are_scikit_learns(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    fpr, tpr, _ = oracle.roc_curve(y, scores)
    got = roc_points(y, scores)
    np.testing.assert_allclose(got, (fpr, tpr))


def test_roc_points_of_a_single_score() -> None:
    np.testing.assert_array_equal(roc_points(np.array([0, 1]), np.array([0.5, 0.5])), [[0, 1], [0, 1]])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_one_metric_alone_is_what_it_is_among_all(rng: np.random.Generator, metric: str, n_classes: int) -> None:
    y = rng.integers(0, n_classes, 60)
    scores = rng.uniform(size=60) if n_classes == 2 else rng.dirichlet(np.ones(n_classes), 60)
    weights = rng.integers(0, 3, (4, 60)).astype(float)
    alone = metrics.measure(metric, y, scores, weights, threshold=0.4)
    np.testing.assert_array_equal(alone, evaluate(y, scores, weights, threshold=0.4)[metric])
