import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.scoring import resampling
from stages.core.scoring.resampling import Draws


def draw(groups: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """Weights of clips in the resamples."""
    draws = Draws.of(np.zeros(len(groups), int), groups, 2, resamples=resamples, seed=seed)
    return draws.weights.take(np.arange(len(groups)))[-resamples:]


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


def test_draws_are_numpys_however_many_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = np.random.default_rng(3).multinomial(5, np.full(5, 1 / 5), size=50)
    for block in (4_000_000, 15):
        resampling.group_draws.cache_clear()
        monkeypatch.setattr(resampling, "_BLOCK", block)
        np.testing.assert_array_equal(resampling.group_draws(5, resamples=50, seed=3), expected)


def test_draws_are_made_once_and_cannot_be_changed() -> None:
    first, second = (draws_of([0, 1, 1], "abc"), draws_of([1, 1, 0], "xyz"))
    names = {"resamples": first.resamples, "seed": first.seed}
    assert resampling.group_draws(first.n_groups, **names) is resampling.group_draws(second.n_groups, **names)
    with pytest.raises(ValueError, match="read-only"):
        resampling.group_draws(3, resamples=5, seed=1)[0, 0] = 1


def test_every_group_is_drawn_once_on_average() -> None:
    assert draw(np.array(list("abcd")), 20_000).mean(axis=0) == pytest.approx(np.ones(4), abs=0.03)


def draws_of(y: list[int], groups: str, resamples: int = 50) -> Draws:
    return Draws.of(np.array(y), np.array(list(groups)), 2, resamples=resamples, seed=1)


def test_each_group_is_left_out_once() -> None:
    draws = draws_of([0, 0, 1, 1, 1], "aabcc")
    counted = draws.measure(lambda weights: weights.sum(axis=1))
    assert counted.value == 5
    assert sorted(counted.left_out.tolist()) == [3, 3, 4]
    assert counted.resampled.shape == (50,)


def test_from_a_thousand_groups_on_they_are_left_out_together() -> None:
    y = np.arange(2500) % 2
    draws = Draws.of(y, np.arange(2500).astype(str), 2, resamples=2, seed=1)
    left = 2500 - draws.measure(lambda weights: weights.sum(axis=1)).left_out
    assert (len(left), left.sum(), set(left)) == (1000, 2500, {2, 3})


@pytest.mark.parametrize(
    ("y", "groups", "by_class", "said"),
    [
        ([0, 1] * 5, "abcdefghij", True, ""),
        ([0, 1] * 5, "aabbccddee", False, "5 groups; an interval needs 10"),
        ([1, 1] + [0] * 8, "abcdefghij", True, "2 groups of a class; an interval needs 3"),
        ([1, 1] + [0] * 8, "abcdefghij", False, ""),
    ],
)
def test_few_groups_are_refused(y: list[int], groups: str, by_class: bool, said: str) -> None:
    assert draws_of(y, groups).refusal(by_class=by_class) == said


def test_several_labels_are_limited_by_the_rarest_answer() -> None:
    y = np.ones((20, 2), int)
    y[:10, 0], y[:2, 1] = 0, 0
    draws = Draws.of(y, np.arange(20).astype(str), 2, resamples=10, seed=1)
    assert draws.rarest_class_groups == 2
