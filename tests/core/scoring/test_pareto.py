"""The Pareto front against a search through all pairs."""

import math

from hypothesis import given
from hypothesis import strategies as st

from stages.core.scoring.pareto import pareto_front

costs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=15)


@given(costs)
def test_the_front_is_every_point_that_nothing_beats_and_each_once(points: list[tuple[int, int, int]]) -> None:
    def beaten(mine: tuple[int, int, int]) -> bool:
        return any(o != mine and all(a <= b for a, b in zip(o, mine, strict=True)) for o in points)

    assert pareto_front(points, lambda point: point) == sorted({point for point in points if not beaten(point)})


@given(costs)
def test_of_equals_the_first_is_kept(points: list[tuple[int, int, int]]) -> None:
    numbered = list(enumerate(points))
    for i, point in pareto_front(numbered, lambda pair: pair[1]):
        assert points.index(point) == i


def test_undefined_costs_are_left_out() -> None:
    assert pareto_front([(1.0, math.nan), (2.0, 3.0)], lambda point: point) == [(2.0, 3.0)]
