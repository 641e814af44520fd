import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.metrics import f1_score

from stages.core.artifacts.estimates import ThresholdRule
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import measure
from stages.core.scoring.thresholds import class_thresholds, crossfit_thresholds, predict, threshold_for


def test_threshold_maximises_youdens_j_and_lies_between_two_scores() -> None:
    y = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.2, 0.6, 0.5, 0.8, 0.9])
    assert threshold_for(y, scores) == pytest.approx(0.7)  # both 0.7 and 0.35 give 2/3; the higher wins


def test_no_threshold_has_a_higher_youdens_j(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, 300)
    scores = np.round(np.clip(0.3 * y + 0.7 * rng.uniform(size=300), 0, 1), 2)
    fpr, tpr, _ = oracle.roc_curve(y, scores)
    predicted = predict(scores, threshold_for(y, scores))
    assert predicted[y == 1].mean() - predicted[y == 0].mean() == pytest.approx((tpr - fpr).max())


def test_threshold_needs_both_classes() -> None:
    with pytest.raises(DataError, match="needs clips of both classes"):
        threshold_for(np.ones(4, int), np.linspace(0, 1, 4))


def test_a_clip_s_threshold_is_chosen_without_its_group(rng: np.random.Generator) -> None:
    y, groups = rng.integers(0, 2, 60), np.repeat(np.arange(20), 3).astype(str)
    scores = np.clip(0.3 * y + 0.7 * rng.uniform(size=60), 0, 1)
    before = crossfit_thresholds(y, scores, groups)
    assert before is not None
    for group in ("0", "7"):
        changed = np.where(groups == group, 1 - scores, scores)
        after = crossfit_thresholds(y, changed, groups)
        assert after is not None
        np.testing.assert_array_equal(after[groups == group], before[groups == group])


def test_without_signal_decisions_come_out_as_chance_and_in_sample_they_do_not(rng: np.random.Generator) -> None:
    apart, within = [], []
    for _ in range(200):
        y, scores = rng.integers(0, 2, 60), rng.uniform(size=60)
        within.append(float(measure("balanced_accuracy", y, scores, threshold=threshold_for(y, scores))))
        held_out = crossfit_thresholds(y, scores, np.arange(60).astype(str))
        apart.append(float(measure("balanced_accuracy", y, scores, threshold=held_out)))
    assert np.mean(within) > 0.57
    assert 0.46 < np.mean(apart) < 0.51


def test_each_class_of_several_labels_has_thresholds_of_its_own(rng: np.random.Generator) -> None:
    y, scores, groups = rng.integers(0, 2, (40, 3)), rng.uniform(size=(40, 3)), np.arange(40).astype(str)
    found = crossfit_thresholds(y, scores, groups)
    assert found is not None
    np.testing.assert_array_equal(found[:, 1], crossfit_thresholds(y[:, 1], scores[:, 1], groups))


def test_there_are_none_where_one_group_has_a_class() -> None:
    y, scores = np.array([0, 0, 0, 1, 1]), np.linspace(0, 1, 5)
    assert crossfit_thresholds(y, scores, np.array(list("abcdd"))) is None


@pytest.mark.parametrize("kind", ["youden", "f1", "cost", "specificity"])
@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_is_better_by_its_rule(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.concatenate([[0, 1], rng.integers(0, 2, 40)])
    scores = np.round(rng.uniform(size=42) * 0.6 + 0.2 * y, 2)
    rule = ThresholdRule(kind, specificity=0.8, miss_cost=float(rng.uniform(0.2, 5)))

    def worth(limit: float) -> float:
        said = scores >= limit
        tp, fp, n, p = (said & (y == 1)).sum(), (said & (y == 0)).sum(), (y == 0).sum(), (y == 1).sum()
        if kind == "f1":
            return f1_score(y, said, zero_division=0.0)
        return {
            "youden": tp / p - fp / n,
            "cost": -rule.miss_cost * (p - tp) - fp,
            "specificity": tp / p if 1 - fp / n >= 0.8 - 1e-12 else -1.0,
        }[kind]

    chosen = threshold_for(y, scores, rule)
    assert isinstance(chosen, float)
    assert worth(chosen) == pytest.approx(max(map(worth, [*np.unique(scores), 2.0])))


def test_misses_that_cost_nothing_much_leave_nothing_positive() -> None:
    y, scores = np.array([1, 0, 0, 1]), np.array([0.2, 0.9, 1.0, 0.3])
    chosen = threshold_for(y, scores, ThresholdRule("cost", miss_cost=0.5))
    assert not predict(scores, chosen).any()


def test_each_class_of_a_multi_class_task_has_a_threshold_against_the_rest() -> None:
    rng = np.random.default_rng(3)
    y, scores = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    found = class_thresholds(y, scores)
    assert found == tuple(threshold_for((y == k).astype(int), scores[:, k], ThresholdRule("f1")) for k in range(4))
    assert class_thresholds(np.zeros(5, int), scores[:5]) is None
