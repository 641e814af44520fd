"""Event metrics against sed_eval's figures, and intervals by simulation."""

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.scoring import detection
from stages.core.scoring.detection import TrueEvent, event_f1, match
from stages.runtime.events import Event

ORACLE = Path(__file__).with_name("sed_eval.json")


def read(case: dict[str, Any]) -> tuple[list[TrueEvent], list[Event]]:
    truth = [TrueEvent(*each) for each in case["truth"]]
    return truth, [Event(label, onset, offset, 1.0, offset) for label, onset, offset in case["found"]]


def test_event_f1_is_sed_evals() -> None:
    cases = json.loads(ORACLE.read_text())["cases"]
    assert len(cases) > 30
    wrong = []
    for i, case in enumerate(cases):
        truth, found = read(case)
        ours = event_f1(truth, found), event_f1(truth, found, offset_part=None)
        if not np.allclose(ours, (case["f1"], case["f1_onsets"]), atol=1e-9):
            wrong.append((i, ours, case["f1"], case["f1_onsets"]))
    assert wrong == []


def test_each_true_event_is_detected_once_and_the_rest_are_false_alarms() -> None:
    truth = [TrueEvent("a", 1.0, 2.0), TrueEvent("a", 1.5, 2.5), TrueEvent("b", 1.0, 2.0)]
    found = [
        Event("a", 0.5, 1.2, 1, 1.1),
        Event("a", 1.1, 2.4, 1, 1.6),
        Event("a", 1.2, 2.4, 1, 2),
        Event("c", 1, 2, 1, 2),
    ]
    matching = match(truth, found)
    assert matching.detected.tolist() == [True, True, False]
    assert matching.n_false == 2
    assert match([], found).n_false == 4
    assert match(truth, []).detected.tolist() == [False] * 3
    assert match([TrueEvent("a", 3.0, 4.0)], [Event("a", 4.2, 5, 1, 5)]).detected.all()
    assert not match([TrueEvent("a", 3.0, 4.0)], [Event("a", 4.3, 5, 1, 5)]).detected.any()


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0])
def test_poisson_intervals_cover_what_they_promise(rate: float) -> None:
    counts = np.random.default_rng(1).poisson(rate * 2.0, 2000)
    ends = [detection.poisson_interval(int(count), 2.0, confidence=0.9) for count in counts]
    assert np.mean([low <= rate <= high for low, high in ends]) >= 0.89


@pytest.mark.parametrize("spread, least", [(0.0, 0.94), (0.5, 0.94), (1.0, 0.9)])
def test_intervals_cover_rates_of_false_alarms_that_come_by_group(spread: float, least: float) -> None:
    """Twelve groups, whose rates differ by a log-normal factor of this deviation; Poisson's own covers 0.97 to 0.72."""
    rng, rate, n = np.random.default_rng(4), 12.0, 12
    sounds = detection.Sounds.of([TrueEvent("", float(i), i + 0.5, f"{i:02}") for i in range(n)], hours=2.0)
    covered = []
    for _ in range(1000):
        means = np.exp(spread * rng.normal(size=n) - spread**2 / 2) * rate * 2.0 / n
        clusters = np.repeat(np.arange(n), rng.poisson(means))
        dispersion = sounds.dispersion(clusters)
        low, high = detection.poisson_interval(len(clusters), 2.0, confidence=0.95, dispersion=dispersion)
        covered.append(low <= rate <= high)
    assert np.mean(covered) >= least


def test_an_alarm_that_a_repeated_background_raises_each_time_is_one_cluster() -> None:
    sounds = detection.Sounds.of([], hours=1.0, background_s=60.0)
    again = sounds.clusters([Event("a", 60.0 * i + 7.2, 60.0 * i + 8.0, 0.9, 60.0 * i + 8.2) for i in range(9)])
    assert len(set(again.tolist())) == 1
    assert sounds.dispersion(again) == 9.0
    assert sounds.dispersion(-np.arange(1, 10)) == 1.0


def test_the_examples_run() -> None:
    assert doctest.testmod(detection).failed == 0
