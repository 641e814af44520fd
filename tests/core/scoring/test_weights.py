"""Weights by group against the matrix of the clips' weights that they stand for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.scoring import weights as weights_of
from stages.core.scoring.metrics import METRICS, evaluate, measure
from stages.core.scoring.weights import GroupWeights, in_parts


def grouped(rng: np.random.Generator, n: int, n_groups: int, n_rows: int) -> tuple[GroupWeights, np.ndarray]:
    of_groups, group_of = rng.integers(0, 4, (n_rows, n_groups)).astype(np.uint8), rng.integers(0, n_groups, n)
    return GroupWeights(of_groups, group_of), of_groups[:, group_of].astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32))
def test_it_multiplies_sums_and_takes_as_the_matrix_does(n: int, n_groups: int, n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, matrix = grouped(rng, n, n_groups, n_rows)
    for values in (rng.normal(size=n), rng.normal(size=(n, 3)), rng.uniform(size=n) < 0.5):
        np.testing.assert_allclose(ours @ values, matrix @ values, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(ours.sum(axis=1), matrix.sum(axis=1))
    clips = rng.integers(0, n, 7)
    np.testing.assert_array_equal(ours.take(clips, axis=-1), matrix[:, clips])
    np.testing.assert_array_equal(ours.restricted(clips).take(np.arange(7)), matrix[:, clips])


def test_parts_are_all_rows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, matrix = grouped(np.random.default_rng(1), 10, 4, 7)
    monkeypatch.setattr(weights_of, "_PART", 20)
    monkeypatch.setattr(weights_of, "_PRODUCT", 8)
    assert [len(part) for part in ours.parts()] == [2, 2, 2, 1]
    np.testing.assert_array_equal(in_parts(ours, lambda part: part.sum(axis=-1)), matrix.sum(axis=1))
    np.testing.assert_array_equal(ours @ np.ones(10), matrix.sum(axis=1))


@pytest.mark.parametrize("task", ["binary", "multi-class", "multi-label"])
def test_every_metric_is_that_of_the_matrix(task: str, rng: np.random.Generator) -> None:
    """To the bit where it counts clips; where it adds scores, but for the order in which they are added."""
    n, n_classes = 200, 4
    y = rng.integers(0, 2 if task == "binary" else n_classes, n)
    scores = np.round(rng.uniform(size=n if task == "binary" else (n, n_classes)), 2)
    if task == "multi-label":
        y = rng.integers(0, 2, (n, n_classes))
    ours, matrix = grouped(rng, n, 30, 50)
    by_group, by_clip = evaluate(y, scores, ours), evaluate(y, scores, matrix)
    for name in METRICS:
        np.testing.assert_array_equal(measure(name, y, scores, ours), by_group[name], err_msg=name)
        if name in ("pr_auc", "calibration_error"):
            np.testing.assert_allclose(by_group[name], by_clip[name], rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(by_group[name], by_clip[name], err_msg=name)
