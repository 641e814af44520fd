"""Beside the naive reference and chance: what may be deployed, and what is warned of."""

from dataclasses import replace

import pytest

from stages.core.artifacts.estimates import Estimate, SplitMetrics
from stages.core.artifacts.naive import Figures, Naive
from stages.core.artifacts.variant import Variant
from stages.select.standing import standing
from tests.messages import line_with

CHANCE = {side: {"accuracy": 0.5} for side in ("validation", "test")}


def variant(validation: Estimate, test: Estimate) -> Variant:
    metrics = {
        side: SplitMetrics(n=50, groups=12, pooled={"accuracy": estimate})
        for side, estimate in (("validation", validation), ("test", test))
    }
    blank = dict.fromkeys(("name", "key", "criterion", "schedule", "scheme", "sha256"), "")
    numbers = dict.fromkeys(("bit_width", "seed", "raw_bytes", "deflated_bytes"), 1)
    fractions = dict.fromkeys(("sparsity", "measured_sparsity", "keras_difference"), 0.0)
    return Variant(**blank, **numbers, **fractions, operators={}, metrics=metrics)  # type: ignore[arg-type]


def naive(validation: float, test: float) -> Naive:
    first, last = (Figures(50, 12, {"accuracy": Estimate(v, v - 0.1, v + 0.1)}) for v in (validation, test))
    return Naive("trees", "accuracy", {"trees": validation}, 301, first, last, CHANCE)


@pytest.mark.parametrize(
    "validation, test, deployed",
    [
        (Estimate(0.9, 0.8, 0.95), Estimate(0.8, 0.7, 0.9), True),
        (Estimate(0.6, 0.45, 0.7), Estimate(0.8, 0.7, 0.9), False),  # may be chance on validation
        (Estimate(0.9, 0.8, 0.95), Estimate(0.416, 0.3, 0.6), False),  # the patients' coughs of the issue
        (Estimate(0.6), Estimate(0.55), True),  # too few groups for an interval: the values decide
        (Estimate(0.5), Estimate(0.9), False),
        (Estimate(None), Estimate(0.9), False),
    ],
)
def test_better_than_chance(validation: Estimate, test: Estimate, deployed: bool) -> None:
    chosen = variant(validation, test)
    found = standing(chosen, chosen, naive(0.4, 0.4), "accuracy")
    assert found is not None
    assert found.beats_chance is deployed
    assert (line_with(found.warning, "chance")) is not deployed


def test_worse_than_naive_is_warned_of_and_may_be_deployed() -> None:
    chosen = variant(Estimate(0.8, 0.7, 0.9), Estimate(0.55, 0.51, 0.6))
    found = standing(chosen, chosen, naive(0.7, 0.69), "accuracy")
    assert found is not None
    assert found.beats_chance
    assert line_with(found.warning, "accuracy 0.550 [0.510, 0.600]", "0.690")


def test_better_than_naive_is_no_warning() -> None:
    chosen = variant(Estimate(0.8, 0.7, 0.9), Estimate(0.8, 0.7, 0.9))
    found = standing(chosen, replace(chosen, scheme="float32"), naive(0.7, 0.69), "accuracy")
    assert found is not None
    assert found.warning == ""


def test_a_metric_without_chance() -> None:
    chosen = variant(Estimate(0.8), Estimate(0.8))
    assert standing(chosen, chosen, naive(0.7, 0.7), "sensitivity_at_specificity") is None
