"""The promises of `docs/promises.md`, in few runs; `python -m tests.bench.coverage` makes its table."""

import numpy as np
import pytest

from tests.bench.coverage import bounds, intervals, others
from tests.bench.coverage.samples import Setting


@pytest.mark.parametrize(
    ("metric", "setting"),
    [
        ("roc_auc", Setting(10, auc=0.9)),
        ("roc_auc", Setting(20, 5, alike=0.5)),
        ("accuracy", Setting(10, 5, alike=0.5)),
        ("f1", Setting(20, prevalence=0.2)),
    ],
)
def test_the_interval_of_a_metric_covers_and_the_percentile_bootstrap_did_not(metric: str, setting: Setting) -> None:
    before, now = intervals.coverage(metric, setting, 120)
    assert now >= 0.93
    assert before < 0.93
    assert before < now


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_the_interval_of_a_drop_covers(metric: str) -> None:
    before, now = intervals.drop_coverage(metric, Setting(20, auc=0.9), 0.03, 0.99, 120)
    assert now >= 0.92
    assert before < now


@pytest.mark.thorough
@pytest.mark.parametrize(
    "case", [("accuracy", 163, 1, 0.85, 0.998, 0.02), ("roc_auc", 20, 5, 0.9, 0.99, 0.1)], ids=["accuracy", "roc_auc"]
)
def test_the_bound_of_all_drops_fails_seldom_and_the_studentised_one_often(
    case: tuple[str, int, int, float, float, float],
) -> None:
    before, now = bounds.errors(case, 60)
    assert now <= 0.1  # 0.05 promised; 60 runs
    assert before > 0.15


@pytest.mark.thorough
def test_a_gain_that_is_none_seldom_seems_one() -> None:
    for shared in (0.0, 0.2):
        before, now = others.gain_errors(shared, 1500)
        assert now <= 0.065
        assert before > 0.15


@pytest.mark.thorough
def test_the_chance_that_is_stated_is_about_the_truth() -> None:
    worse, stated = others.choice("roc_auc", 163, 40)
    assert stated == pytest.approx(worse, abs=0.2)


def test_a_perfect_score_misses_less_than_it_may() -> None:
    (six, *_) = others.perfect_scores(200)
    assert six.before == "[1.000, 1.000]"
    assert float(six.now.split("misses ")[1]) <= 0.025
    assert np.isclose(float(six.now[1:6]), 0.025 ** (1 / 6), atol=1e-3)
