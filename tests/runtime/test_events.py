"""Events against connected runs (SciPy), against laws, and against vectors that the browser's mirror reads too."""

import doctest
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stages.runtime import events, stream
from stages.runtime.classify import Classifier
from stages.runtime.events import Event, EventRule, EventTracker, Windows, find_events

VECTORS = Path(__file__).with_name("event_vectors.json")
LABELS = ("a", "b")
HOP = 0.25


def windows(scores: np.ndarray, heard: np.ndarray | None = None, hop: float = HOP, window: float = 1.0) -> Windows:
    heard = np.ones(len(scores), bool) if heard is None else heard
    return Windows(scores, np.arange(len(scores)) * hop, heard, window, hop, LABELS)


LEVELS = st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.6, 0.9, 1.0])
SCORES = st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=40).map(np.array)
RULES = st.builds(
    lambda on, part, smooth, refractory, merge: EventRule(
        {"a": on, "b": 0.5}, {"a": on * part}, HOP, smooth, refractory, merge
    ),
    LEVELS.filter(bool),
    st.sampled_from([0.4, 1.0]),
    st.sampled_from(["mean:1", "mean:2", "mean:3", "exponential:0.5"]),
    st.sampled_from([0.0, 0.25, 0.6, 2.0]),
    st.sampled_from([0.0, 0.25, 0.3, 1.0]),
)


@given(SCORES, LEVELS.filter(bool), st.sampled_from([0, 1, 3]))
def test_with_one_threshold_events_are_the_runs_at_or_above_it_with_short_gaps_closed(
    scores: np.ndarray, limit: float, gap: int
) -> None:
    found = find_events(windows(scores), EventRule({"a": limit}, merge_s=gap * HOP))
    above = scores[:, 0] >= limit
    closed = above.copy()
    for (part,) in ndimage.find_objects(ndimage.label(~above)[0]):
        if part.start > 0 and part.stop < len(above) and part.stop - part.start <= gap:
            closed[part] = True
    runs = [part for (part,) in ndimage.find_objects(ndimage.label(closed)[0])]
    assert [(e.onset_s, e.offset_s) for e in found] == [
        (run.start * HOP + 0.375, (run.stop - 1) * HOP + 0.625) for run in runs
    ]
    assert [e.peak for e in found] == [scores[run, 0].max() for run in runs]
    assert [e.detected_s for e in found] == [run.start * HOP + 1.0 for run in runs]


@settings(max_examples=200)
@given(SCORES, RULES, st.data())
def test_laws_of_any_rule(scores: np.ndarray, rule: EventRule, data: st.DataObject) -> None:
    heard = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    sound = windows(scores, heard)
    found = find_events(sound, rule)
    assert found == sorted(found, key=lambda e: (e.onset_s, e.label))
    for label in LABELS:
        own = [e for e in found if e.label == label]
        assert all(0 <= e.onset_s < e.offset_s for e in own)
        assert all(rule.on[label] <= e.peak <= 1 for e in own)
        for earlier, later in itertools.pairwise(own):
            gap = later.onset_s - earlier.offset_s
            assert gap > rule.merge_s - 1e-9
            assert gap >= rule.refractory_s - 1e-9
    assert found == find_events(windows(np.where(heard[:, None], scores, 0.0)), rule), "what is not heard scores 0"
    only_a = find_events(sound, replace(rule, on={"a": rule.on["a"]}))
    assert only_a == [e for e in found if e.label == "a"], "labels do not hinder each other"


@pytest.mark.thorough
@settings(max_examples=300)
@given(SCORES, RULES, st.data())
def test_the_events_of_a_whole_are_those_of_the_stream(
    scores: np.ndarray, rule: EventRule, data: st.DataObject
) -> None:
    heard = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    starts = np.cumsum(data.draw(st.lists(st.sampled_from([HOP, 1.0]), min_size=len(scores), max_size=len(scores))))
    tracker, found = EventTracker(rule, LABELS, window_s=1.0, hop_s=HOP), list[Event]()
    for start, values, audible in zip(starts.tolist(), scores, heard.tolist(), strict=True):
        found += tracker.push(start, values, heard=audible)
    found += tracker.finish()
    whole = find_events(Windows(scores, starts, heard, 1.0, HOP, LABELS), rule)
    assert sorted(found, key=lambda e: (e.onset_s, e.label)) == whole


@given(SCORES, RULES, SCORES)
def test_an_event_that_was_told_is_not_changed_by_what_comes(
    scores: np.ndarray, rule: EventRule, later: np.ndarray
) -> None:
    def told(values: np.ndarray, n: int) -> list[Event]:
        tracker = EventTracker(rule, LABELS, window_s=1.0, hop_s=HOP)
        return [event for k in range(n) for event in tracker.push(k * HOP, values[k])]

    first = told(scores, len(scores))
    assert told(np.concatenate([scores, later]), len(scores)) == first
    whole = find_events(windows(np.concatenate([scores, later])), rule)
    assert all(event in whole for event in first)


def test_hysteresis_refractory_time_and_merging_by_hand() -> None:
    scores = np.zeros((20, 2))
    scores[[2, 3, 4, 5], 0] = (0.8, 0.5, 0.5, 0.3)  # on at 0.7, goes on at 0.4
    scores[[7, 12, 13], 0] = 0.9
    rule = EventRule({"a": 0.7}, {"a": 0.4}, refractory_s=1.0)
    found = find_events(windows(scores), rule)
    assert [(e.onset_s, e.offset_s, e.peak) for e in found] == [(0.875, 1.625, 0.8), (3.375, 3.875, 0.9)]
    merged = find_events(windows(scores), replace(rule, merge_s=0.5))
    assert [(e.onset_s, e.offset_s) for e in merged] == [(0.875, 2.375), (3.375, 3.875)]
    assert [(e.onset_s, e.offset_s) for e in find_events(windows(scores), replace(rule, refractory_s=0.5))] == [
        (0.875, 1.625),
        (2.125, 2.375),
        (3.375, 3.875),
    ]


def test_the_delay_of_smoothing_is_taken_out_of_the_times() -> None:
    scores = np.zeros((30, 2))
    scores[10:20, 0] = 1.0
    (plain,) = find_events(windows(scores), EventRule({"a": 0.5}))
    (mean,) = find_events(windows(scores), EventRule({"a": 0.6}, smooth="mean:3"))
    assert (mean.onset_s, mean.offset_s) == (plain.onset_s, plain.offset_s)
    assert mean.detected_s == plain.detected_s + HOP


def vectors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text())["cases"]
    return found


@pytest.mark.parametrize("case", vectors(), ids=lambda case: case["name"])
def test_the_vectors_that_other_programs_read(case: dict[str, Any]) -> None:
    rule = events.parse(case["rule"], case["labels"])
    sound = Windows(
        np.array(case["scores"]),
        np.array(case["starts_s"]),
        np.array(case["heard"]),
        case["window_s"],
        case["hop_s"],
        tuple(case["labels"]),
    )
    assert [event.answer() for event in find_events(sound, rule)] == case["events"]


def test_a_stream_tells_each_event_once_it_is_over(releases: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(releases[1])
    scores = iter([0.1, 0.9, 0.8, 0.1, 0.1, 0.1, 0.7])
    monkeypatch.setattr(classifier, "scored", lambda *_: (np.array([next(scores)]), None))
    monkeypatch.setattr(classifier, "is_silent", lambda *_: False)
    chunks = iter([np.zeros(8000 + 6 * 2000, np.float32)])
    rule = EventRule({"positive": 0.5}, hop_s=0.25, merge_s=0.25)
    answers = list(stream.listen_events(classifier, chunks, 8000, rule, with_windows=True))
    kinds = ["event" if "event" in answer else answer["label"] for answer in answers]
    assert kinds == ["negative", *["positive"] * 2, *["negative"] * 3, "event", "positive", "event"]
    assert answers[6] == {
        "event": "positive",
        "onset_s": 0.625,
        "offset_s": 1.125,
        "peak": 0.9,
        "detected_s": 1.25,
        "dropped": 0,
    }


def test_nothing_silent_is_an_event(releases: dict[int, Path]) -> None:
    chunks = iter([np.zeros(40_000, np.float32)])
    rule = EventRule({"a": 1e-6, "b": 1e-6, "c": 1e-6}, hop_s=0.5)
    assert list(stream.listen_events(Classifier(releases[3]), chunks, 8000, rule)) == []


@pytest.mark.parametrize("output", ["events", "both"])
def test_listen_prints_one_line_per_event(releases: dict[int, Path], output: str) -> None:
    loud = np.zeros(8000 * 6)
    loud[16_000:24_000] = np.random.default_rng(0).uniform(-1, 1, 8000)
    command = [sys.executable, "-m", "stages.runtime", "listen", "--folder", str(releases[3]), "--output", output]
    command += ["--hop-s", "0.5", "--threshold", "0.3", "--merge-s", "0.5"]
    content = np.rint(loud * 32767).astype("<i2").tobytes()
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [line for line in lines if "event" in line]
    assert found
    assert all(1.0 <= line["onset_s"] < line["offset_s"] <= 4.0 for line in found)
    assert len(lines) - len(found) == (11 if output == "both" else 0)


@pytest.mark.parametrize(
    "option, sentence",
    [(("--threshold", "2"), "Events must have on-thresholds in"), (("--hysteresis", "0.9"), "off-thresholds above 0")],
)
def test_a_wrong_rule_is_told(releases: dict[int, Path], option: tuple[str, str], sentence: str) -> None:
    command = [sys.executable, "-m", "stages.runtime", "listen", "--folder", str(releases[1]), "--output", "events"]
    done = subprocess.run([*command, *option], input=b"", capture_output=True, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr.decode()


def test_the_examples_run() -> None:
    assert doctest.testmod(events).failed == 0
