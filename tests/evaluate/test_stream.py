"""Composed streams: what is in them, and how rules are chosen and judged on them."""

import itertools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import evaluation
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.evaluation import StreamResult
from stages.core.artifacts.frontend import Frontend
from stages.core.project import files
from stages.core.project import params as core_params
from stages.core.project.errors import DataError, ParameterError
from stages.core.scoring.detection import Sounds, TrueEvent, match
from stages.evaluate import event_rules, soundscape, stream
from stages.evaluate.params import EvaluateParams, StreamParams
from stages.evaluate.soundscape import Soundscape, place
from stages.evaluate.stage import evaluate
from stages.runtime.events import Event, EventRule, Windows, find_events
from stages.runtime.hearing import DEFAULT
from stages.runtime.litert import Model
from tests.messages import line_with

RATE = 8000


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    made = []
    for i in range(6):
        samples = np.zeros(RATE)
        samples[2000:6000] = 0.5 * np.sin(np.arange(4000) * 0.3)
        soundfile.write(tmp_path / f"{i}.wav", samples, RATE, subtype="FLOAT")
        made.append(Clip(str(i), tmp_path / f"{i}.wav", "test", "dog" if i % 2 else "other", group=f"g{i}"))
    return made


def test_a_soundscape_holds_each_clip_as_often_at_its_ratio_and_says_where(clips: list[Clip]) -> None:
    placed = place(clips, seconds=120, per_hour=720, snr_db=(10,), rate=RATE, seed=(1, 2))
    assert len(placed) == 24
    assert {each.snr_db for each in placed} == {10.0}
    assert sorted(p.clip.clip_id for p in placed) == sorted(clip.clip_id for clip in clips * 4)
    assert all(a.start < b.start for a, b in itertools.pairwise(placed))
    noise = soundscape.pink_noise(RATE * 10, np.random.default_rng(0))
    sound = Soundscape(placed, noise, seconds=120, rate=RATE, hearing=DEFAULT, ignored=("other",))
    samples = np.concatenate(list(sound.blocks()))
    assert len(samples) == 120 * RATE
    assert len(sound.truth) == 12
    assert {(event.label, event.snr_db) for event in sound.truth} == {("dog", 10.0)}
    power = np.mean(noise.astype(np.float64) ** 2)
    for event in sound.truth:
        assert event.offset_s - event.onset_s == pytest.approx(0.5, abs=0.02)
        part = samples[round(event.onset_s * RATE) : round(event.offset_s * RATE)].astype(np.float64)
        assert 10 * np.log10((np.mean(part**2) - power) / power) == pytest.approx(10, abs=1.5)
    again = place(clips, seconds=120, per_hour=720, snr_db=(10,), rate=RATE, seed=(1, 2))
    assert again == placed
    assert place(clips, seconds=120, per_hour=720, snr_db=(10,), rate=RATE, seed=(1, 3)) != placed


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    noise = soundscape.pink_noise(2**18, np.random.default_rng(3)).astype(np.float64)
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(soundscape.BACKGROUND_DBFS, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [10 * np.log10(power[2**k : 2 ** (k + 1)].mean()) for k in range(8, 16)]
    assert np.polyfit(range(len(octaves)), octaves, 1)[0] == pytest.approx(-3.0, abs=0.2)


def test_backgrounds_are_taken_in_turns_and_one_alone_is_halved(tmp_path: Path) -> None:
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    with pytest.raises(DataError, match="must be a folder of recordings"):
        soundscape.background(folder, "test", RATE, DEFAULT, 1)
    soundfile.write(folder / "a.wav", np.linspace(0, 0.5, RATE), RATE, subtype="FLOAT")
    halves = [soundscape.background(folder, side, RATE, DEFAULT, 1) for side in ("validation", "test")]
    assert halves[0].max() <= halves[1].min()
    soundfile.write(folder / "b.wav", np.full(RATE, -0.25), RATE, subtype="FLOAT")
    sides = [soundscape.background(folder, side, RATE, DEFAULT, 1) for side in ("validation", "test")]
    assert (sides[0].min() >= 0, sides[1].max() < 0) == (True, True)


def simulated(rng: np.random.Generator, hours: float) -> tuple[Windows, list[TrueEvent]]:
    """Scores of a binary task: true events score high, distractors at random, and there is little between."""
    n = round(hours * 3600)
    scores = rng.beta(1, 20, n)
    for at in rng.choice(n // 10, round(60 * hours), replace=False) * 10 + 3:
        scores[at] = rng.beta(2, 2)  # a sound that must not trigger
    truth = []
    for at in rng.choice(n // 10, round(30 * hours), replace=False) * 10 + 7:
        scores[at] = rng.beta(6, 2)
        truth.append(TrueEvent("yes", float(at), at + 1.0))
    two = np.stack([1 - scores, scores], axis=1)
    return Windows(two, np.arange(n, dtype=float), np.ones(n, bool), 1.0, 1.0, ("no", "yes")), truth


@pytest.mark.thorough
def test_false_alarms_on_a_new_stream_keep_within_the_target() -> None:
    rng, rates = np.random.default_rng(7), []
    for _ in range(25):
        windows, truth = simulated(rng, 4.0)
        (rule,) = event_rules.choose(windows, truth, ["yes"], sounds=Sounds.of(truth, hours=4.0), targets=[2.0])
        assert rule is not None
        fresh, there = simulated(rng, 4.0)
        rates.append(match(there, find_events(fresh, rule)).n_false / 4.0)
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= 2.0 + 2 * error
    assert np.mean(rates) >= 0.8, "and not by never triggering"


def test_a_target_below_what_the_stream_can_show_is_refused() -> None:
    windows, truth = simulated(np.random.default_rng(1), 0.5)
    assert event_rules.choose(windows, truth, ["yes"], sounds=Sounds.of(truth, hours=0.5), targets=[1.0]) == [None]


def test_a_preset_states_minutes_and_rate_and_is_passed_or_not() -> None:
    asked = StreamParams(preset="mlperf_tiny")
    assert (asked.minutes, asked.false_alarms_per_hour, asked.most) == (20.0, (24.0,), 8)
    assert core_params.load(StreamParams, asdict(asked), "evaluate.stream") == asked
    with pytest.raises(ParameterError, match=r"evaluate.stream.minutes .*preset mlperf_tiny"):
        StreamParams(preset="mlperf_tiny", minutes=60)
    with pytest.raises(ParameterError, match=r"evaluate.stream.preset .*mlperf_tiny"):
        StreamParams(preset="tiny")
    rule = EventRule({"yes": 0.5})
    for missed, false, passed in ((8, 8, True), (9, 0, False), (0, 9, False)):
        truth = [TrueEvent("yes", 10.0 * i, 10.0 * i + 1) for i in range(50)]
        found = [Event("yes", 10.0 * i, 10.0 * i + 1, 0.9, 10.0 * i + 1) for i in range(missed, 50)]
        found += [Event("yes", 600.0 + 10 * i, 601.0 + 10 * i, 0.9, 601.0) for i in range(false)]
        figures = stream.figures_of(truth, found, Sounds.of(truth, hours=1 / 3), confidence=0.95)
        assert StreamResult(24.0, rule, {"test": figures}, most=8).passes("test") is passed
        assert StreamResult(24.0, rule, {"test": figures}).passes("test") is None


def test_misses_are_told_by_ratio_and_sum_up_to_all() -> None:
    ratios = (0.0, 0.0, 0.0, 20.0, 20.0)
    truth = [TrueEvent("yes", 10.0 * i, 10.0 * i + 1, f"g{i % 2}", ratio) for i, ratio in enumerate(ratios)]
    found = [Event("yes", 10.0 * i, 10.0 * i + 1, 0.9, 10.0 * i + 1) for i in (2, 3, 4)]
    figures = stream.figures_of(truth, found, Sounds.of(truth, hours=1.0), confidence=0.95)
    low, loud = figures.by_snr
    assert (low.snr_db, low.n_true, low.groups) == (0.0, 3, 2)
    assert low.misses.value == pytest.approx(2 / 3, abs=1e-6)
    assert (loud.snr_db, loud.n_true, loud.misses.value) == (20.0, 2, 0.0)
    assert loud.misses.high == pytest.approx(1 - 0.025**0.5, abs=1e-6)  # Clopper and Pearson's, none of two
    rows = list(stream.rows("a", [StreamResult(1.0, EventRule({"yes": 0.5}), {"test": figures})]))
    misses = [(row.get("snr_db"), row["n"], row["value"]) for row in rows if row["figure"] == "misses"]
    assert misses == [(None, 5, 0.4), (0.0, 3, low.misses.value), (20.0, 2, 0.0)]
    unknown = [replace(event, snr_db=None) for event in truth]
    assert stream.figures_of(unknown, found, Sounds.of(truth, hours=1.0), confidence=0.95).by_snr == ()


@pytest.mark.parametrize(
    "field, value", [("minutes", -1), ("hop_s", 0), ("snr_db", ()), ("false_alarms_per_hour", (0,))]
)
def test_parameters_are_checked(field: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"evaluate.stream.{field}"):
        StreamParams(**{field: value})  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_sweep_is_judged_on_streams_of_either_side(
    features: Path, sweep: Path, make_model: Callable[..., bytes], params: EvaluateParams, tmp_path: Path
) -> None:
    rng, length = np.random.default_rng(5), 1600
    (features / "frontend.tflite").write_bytes(make_model(rng.normal(size=(6, length))))
    old = frontend_file.read(features)
    described = {"sample_rate": 16_000, "clip_samples": length, "align": "start", "labels": list(old.labels)}
    files.write_json(features / "frontend.json", described)
    rows = files.read_csv(features / "clips.csv")
    (tmp_path / "audio").mkdir()
    for row in rows:
        row["path"] = str(tmp_path / "audio" / Path(row["path"]).name)
        soundfile.write(row["path"], rng.normal(scale=0.05, size=length), 16_000, subtype="FLOAT", format="WAV")
    files.write_csv(features / "clips.csv", list(rows[0]), rows)
    asked = StreamParams(minutes=1.0, clips_per_hour=1200, hop_s=0.05, false_alarms_per_hour=(600.0, 1.0))
    for side in ("validation", "test"):
        sound = stream.compose(side, features, frontend_file.read(features), asked)  # type: ignore[arg-type]
        groups = {clip.group for clip in clips_file.read(features, side)}  # type: ignore[arg-type]
        assert {event.group for event in sound.truth} <= groups
    found = evaluate(sweep, features, tmp_path / "evaluation", replace(params, stream=asked))
    assert evaluation.read(tmp_path / "evaluation") == found
    table = files.read_csv(tmp_path / "evaluation" / "streams.csv")
    assert {row["target_per_hour"] for row in table} <= {"600.0", "600", "1.0"}
    for each in found:
        first, second = each.streams
        assert second.rule is None
        assert line_with(second.reason, "1 an hour", "1 h of stream")
        if first.rule is not None:
            assert first.figures["validation"].false_alarms_per_hour.value <= 600  # type: ignore[operator]
            assert first.figures["test"].n_true > 0
            assert sum(part.n_true for part in first.figures["test"].by_snr) == first.figures["test"].n_true
    scores = np.load(tmp_path / "evaluation" / "stream" / "test.npz")
    frontend = Frontend(old.labels, 16_000, length)
    sound = stream.compose("test", features, frontend, asked)
    samples = np.concatenate(list(sound.blocks()))[800 : 800 + length]
    features_of = Model(features / "frontend.tflite").run(samples[np.newaxis].astype(np.float32))
    name = found[0].name
    expected = Model(sweep / f"{name}.tflite").run(features_of)[0]
    np.testing.assert_allclose(scores[name][1], expected, atol=1e-6)
