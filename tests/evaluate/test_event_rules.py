"""Event rules are chosen on a validation stream: thresholds per label, refractory time, and what they promise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.scoring.detection import Sounds, TrueEvent, match
from stages.evaluate import event_rules
from stages.runtime.events import Windows, find_events


def heard(scores: np.ndarray, labels: tuple[str, ...]) -> Windows:
    n = len(scores)
    return Windows(scores, np.arange(n, dtype=float), np.ones(n, bool), 1.0, 1.0, labels)


def two_words() -> tuple[Windows, list[TrueEvent]]:
    """Scores of a word that is surely told, of events at 0.6 and nothing else, and of one with false alarms at 0.7."""
    scores = np.zeros((400, 2))
    scores[5::40, 0] = 0.6
    scores[15::40, 1] = 0.9
    scores[25::40, 1] = 0.7
    truth = [TrueEvent("sure", float(at), at + 1.0) for at in range(5, 400, 40)]
    truth += [TrueEvent("unsure", float(at), at + 1.0) for at in range(15, 400, 40)]
    return heard(scores, ("sure", "unsure")), truth


def test_a_label_has_its_own_threshold_where_one_for_all_would_miss_events() -> None:
    windows, truth = two_words()
    (shared,) = event_rules.choose(
        windows, truth, ["sure", "unsure"], sounds=Sounds.of(truth, hours=2.0), targets=[1.0]
    )
    assert shared is not None
    assert len(set(shared.on.values())) == 1
    assert not match(truth, find_events(windows, shared)).detected.all()
    (rule,) = event_rules.choose(
        windows, truth, ["sure", "unsure"], sounds=Sounds.of(truth, hours=2.0), targets=[1.0], per_label=True
    )
    assert rule is not None
    assert rule.on["sure"] <= 0.6 < 0.7 < rule.on["unsure"]
    found = match(truth, find_events(windows, rule))
    assert found.detected.all()
    assert found.n_false == 0


def test_one_threshold_stays_where_a_second_false_alarm_is_not_allowed() -> None:
    windows, truth = two_words()
    (rule,) = event_rules.choose(
        windows, truth, ["sure", "unsure"], sounds=Sounds.of(truth, hours=1.0), targets=[1.0], per_label=True
    )
    assert rule is not None
    assert len(set(rule.on.values())) == 1


def test_a_refractory_time_is_taken_where_it_spares_false_alarms() -> None:
    scores = np.zeros((400, 1))
    scores[5::40], scores[7::40] = 0.9, 0.9  # every event echoes two windows later, after the gap that is merged
    truth = [TrueEvent("word", float(at), at + 1.0) for at in range(5, 400, 40)]
    windows = heard(scores, ("word",))
    (rule,) = event_rules.choose(windows, truth, ["word"], sounds=Sounds.of(truth, hours=1.0), targets=[3.0])
    assert rule is not None
    assert rule.refractory_s == 2.0
    assert match(truth, find_events(windows, rule)).detected.all()


@pytest.mark.parametrize("targets", [[1.0, 4.0], [0.1]])
def test_a_stream_without_events_gives_a_rule_that_keeps_the_target_or_none(targets: list[float]) -> None:
    scores = np.random.default_rng(3).beta(1, 8, (1800, 2))
    windows = heard(scores, ("yes", "no"))
    for target, rule in zip(
        targets,
        event_rules.choose(
            windows, [], ["yes", "no"], sounds=Sounds.of([], hours=2.0), targets=targets, per_label=True
        ),
        strict=True,
    ):
        if target * 2 < 1:
            assert rule is None
        else:
            assert rule is not None
            assert len(find_events(windows, rule)) + 1 <= target * 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=4), min_size=2, max_size=3),
    st.integers(0, 9),
)
def test_thresholds_per_label_are_the_best_within_the_budget(each: list[list[tuple[int, int]]], budget: int) -> None:
    tried = {
        f"label{i}": [
            event_rules._Limits(0.5, 0.5, np.zeros(n_false, int), n_false + 1, missed) for n_false, missed in options
        ]
        for i, options in enumerate(each)
    }
    sums = [
        sum(limits.missed for limits in chosen)
        for chosen in itertools.product(*tried.values())
        if sum(limits.cost for limits in chosen) <= budget
    ]
    found = event_rules._apart(tried, budget)
    assert bool(found) == bool(sums)
    if sums:
        assert sum(limits.missed for limits in found.values()) == min(sums)
        assert sum(limits.cost for limits in found.values()) <= budget


@pytest.mark.thorough
def test_false_alarms_that_come_together_cost_a_cluster_more() -> None:
    """Six alarms of one speaker of five at 0.7: another stream may have a second such speaker, so that 7 is too few."""
    scores, words = np.zeros((1200, 1)), np.arange(10, 1200, 20)
    scores[words[::2], 0] = 0.9
    truth = [TrueEvent("word", float(at), at + 1.0, str(i % 5)) for i, at in enumerate(words[::2].tolist())]
    others = [TrueEvent("", float(at), at + 1.0, str(i % 5)) for i, at in enumerate(words[1::2].tolist())]
    scores[words[::2][-1], 0] = 0.6  # one event that only a threshold below the alarms finds
    sounds = Sounds.of([*truth, *others], hours=1.0)

    def on_for(alarms: np.ndarray) -> list[float]:
        altered = scores.copy()
        altered[alarms, 0] = 0.7
        chosen = event_rules.choose(heard(altered, ("word",)), truth, ["word"], sounds=sounds, targets=[7.0, 20.0])
        return [rule.on["word"] for rule in chosen if rule is not None]

    apart = on_for(words[1::2][:6])
    assert max(apart) <= 0.6
    together = on_for(words[1::10])
    assert together[0] > 0.7
