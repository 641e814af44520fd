"""Drift: the stated rate of false reports by simulation, what is found, and the counters on a device."""

import functools
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from stages.runtime import drift
from stages.runtime.drift import Counts, Profile, Reference, Watch
from stages.runtime.errors import RuntimeInputError
from stages.select.profile import reference
from tests.bench import quiet_days
from tests.marks import thorough_but


def profile_of(values: np.ndarray, groups: np.ndarray, rate: float = 0.001) -> Profile:
    return Profile({name: reference(values[:, i], groups) for i, name in enumerate(drift.STATISTICS)}, rate)


def counted(profile: Profile, values: np.ndarray) -> Counts:
    columns = zip(drift.STATISTICS, values.T, strict=True)
    return Counts({name: quiet_days.counted(profile.statistics[name], column) for name, column in columns})


def reported(
    rng: np.random.Generator, groups: int, each: int, alike: float, *, sizes: tuple[int, ...], repeats: int
) -> list[float]:
    """Return how often days of new groups are reported at a rate of 0.05, by profile; `alike` is of two of a group."""
    heard = functools.partial(quiet_days.heard, rng, alike=alike)
    shares = []
    for _ in range(repeats):
        home = np.repeat(np.arange(groups), each)
        profile, found = profile_of(heard(home), home.astype(str), rate=0.05), []
        for size in sizes:
            there = quiet_days.groups_of(np.full(drift.GROUPS, each), size)
            found += [bool(drift.judge(profile, counted(profile, heard(there)))) for _ in range(5)]
        shares.append(float(np.mean(found)))
    return shares


@pytest.mark.parametrize(
    ("groups", "each", "alike"),
    thorough_but(
        [(60, 1, 0.0), (10, 5, 0.9), (10, 20, 0.5), (10, 5, 0.5), (30, 5, 0.5), (60, 2, 0.9), (100, 10, 0.3)],
        (10, 5, 0.9),
    ),
)
def test_a_day_of_new_groups_is_reported_as_seldom_as_stated(groups: int, each: int, alike: float) -> None:
    rng = np.random.default_rng(1)
    shares = reported(rng, groups, each, alike, sizes=(25, 100, 400), repeats=40)
    deviation = max(np.std(shares), np.sqrt(0.05 * 0.95 / 15)) / np.sqrt(len(shares))
    assert np.mean(shares) <= 0.05 + 2.6 * deviation


def test_clips_of_a_group_make_it_slower_to_report_and_more_groups_faster() -> None:
    shares, day = (0.2,) * 5, [3, 10, 20, 30, 37]
    alone = Reference((-2.0, -1.0, 1.0, 2.0), shares, 200, (1.0, 1.0), 1, 199)
    of_five = replace(alone, design_effects=(4.0, 3.0), group_size=5, freedom=39)
    of_twenty = replace(alone, design_effects=(8.0, 6.0), group_size=20, freedom=9)
    assert drift.p_value(alone, day) < 1e-4 < drift.p_value(of_five, day) < 0.2 < drift.p_value(of_twenty, day)


@pytest.mark.parametrize("freedom", [1.0, 4.5, 33.0, 800.0])
@pytest.mark.parametrize(("n", "groups"), [(10, 2), (40, 8), (200, 10)])
def test_the_p_value_is_of_students_distribution(freedom: float, n: int, groups: int) -> None:
    edge = Reference((0.0,), (0.3, 0.7), 50, (3.0,), 5, freedom)
    high, low = np.sqrt(0.3 / 0.7), -np.sqrt(0.7 / 0.3)
    mean = 0.7 * low + 0.3 * high
    alike = min((3 * (1 + np.sqrt(2 / freedom)) - 1) / 4, 1)  # correlation of two clips of a group
    variance = (3 / 50 + alike / groups + (1 - alike) / n) * (1 + 1 / freedom)
    expected = 2 * student.sf(abs(mean) / np.sqrt(variance), freedom)
    assert drift.p_value(edge, [round(0.7 * n), round(0.3 * n)]) == pytest.approx(expected, rel=1e-3)


def test_contrasts_have_a_mean_of_0_and_a_variance_of_1_and_are_not_correlated() -> None:
    weights = (0.1, 0.4, 0.3, 0.2)
    found = drift.contrasts(weights)
    np.testing.assert_allclose(found @ np.array(weights), 0, atol=1e-12)
    np.testing.assert_allclose((found * np.array(weights)) @ found.T, np.eye(2), atol=1e-12)
    assert np.all(np.diff(found[0]) > 0)
    assert found[1, 0] > 0 > found[1, 1]


def test_clips_that_come_to_lie_in_the_middle_are_reported() -> None:
    rng = np.random.default_rng(4)
    profile = profile_of(rng.normal(size=(100, 4)), np.arange(100).astype(str))
    day = rng.normal(size=(60, 4)) * [1.0, 1.0, 1.0, 0.2]
    assert list(drift.judge(profile, counted(profile, day))) == ["scores"]


def test_another_level_is_reported_and_named() -> None:
    rng = np.random.default_rng(3)
    profile = profile_of(rng.normal(size=(100, 4)), np.arange(100).astype(str))
    day = rng.normal(size=(60, 4)) - [2.0, 0.0, 0.0, 0.0]
    found = drift.judge(profile, counted(profile, day))
    assert list(found) == ["level"]
    assert 0 < found["level"] <= 0.001 / 4
    assert drift.judge(profile, counted(profile, day[: drift.LEAST - 1])) == {}


def test_parts_are_about_equal_and_ties_stay_together() -> None:
    values = np.r_[np.zeros(50), np.arange(1, 51)]
    found = reference(values, np.arange(100).astype(str))
    assert found.shares == (0.5, 0.1, 0.1, 0.1, 0.1, 0.1)
    assert sum(found.shares) == pytest.approx(1)
    alone = reference(np.ones(30), np.arange(30).astype(str))
    assert alone == Reference((), (1.0,), 30, (), 1, 29)
    assert drift.p_value(alone, [40]) == 1


def test_one_clip_of_a_recording_and_one_in_so_many_seconds_counts_and_silence_never() -> None:
    profile = Profile({"level": Reference((-40.0,), (0.5, 0.5), 50, (1.0,), 1, 49)}, 0.001)
    loud, silent, x = np.full(100, 0.1, np.float32), np.zeros(100, np.float32), np.zeros(3)
    loud[::2] = -0.1
    told: list[Counts] = []
    watch = Watch(profile, silence_dbfs=-80.0, on_count=told.append)
    for _ in range(3):
        watch.restart()
        for samples in (silent, loud, loud):
            watch.hear(samples, x, np.array([0.5]))
    assert watch.counts == Counts({"level": [0, 3]})
    assert told == [Counts({"level": [0, 1]})] * 3
    stream = Watch(profile, silence_dbfs=-80.0, step_s=0.25, spacing_s=60.0)
    for _ in range(4 * 180):
        stream.hear(loud, x, np.array([0.5]))
    assert stream.summary() == {"clips": 3, "drift": {}, "counts": {"level": [0, 3]}}


def test_a_file_of_counts_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RuntimeInputError, match=r"counts.json .*\(No such file"):
        drift.keep(tmp_path / "none" / "counts.json", "release", "2026-01-01", drift.Counts({"level": [1, 0]}))


def test_a_device_keeps_days_of_its_own_release_and_reports_the_newest(tmp_path: Path) -> None:
    path = tmp_path / drift.KEPT
    level = {
        "edges": [-40.0],
        "shares": [0.5, 0.5],
        "clips": 60,
        "design_effects": [1.0],
        "group_size": 1,
        "freedom": 59,
    }
    one = {"statistics": {"level": level}, "rate": 0.001}
    (tmp_path / drift.NAME).write_text(json.dumps(one))
    for day in range(1, 41):
        drift.keep(path, "r1", f"2026-01-{day:02d}", Counts({"level": [20, 20]}))
    drift.keep(path, "r1", "2026-02-01", Counts({"level": [0, 30]}))
    drift.keep(path, "r1", "2026-02-01", Counts({"level": [0, 30]}))
    drift.keep(path, "r1", "2026-02-02", Counts({"level": [1, 0]}))
    assert len(drift.kept(path, "r1")) == drift.DAYS
    assert drift.kept(path, "r1")["2026-02-01"].n == 60
    assert drift.report(tmp_path, path, "r1") == "level (2026-02-01, 60 clips)"
    assert drift.report(tmp_path, path, "r2") == ""
    drift.keep(path, "r2", "2026-02-03", Counts({"level": [15, 15]}))
    assert drift.report(tmp_path, path, "r2") == "none (2026-02-03, 30 clips)"
    path.write_text("{")
    assert drift.report(tmp_path, path, "r2") == ""


PART: dict[str, Any] = {
    "edges": [1],
    "shares": [0.5, 0.5],
    "clips": 9,
    "design_effects": [1],
    "group_size": 1,
    "freedom": 8,
}


DAMAGED: list[tuple[str, dict[str, Any], float]] = [
    ("level", {"shares": [1]}, 0.001),
    ("level", {"shares": [0, 1]}, 0.001),
    ("level", {"clips": None}, 0.001),
    ("level", {"design_effects": [0.5]}, 0.001),
    ("level", {"design_effects": []}, 0.001),
    ("level", {"group_size": 0}, 0.001),
    ("level", {}, 1.0),
    ("pitch", {}, 0.001),
]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", *(json.dumps({"statistics": {name: PART | change}, "rate": rate}) for name, change, rate in DAMAGED)],
)
def test_a_damaged_profile_is_refused(tmp_path: Path, text: str) -> None:
    assert drift.load(tmp_path) is None
    (tmp_path / drift.NAME).write_text(text)
    with pytest.raises(RuntimeInputError, match=r"is no profile of a model"):
        drift.load(tmp_path)


def test_a_profile_of_before_the_design_effects_counts_as_independent_clips(tmp_path: Path) -> None:
    old = {"edges": [-40.0], "shares": [0.5, 0.5], "effective": 50.0}
    (tmp_path / drift.NAME).write_text(json.dumps({"statistics": {"level": old, "scores": old}, "rate": 0.001}))
    profile = drift.load(tmp_path)
    assert profile is not None
    assert profile.statistics["scores"] == Reference((-40.0,), (0.5, 0.5), 50, (1.0,), 1, 49)
    assert list(drift.judge(profile, Counts({"level": [5, 60], "scores": [30, 35]}))) == ["level"]


def test_a_lost_treble_is_told_by_the_spectrum_and_a_lower_gain_by_the_level() -> None:
    noise = np.random.default_rng(6).normal(size=8000)
    bright = drift.of_sound(noise, np.zeros(1))
    quiet = drift.of_sound(noise / 4 + 3, np.zeros(1))  # and an offset, which is no sound
    spectrum = np.fft.rfft(noise)
    spectrum[1000:] = 0
    dull = drift.of_sound(np.fft.irfft(spectrum), np.zeros(1))
    assert bright["spectrum"] == pytest.approx(10 * np.log10(np.exp(-np.euler_gamma)), abs=0.3)  # of white noise
    assert quiet["spectrum"] == pytest.approx(bright["spectrum"])
    assert dull["spectrum"] < bright["spectrum"] - 50
    assert quiet["level"] > bright["level"]  # by the offset
    assert drift.of_sound(np.zeros(10), np.zeros(1)) == {"level": -120.0, "spectrum": -120.0, "features": 0.0}


def test_the_runtime_counts_what_it_classifies_and_hears(release: Path, tmp_path: Path) -> None:
    def answers(*arguments: str, heard: bytes = b"") -> list[Any]:
        command = [sys.executable, "-m", "stages.runtime", *arguments, "--keep", str(path)]
        done = subprocess.run(command, cwd=release, input=heard, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    path = tmp_path / drift.KEPT
    one = {"edges": [-30.0], "shares": [0.5, 0.5], "clips": 50, "design_effects": [1.0], "group_size": 1, "freedom": 49}
    (release / drift.NAME).write_text(json.dumps({"statistics": {"level": one}, "rate": 0.001}))
    *_, last = answers("classify", "golden/0.wav", "golden/1.wav", "--summary")
    assert last == {"summary": {"clips": 2, "drift": {}, "counts": {"level": [1, 1]}}}
    loud = np.random.default_rng(0).integers(-9000, 9000, 5 * 8000).astype("<i2").tobytes()
    *_, last = answers("listen", "--hop-s", "0.5", "--summary", heard=loud)  # five seconds: one window counts
    assert last["summary"]["counts"] == {"level": [0, 1]}
    release_id = hashlib.sha256((release / "manifest.json").read_bytes()).hexdigest()[:12]
    days = drift.kept(path, release_id)
    assert sum(day.counts["level"][1] for day in days.values()) == 2  # of one day, or of two about midnight
    assert sum(day.n for day in days.values()) == 3


def test_a_release_without_a_profile_says_so(release: Path) -> None:
    command = [sys.executable, "-m", "stages.runtime", "classify", "golden/0.wav", "--summary"]
    done = subprocess.run(command, cwd=release, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no profile.json to compare with" in done.stderr
