from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle
from sklearn.metrics import roc_auc_score

from stages.core.scoring import stats


def draw(groups: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(stats.group_bootstrap(groups, resamples=resamples, rng=np.random.default_rng(seed))))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40))
def test_a_group_comes_whole_and_as_many_groups_are_drawn_as_there_are(names: list[str]) -> None:
    groups = np.array(names)
    weights = draw(groups, 20)
    assert weights.shape == (20, len(groups))
    first = [int(np.flatnonzero(groups == name)[0]) for name in sorted(set(names))]
    assert (weights[:, first].sum(axis=1) == len(first)).all()
    for name in set(names):
        members = weights[:, groups == name]
        assert (members == members[:, :1]).all()


def test_blocks_hold_what_one_block_would(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.array(list("aabbcdde"))
    whole = draw(groups, 50)
    monkeypatch.setattr(stats, "_BLOCK", 3 * len(groups))
    np.testing.assert_array_equal(draw(groups, 50), whole)


def test_every_group_is_drawn_once_on_average() -> None:
    assert draw(np.array(list("abcd")), 20_000).mean(axis=0) == pytest.approx(np.ones(4), abs=0.03)


def test_percentile_interval_of_a_mean_agrees_with_scipys() -> None:
    sample = np.random.default_rng(3).normal(size=60)
    weights = draw(np.arange(60).astype(str), 5000)
    got = stats.percentile_interval(weights @ sample / weights.sum(axis=1), confidence=0.9)
    expected = oracle.bootstrap(
        (sample,), np.mean, n_resamples=5000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    assert got == pytest.approx((expected.low, expected.high), abs=0.02)


def test_percentile_interval_leaves_out_undefined_resamples() -> None:
    values = np.array([np.nan, 0.0, 1.0, np.nan, 0.5])
    assert stats.percentile_interval(values, confidence=0.5) == (0.25, 0.75)


def test_percentile_interval_of_nothing_defined_is_nan() -> None:
    assert np.isnan(stats.percentile_interval(np.full(3, np.nan), confidence=0.95)).all()


def test_delong_gives_the_published_comparison() -> None:
    """113 patients after subarachnoid haemorrhage: Turck et al., Intensive Care Medicine 36 (2010).

    The areas, Z and p are what pROC prints for them: Robin et al., BMC Bioinformatics 12:77 (2011).
    """
    poor, wfns, s100b = np.loadtxt(Path(__file__).with_name("asah.csv"), delimiter=",", skiprows=1).T
    found = stats.delong(poor == 1, wfns, s100b)
    assert found.auc_a == pytest.approx(0.8236789, abs=1e-7)
    assert found.auc_b == pytest.approx(0.7313686, abs=1e-7)
    assert (found.auc_a - found.auc_b) / np.sqrt(found.variance) == pytest.approx(2.209, abs=5e-4)
    assert found.p_value == pytest.approx(0.02718, abs=5e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_delong_by_its_definition_and_alike_from_either_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(14) < 6)
    a, b = np.round(rng.uniform(size=(2, 14)), 1)

    def placements(scores: np.ndarray) -> np.ndarray:
        return np.array([[(x > y) + (x == y) / 2 for y in scores[~positive]] for x in scores[positive]])

    gained = placements(a) - placements(b)
    variance = gained.mean(axis=1).var(ddof=1) / 6 + gained.mean(axis=0).var(ddof=1) / 8
    found, other = stats.delong(positive, a, b), stats.delong(positive, b, a)
    assert (found.auc_a, found.auc_b) == pytest.approx((roc_auc_score(positive, a), roc_auc_score(positive, b)))
    assert found.variance == pytest.approx(variance, abs=1e-12)
    assert (other.variance, other.p_value) == pytest.approx((found.variance, found.p_value))
    assert stats.delong(positive, a, 3 * a).p_value == 1


def test_bounds_hold_all_together_as_often_as_they_promise() -> None:
    rng, held, alone = np.random.default_rng(7), 0, 0
    for _ in range(300):
        sample = rng.standard_normal((60, 8)) + rng.standard_normal((60, 1))  # eight values, correlated, truly 0
        draws = rng.multinomial(60, np.full(60, 1 / 60), size=400) / 60
        mean, resampled = sample.mean(axis=0), draws @ sample
        held += bool((stats.simultaneous_upper_bounds(mean, resampled, confidence=0.9) >= 0).all())
        alone += bool((np.quantile(resampled, 0.9, axis=0) >= 0).all())
    assert 0.85 <= held / 300 <= 0.94
    assert alone < held


def test_a_value_that_never_moves_is_its_own_bound_and_costs_the_others_nothing() -> None:
    rng = np.random.default_rng(1)
    moving = rng.standard_normal((500, 1))
    (alone,) = stats.simultaneous_upper_bounds(np.zeros(1), moving, confidence=0.95)
    both = np.hstack([np.full((500, 1), 0.25), moving])
    assert stats.simultaneous_upper_bounds(np.array([0.25, 0.0]), both, confidence=0.95) == pytest.approx([0.25, alone])
    assert alone == pytest.approx(1.645, abs=0.2)
    assert np.isnan(stats.simultaneous_upper_bounds(np.zeros(1), np.full((3, 1), np.nan), confidence=0.9)).all()
