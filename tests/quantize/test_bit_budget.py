"""Bits by layer: the choice against all choices, what a layer costs, and files within their budget."""

from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.litert import flatbuffer
from stages.core.project.errors import DataError, ParameterError
from stages.quantize import bit_budget, weight_layers
from stages.quantize.bit_budget import Sensitivity
from stages.quantize.params import QuantizeParams
from stages.quantize.post_training import PostTraining
from stages.runtime.litert import Model
from tests.quantize.test_schemes import with_weights_of

NAME = "static_wimixed_ai8"
COSTS = st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), max_size=7)


def made(float32: bytes, clips: np.ndarray, raw_bytes: int | None = None, **params: Any) -> bytes:
    scheme, config = QuantizeParams(options={NAME: {"raw_bytes": raw_bytes}}, **params).scheme(NAME)
    result: bytes = scheme.quantize(config, float32, clips)
    scheme.verify(config, result)
    return result


def plain(name: str, float32: bytes, clips: np.ndarray, **params: Any) -> bytes:
    scheme, config = QuantizeParams(**params).scheme(name)
    result: bytes = scheme.quantize(config, float32, clips)
    return result


def narrow(model: bytes) -> set[str]:
    return {weight.name for weight in flatbuffer.read(model).weights if weight.dtype == "int4"}


@given(COSTS, st.integers(0, 400))
def test_no_set_of_layers_that_saves_enough_costs_less(costs: list[tuple[int, float]], needed: int) -> None:
    sensitive = [Sensitivity(str(i), *cost) for i, cost in enumerate(costs)]
    sets = chain.from_iterable(combinations(sensitive, n) for n in range(len(sensitive) + 1))
    enough = [each for each in sets if sum(layer.saved for layer in each) >= needed]
    found = [choice for choice in bit_budget.front(sensitive) if choice.saved >= needed]
    assert bool(found) == bool(enough)
    if enough:
        assert found[0].loss == pytest.approx(min(sum(layer.loss for layer in each) for each in enough))
        chosen = [layer for layer in sensitive if layer.kernel in found[0].kernels]
        assert found[0].saved == sum(layer.saved for layer in chosen)
        assert found[0].loss == pytest.approx(sum(layer.loss for layer in chosen))


@given(COSTS, st.integers(0, 20), st.floats(0, 1))
def test_the_file_keeps_the_budget_though_its_layers_take_more_than_their_weights(
    costs: list[tuple[int, float]], extra: int, share: float
) -> None:
    sensitive = [Sensitivity(str(i), *cost) for i, cost in enumerate(costs)]
    saved = {each.kernel: each.saved for each in sensitive}

    def size(kernels: Any) -> int:
        return 10_000 - sum(saved[kernel] for kernel in kernels) + extra * (len(kernels) % 2)

    smallest, largest = size(tuple(saved)), max(size(()), size(tuple(saved)))
    budget = round(smallest + share * (largest - smallest))
    assert size(bit_budget.choose(sensitive, size, budget, "limit")) <= budget
    with pytest.raises(ParameterError, match=f"limit must be at least the {smallest:,} bytes"):
        bit_budget.choose(sensitive, size, smallest - 1, "limit")


def test_a_layer_costs_what_the_scores_move_when_it_alone_is_rounded(float32: bytes, clips: np.ndarray) -> None:
    layers = weight_layers.find(float32)
    found = bit_budget.sensitivities(float32, clips, layers, 4, PostTraining())
    four = plain("dynamic_wi4_afp32", float32, clips)
    stored = flatbuffer.float_constants(with_weights_of(four, float32))
    expected = Model(float32).run(clips)
    for layer, each in zip(layers, found, strict=True):
        assert each.saved == np.prod(layer.shape) // 2
        if layer.kernel in narrow(four):
            alone = flatbuffer.with_float_constants(float32, {layer.kernel: stored[layer.kernel]})
            assert each.loss == pytest.approx(((Model(alone).run(clips) - expected) ** 2).mean(), rel=1e-3)
            assert each.loss > 0


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="nearest"),
        pytest.param({"weight_rounding": "gptq", "equalisation": "activations"}, id="all", marks=pytest.mark.thorough),
    ],
)
def test_a_file_keeps_its_budget_and_comes_nearer_with_more_bytes(
    params: dict[str, Any], float32: bytes, clips: np.ndarray
) -> None:
    eight, four = (plain(f"static_wi{bits}_ai8", float32, clips, **params) for bits in (8, 4))
    budgets = np.linspace(len(four), len(eight), 4).astype(int).tolist()
    files = [made(float32, clips, budget, **params) for budget in budgets]
    assert all(len(file) <= budget for file, budget in zip(files, budgets, strict=True))
    assert files[0] == four
    assert not narrow(files[-1])
    assert 0 < len(narrow(files[2])) < len(narrow(four))
    expected = Model(float32).run(clips)
    distances = [float(((Model(file).run(clips) - expected) ** 2).mean()) for file in files]
    assert distances[0] > 1.3 * distances[2]
    middle = made(float32, clips, **params)  # no budget
    assert len(four) < len(middle) <= (len(four) + len(eight)) // 2


def test_a_budget_that_no_choice_keeps_is_one_sentence(float32: bytes, clips: np.ndarray) -> None:
    four = len(plain("static_wi4_ai8", float32, clips))
    with pytest.raises(ParameterError, match=rf"{NAME}.raw_bytes must be at least the {four:,} bytes .*; got 1,000"):
        made(float32, clips, 1000)
    with pytest.raises(ParameterError, match=r"raw_bytes must be more than 0, or null; got 0"):
        made(float32, clips, 0)
    with pytest.raises(DataError, match=rf"{NAME} must be given calibration clips, .*; got none"):
        plain(NAME, float32, {})  # type: ignore[arg-type]
