"""Schedules against hand arithmetic, and the section's own checks."""

from typing import Any

import pytest

from stages.core.project import params as core_params
from stages.core.project import plugins
from stages.core.project.errors import ParameterError
from stages.prune.params import CRITERIA, SCHEDULES, PruneParams, sparsity_at


def renewals(schedule: str, options: dict[str, Any], *, target: float, n_steps: int) -> dict[int, float]:
    at = sparsity_at(PruneParams(options={schedule: options}), schedule, target=target, n_steps=n_steps)
    return {step: sparsity for step in range(1, n_steps + 1) for due, sparsity in [at(step)] if due}


def test_constant_is_at_its_target_before_every_step() -> None:
    assert renewals("constant", {}, target=0.75, n_steps=4) == dict.fromkeys(range(1, 5), 0.75)


def test_constant_less_often_still_renews_before_the_last_step() -> None:
    assert renewals("constant", {"frequency": 3}, target=0.75, n_steps=8) == dict.fromkeys((1, 4, 7, 8), 0.75)


def test_polynomial_is_zhu_and_guptas_cubic() -> None:
    """Half way, 0.8 (1 - 0.5³) = 0.7; after a quarter 0.8 (1 - 0.75³) = 0.4625; with power 1, a line."""
    cubic = renewals("polynomial", {"frequency": 100}, target=0.8, n_steps=400)
    assert cubic == pytest.approx({100: 0.4625, 200: 0.7, 300: 0.7875, 400: 0.8})
    line = renewals("polynomial", {"frequency": 2, "power": 1, "initial_sparsity": 0.2}, target=0.8, n_steps=4)
    assert line == pytest.approx({2: 0.5, 4: 0.8})


@pytest.mark.thorough
def test_polynomial_reaches_the_target_where_edac_missed_it() -> None:
    """880 steps at frequency 100: tfmot's last renewal, at 800, would leave 1.75 times the weights of 99.9 %."""
    steps = renewals("polynomial", {"frequency": 100}, target=0.999, n_steps=880)
    assert (1 - steps[800]) / (1 - 0.999) == pytest.approx(1.75, abs=0.005)
    assert steps[880] == pytest.approx(0.999)


def test_polynomial_can_end_early() -> None:
    whole = renewals("polynomial", {"frequency": 3}, target=0.8, n_steps=30)
    early = renewals("polynomial", {"frequency": 3, "end": 0.5}, target=0.8, n_steps=60)
    assert early == whole
    assert renewals("polynomial", {"end": 0.01}, target=0.8, n_steps=9) == pytest.approx({1: 0.8})


def test_one_shot_is_at_the_first_step_alone() -> None:
    assert renewals("one_shot", {}, target=0.75, n_steps=4) == {1: 0.75}


def test_iterative_takes_the_same_fraction_of_what_is_left_in_every_round() -> None:
    """To 87.5 % in 3 rounds: half of what is left in each."""
    steps = renewals("iterative", {"rounds": 3}, target=0.875, n_steps=12)
    assert steps == pytest.approx({1: 0.5, 5: 0.75, 9: 0.875})
    assert renewals("iterative", {"rounds": 3}, target=0.875, n_steps=2) == pytest.approx({1: 0.75, 2: 0.875})


def test_iterative_by_removals_per_round() -> None:
    """10 units to 75 %: 8 removals (7.5 rounded to even), 3 in a round."""
    options = {"iterative": {"removals_per_round": 3}}
    at = sparsity_at(PruneParams(options=options), "iterative", target=0.75, n_steps=9, n_units=10)
    assert {step: at(step)[1] for step in range(1, 10) if at(step)[0]} == pytest.approx({1: 0.3, 4: 0.6, 7: 0.75})


@pytest.mark.parametrize("schedule", plugins.names(SCHEDULES))
@pytest.mark.parametrize("n_steps", [1, 7, 39])
def test_every_schedule_ends_at_its_target_and_never_falls(schedule: str, n_steps: int) -> None:
    steps = renewals(schedule, {}, target=0.9, n_steps=n_steps)
    assert steps[max(steps)] == pytest.approx(0.9)
    sparsities = [steps[step] for step in sorted(steps)]
    assert sparsities == sorted(sparsities)
    assert all(0 <= sparsity < 1 for sparsity in sparsities)


@pytest.mark.parametrize(
    "schedule, options, sentence",
    [
        ("constant", {"frequency": 0}, "prune.options.constant.frequency .*got 0"),
        ("polynomial", {"power": 0}, "prune.options.polynomial.power must be at least 1; got 0"),
        ("polynomial", {"initial_sparsity": 50.0}, r"initial_sparsity must be a fraction in \[0, 1\); got 50.0"),
        ("polynomial", {"end": 0}, r"prune.options.polynomial.end must be a fraction in \(0, 1\]; got 0"),
        ("polynomial", {"begin": 1}, "prune.options.polynomial has no parameter 'begin'"),
        ("linear", {}, "prune.options .*'linear'.* Known: constant, "),
    ],
)
def test_bad_options(schedule: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        renewals(schedule, options, target=0.5, n_steps=2)


def test_an_unknown_schedule_lists_the_known() -> None:
    with pytest.raises(ParameterError, match=r"got 'cubic'.*Known: constant, iterative, one_shot, polynomial"):
        sparsity_at(PruneParams(), "cubic", target=0.5, n_steps=1)


def test_options_of_criteria_and_schedules_share_a_table() -> None:
    params = PruneParams(options={"taylor": {"warm_up": 3}, "constant": {"frequency": 2}})
    assert params.plug_in(CRITERIA, "taylor")[1].warm_up == 3
    assert sparsity_at(params, "constant", target=0.5, n_steps=9)(2)[0] is False


def test_the_committed_section_loads() -> None:
    assert core_params.section("prune", PruneParams).scope == "layer"
