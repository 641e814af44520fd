"""AdaRound and GPTQ by themselves: against every rounding of a few weights, against another implementation, as laws."""

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithms.uniform_quantize import gptq as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.quantize import adaround, gptq
from stages.quantize.post_training import Method
from stages.quantize.rounding_error import Objective
from tests.quantize.rounding_problems import least, problem

METHODS = {"adaround": adaround.round_weights, "gptq": gptq.round_weights}
PARTS = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def errors(method: Method, seed: int, **shape: int | float) -> tuple[float, float]:
    weights, to, found = problem(seed, **shape)  # type: ignore[arg-type]
    integers = (to.nearest(weights), method(weights, to, found))
    nearest, ours = (float(found.error(to.values(each) - weights).sum()) for each in integers)
    return ours, nearest


@PARTS
def test_near_the_best_of_all_roundings_of_eight_weights(method: Method) -> None:
    """In the mean over layers of one filter, by the squared error; rounding to the nearest is worse."""
    ratios = []
    for seed in range(20):
        weights, to, found = problem(seed, rows=100, n_weights=8, filters=1)
        best = least(weights, to, found)
        ours, nearest = errors(method, seed, rows=100, n_weights=8, filters=1)
        ratios.append((ours / best, nearest / best))
    ours, nearest = np.median(ratios, axis=0)
    assert ours < 1.5
    assert nearest > 1.5 * ours


@PARTS
@pytest.mark.parametrize("rows", [30, 400], ids=["fewer rows than weights", "more"])
@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_the_error_of_a_layer_falls(method: Method, rows: int, gap: float) -> None:
    ours, nearest = errors(method, 1, rows=rows, n_weights=60, filters=12, gap=gap)
    assert ours < 0.6 * nearest


@PARTS
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([2, 4]), st.sampled_from([5, 40]), st.sampled_from([0.0, 0.6]))
def test_integers_of_the_grid_and_pruned_weights_stay_zero(
    method: Method, seed: int, bits: int, rows: int, zeros: float
) -> None:
    weights, to, found = problem(seed, rows=rows, n_weights=12, filters=3, zeros=zeros, bits=bits)
    integers = method(weights, to, found)
    assert np.array_equal(integers, np.rint(integers))
    assert np.abs(integers).max() <= to.last
    assert not integers[weights == 0].any()


@pytest.mark.thorough
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([5, 40]))
def test_adaround_moves_no_weight_further_than_to_a_neighbour(seed: int, rows: int) -> None:
    weights, to, found = problem(seed, rows=rows, n_weights=12, filters=3)
    steps = np.abs(adaround.round_weights(weights, to, found) - weights / to.scale)
    assert steps.max() < 1 + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 0.5]))
def test_both_forms_of_gptq_round_alike(seed: int, zeros: float, gap: float) -> None:
    """That of few rows, and that of second moments, of the same objective."""
    weights, to, found = problem(seed, rows=9, n_weights=12, filters=4, zeros=zeros, gap=gap)
    second = found.root.T @ found.root + found.damping * np.eye(12)
    root = np.linalg.cholesky(second).T
    dense = replace(found, root=root, gap=np.linalg.solve(root.T, found.root.T @ found.gap), damping=0.0)
    np.testing.assert_array_equal(gptq.round_weights(weights, to, found), gptq.round_weights(weights, to, dense))


def test_gptq_is_optimal_brain_surgery_weight_by_weight() -> None:
    """Frantar et al., equation 2, with the inverse computed anew for the weights that are left."""
    weights, to, found = problem(4, rows=300, n_weights=20, filters=6)
    order = np.argsort(-(found.root**2).sum(axis=0), kind="stable")
    second = (found.root.T @ found.root + found.damping * np.eye(20))[np.ix_(order, order)]
    left, expected = weights[:, order].copy(), np.empty_like(weights)
    for i in range(20):
        expected[:, order[i]] = to.nearest(left[:, [i]])[:, 0]
        inverse = np.linalg.inv(second[i:, i:])
        missing = left[:, i] - expected[:, order[i]] * to.scale[:, 0]
        left[:, i:] -= np.outer(missing, inverse[0]) / inverse[0, 0]
    np.testing.assert_array_equal(gptq.round_weights(weights, to, found), expected)


def test_gptq_errs_no_more_than_ai_edge_quantizers() -> None:
    """Theirs never updates its inverse, which the paper's does; it reaches -8 too."""
    weights, to, found = problem(5, rows=300, n_weights=40, filters=10)
    params = qtyping.UniformQuantParams(
        num_bits=4, quantized_dimension=0, scale=to.scale.astype(np.float32), zero_point=np.zeros((10, 1), np.int32)
    )
    config = qtyping.TensorQuantizationConfig(num_bits=4, granularity=qtyping.QuantGranularity.CHANNELWISE)
    hessian = {"hessian": (2 * found.root.T @ found.root).astype(np.float32)}
    integers = theirs._apply_gptq(weights.astype(np.float32), params, hessian, config).quantized_data
    ours = to.values(gptq.round_weights(weights, to, found))
    assert integers is not None
    assert found.error(ours - weights).sum() < found.error(to.values(integers) - weights).sum()


def test_without_correlation_gptq_rounds_to_the_nearest() -> None:
    weights, to, _ = problem(3, rows=5, n_weights=20, filters=4)
    found = Objective(np.eye(20), np.zeros((20, 4)), 0.0, np.zeros(20), np.zeros(4))
    np.testing.assert_array_equal(gptq.round_weights(weights, to, found), to.nearest(weights))
