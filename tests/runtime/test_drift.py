"""Drift: the stated rate of false reports by simulation, what is found, and the counters on a device."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom

from stages.runtime import drift
from stages.runtime.drift import Counts, Profile, Reference, Watch
from stages.runtime.errors import RuntimeInputError
from stages.select.profile import reference
from tests.marks import thorough_but

QUIET = {"level": -40.0, "features": 0.0, "scores": 0.5}


def profile_of(values: np.ndarray, groups: np.ndarray, rate: float = 0.001) -> Profile:
    return Profile({name: reference(values[:, i], groups) for i, name in enumerate(drift.STATISTICS)}, rate)


def counted(profile: Profile, values: np.ndarray) -> Counts:
    counts = Counts()
    for row in values:
        counts.add(profile, dict(zip(drift.STATISTICS, row, strict=True)))
    return counts


@pytest.mark.parametrize("largest", thorough_but([100, 1000], 100))
def test_a_day_without_drift_is_reported_as_seldom_as_stated(largest: int) -> None:
    rng, reports, days = np.random.default_rng(1), 0, 0
    sizes = [size for size in (25, 100, 1000) if size <= largest]
    for n in (30, 60, 200):
        for _ in range(30 if largest == 1000 else 12):
            profile = profile_of(rng.normal(size=(n, 3)), np.arange(n).astype(str), rate=0.05)
            for size in sizes:
                days += 1
                reports += bool(drift.judge(profile, counted(profile, rng.normal(size=(size, 3)))))
    assert days == {100: 72, 1000: 270}[largest]
    assert reports <= 0.05 * days + 2.6 * np.sqrt(0.05 * 0.95 * days)


@pytest.mark.thorough
def test_groups_in_validation_make_it_slower_to_report() -> None:
    rng, reports = np.random.default_rng(2), 0
    for _ in range(100):
        groups = np.repeat(np.arange(15), 6)
        values = rng.normal(size=(15, 3))[groups] + 0.5 * rng.normal(size=(90, 3))
        profile = profile_of(values, groups.astype(str), rate=0.05)
        assert profile.statistics["level"].effective < 60
        day = np.sqrt(1.25) * rng.normal(size=(200, 3))  # each clip of a group of its own
        reports += bool(drift.judge(profile, counted(profile, day)))
    assert reports <= 14


def test_another_level_is_reported_and_named() -> None:
    rng = np.random.default_rng(3)
    profile = profile_of(rng.normal(size=(100, 3)), np.arange(100).astype(str))
    day = rng.normal(size=(60, 3)) - [2.0, 0.0, 0.0]
    found = drift.judge(profile, counted(profile, day))
    assert list(found) == ["level"]
    assert 0 < found["level"] <= 0.001 / 3
    assert drift.judge(profile, counted(profile, day[: drift.LEAST - 1])) == {}


@pytest.mark.parametrize("below", [0, 5, 12, 20])
def test_of_two_parts_the_p_value_is_that_of_the_beta_binomial(below: int) -> None:
    n, edge = 40, Reference((0.0,), (0.5, 0.5), 59.0)
    far = np.array([abs(k - n / 2) >= abs(below - n / 2) for k in range(n + 1)])
    exact = betabinom(n, 30, 30).pmf(np.arange(n + 1))[far].sum()
    assert drift.p_value(edge, [below, n - below]) == pytest.approx(exact, abs=0.012)


def test_parts_are_about_equal_and_ties_stay_together() -> None:
    values = np.r_[np.zeros(50), np.arange(1, 51)]
    found = reference(values, np.arange(100).astype(str))
    assert found.shares == (0.6, 0.2, 0.2)  # zeros, and what the next edge leaves below it
    assert sum(found.shares) == pytest.approx(1)
    assert reference(np.ones(30), np.arange(30).astype(str)) == Reference((), (1.0,), 30)


def test_one_clip_of_a_recording_and_one_in_so_many_seconds_counts_and_silence_never() -> None:
    profile = Profile({"level": Reference((-40.0,), (0.5, 0.5), 50.0)}, 0.001)
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
    one = {"statistics": {"level": {"edges": [-40.0], "shares": [0.5, 0.5], "effective": 50.0}}, "rate": 0.001}
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


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"statistics": {"level": {"edges": [1], "shares": [1], "effective": 3}}}']
)
def test_a_damaged_profile_is_refused(tmp_path: Path, text: str) -> None:
    assert drift.load(tmp_path) is None
    (tmp_path / drift.NAME).write_text(text)
    with pytest.raises(RuntimeInputError, match=r"is no profile of a model"):
        drift.load(tmp_path)


def test_the_runtime_counts_what_it_classifies_and_hears(release: Path, tmp_path: Path) -> None:
    def answers(*arguments: str, heard: bytes = b"") -> list[Any]:
        command = [sys.executable, "-m", "stages.runtime", *arguments, "--keep", str(path)]
        done = subprocess.run(command, cwd=release, input=heard, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    path = tmp_path / drift.KEPT
    one = {"edges": [-30.0], "shares": [0.5, 0.5], "effective": 50.0}
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
