"""Recordings longer than a clip, through the classifier and through the command."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.runtime.audio import clip, read_wav, resample
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing, Listener
from stages.runtime.recording import Recording, windows
from stages.runtime.wav import open_wav
from tests.messages import line_with
from tests.wavs import Pcm, chunk, form, riff, wav

RATE, CLIP = 8000, 8000


def long_sound(seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise that swells and fades, so that every window has another score."""
    n = round(seconds * rate)
    swell = np.abs(np.sin(np.arange(n) * 2.5 / rate)) ** 4
    return (np.random.default_rng(5).uniform(-0.9, 0.9, n) * swell)[:, np.newaxis]


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    def record(samples: np.ndarray, rate: int = RATE) -> Path:
        (tmp_path / "x.wav").write_bytes(wav(samples, rate=rate))
        return tmp_path / "x.wav"

    return record


def classify(folder: Path, *arguments: object) -> tuple[list[dict[str, Any]], "subprocess.CompletedProcess[str]"]:
    command = [sys.executable, "-m", "stages.runtime", "classify", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done


@pytest.mark.parametrize("rate", [RATE, 22_050, 8_001])
@pytest.mark.parametrize(
    ("seconds", "hop"), [(0.5, 2000), (1.0, 8000), (1.1, 8000), (3.3, 2000), (4.0, 8000), (4.0, 3000)]
)
def test_windows_cover_all_of_a_recording_and_are_those_of_the_whole(
    record: Callable[..., Path], rate: int, seconds: float, hop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.runtime.wav.BLOCK_BYTES", 3000)
    path = record(long_sound(seconds, rate), rate)
    whole = resample(read_wav(path)[0], rate, RATE)
    found = list(windows(Listener(open_wav(path), Hearing()), RATE, n_samples=CLIP, hop=hop))
    starts = list(range(0, max(len(whole) - CLIP, 0) + 1, hop))
    if starts[-1] + CLIP < len(whole):
        starts.append(len(whole) - CLIP)
    assert [start for start, _ in found] == starts
    for start, window in found:
        np.testing.assert_allclose(window, whole[start : start + CLIP], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.4, 1.0])
def test_a_short_recording_is_answered_as_it_always_was(
    releases: dict[int, Path], record: Callable[..., Path], seconds: float
) -> None:
    classifier, path = Classifier(releases[1]), record(long_sound(seconds))
    recording = Recording(classifier, path)
    assert not recording.is_long
    lengths = {"duration_s": seconds, "heard_s": seconds}
    assert recording.answer() == classifier.classify(*read_wav(path)) | lengths


@pytest.mark.parametrize(("align", "start"), [("start", 0.0), ("middle", 1.15)])
def test_a_long_recording_is_answered_by_the_clip_that_home_judges(
    release: Path, alter: Callable[..., None], record: Callable[..., Path], align: str, start: float
) -> None:
    alter(align=align)
    classifier, path = Classifier(release), record(long_sound(3.3))
    answer = Recording(classifier, path).answer()
    assert {name: answer[name] for name in ("start_s", "end_s", "heard_s", "duration_s")} == {
        "start_s": start,
        "end_s": start + 1,
        "heard_s": 1.0,
        "duration_s": 3.3,
    }
    expected = classifier.classify(clip(read_wav(path)[0], CLIP, align), RATE)
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_the_loudest_clip_is_answered_for_where_the_task_says_so(
    release: Path, alter: Callable[..., None], record: Callable[..., Path]
) -> None:
    silence, sound = np.zeros((2 * RATE, 1)), long_sound(1.0)
    path = record(np.concatenate([silence, sound]))
    assert Recording(Classifier(release), path).answer()["silent"]
    alter(hearing={"place": "loudest"})
    classifier = Classifier(release)
    answer = Recording(classifier, path).answer()
    assert not answer["silent"]
    assert answer["start_s"] > 1
    assert answer["score"] == pytest.approx(classifier.classify(*read_wav(path))["score"], abs=1e-6)


def test_segments_are_answered_for_by_their_mean_without_the_silent_ones(
    release: Path, alter: Callable[..., None], record: Callable[..., Path]
) -> None:
    alter(hearing={"segment_s": 1.0, "hop_s": 0.5})
    classifier = Classifier(release)
    path = record(np.concatenate([long_sound(2.0), np.zeros((2 * RATE, 1))]))
    recording = Recording(classifier, path)
    answers = list(recording.windows())
    assert [answer["start_s"] for answer in answers] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    silent = [answer.get("silent", False) for answer in answers]
    assert silent == [False] * 4 + [True] * 3
    answer = recording.answer()
    assert answer["score"] == pytest.approx(np.mean([a["score"] for a in answers[:4]]), abs=1e-6)
    assert (answer["start_s"], answer["end_s"], answer["heard_s"], answer["silent"]) == (0, 4, 4, False)


def test_events_of_segments_are_of_windows_as_the_rule_has_them(
    release: Path, alter: Callable[..., None], record: Callable[..., Path]
) -> None:
    segments, path = {"segment_s": 1.0, "hop_s": 1.0}, record(long_sound(4.0))
    alter(hearing=segments)
    label = Classifier(release).manifest.labels[-1]
    alter(hearing=segments, events={"on": {label: 1e-4}, "hop_s": 0.25, "smooth": "mean:2"})
    found, finer = (Recording(Classifier(release), path, hop_s=hop_s) for hop_s in (None, 0.25))
    assert [window["start_s"] for window in found.windows()] == [0, 1, 2, 3]
    assert len(list(finer.windows())) == 13
    assert found.events == finer.events
    assert len(found.events) > 0
    assert all(event.onset_s % 1 or event.offset_s % 1 for event in found.events)


def test_the_command_answers_a_long_file_in_one_line_with_time_stamps(
    releases: dict[int, Path], record: Callable[..., Path]
) -> None:
    event = np.zeros((20 * RATE, 1))
    event[round(13.2 * RATE) : round(13.6 * RATE), 0] = np.random.default_rng(0).uniform(-0.9, 0.9, round(0.4 * RATE))
    (answer,), done = classify(releases[1], "--hop-s", 0.5, record(event))
    assert done.returncode == 0, done.stderr
    assert answer["duration_s"] == 20
    assert [window["start_s"] for window in answer["windows"]] == [0.5 * i for i in range(39)]
    sounding = [window["start_s"] for window in answer["windows"] if not window.get("silent")]
    assert sounding == [12.5, 13.0, 13.5]
    assert min(sounding) <= 13.2 <= min(sounding) + 1


def test_no_file_ends_a_run_over_several(releases: dict[int, Path], tmp_path: Path) -> None:
    folder, empty = tmp_path / "in", tmp_path / "empty"
    for place in (folder, empty, folder / "__MACOSX"):
        place.mkdir()
    good = wav(long_sound(0.5))
    for name in ("._a.wav", ".DS_Store", "Thumbs.db", "__MACOSX/b.wav", "c.wav"):
        (folder / name).write_bytes(good)
    (folder / "b.wav").write_bytes(wav(long_sound(0.5), rate=3_000_000_000))
    nan = long_sound(3.0).astype("<f4")
    nan[20_000] = np.nan
    (folder / "a.wav").write_bytes(riff(chunk(b"fmt ", form(3, rate=RATE, bits=32)), chunk(b"data", nan.tobytes())))
    answers, done = classify(releases[1], empty, folder, folder / "c.wav")
    assert [Path(answer["file"]).name for answer in answers] == ["empty", "a.wav", "b.wav", "c.wav", "c.wav"]
    assert [answer.get("ok", True) for answer in answers] == [False, False, False, True, True]
    assert "holds no WAV file" in answers[0]["error"]
    assert "not finite numbers, the first at 2.5 s" in answers[1]["error"]
    assert done.returncode == 1
    assert "error: 3 of 5 files cannot be classified" in done.stderr


@pytest.mark.parametrize("hop_s", [0.0, 1.5, -1.0])
def test_a_hop_beyond_a_window_is_refused(releases: dict[int, Path], record: Callable[..., Path], hop_s: float) -> None:
    with pytest.raises(RuntimeInputError, match=r"hop-s .*1 s; got"):
        Recording(Classifier(releases[1]), record(long_sound(2.0)), hop_s=hop_s)


def test_what_is_odd_about_a_file_is_told_in_the_answer(releases: dict[int, Path], tmp_path: Path) -> None:
    pcm = Pcm().encode(long_sound(0.5))
    (tmp_path / "open.wav").write_bytes(riff(chunk(b"fmt ", form(rate=RATE)), chunk(b"data", pcm, size=0)))
    (answer,), _ = classify(releases[1], tmp_path / "open.wav")
    (note,) = answer["notes"]
    assert line_with(note, "open header", "0 bytes", "end of the file")
    assert (answer["duration_s"], answer["silent"]) == (0.5, False)
