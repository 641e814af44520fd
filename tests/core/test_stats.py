import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from stages.core import stats


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
