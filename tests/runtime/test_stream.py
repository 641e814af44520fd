import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.runtime import chunks as chunks_of
from stages.runtime import stream
from stages.runtime.audio import Resampler, fit_length, resample
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from tests.messages import line_with

CLIP, RATE = 8000, 8000


@pytest.fixture(scope="module")
def classifier(releases: dict[int, Path]) -> Classifier:
    return Classifier(releases[1])


def sound(n: int) -> np.ndarray:
    """Noise that swells and fades, so that every window has another score."""
    swell = np.abs(np.sin(np.arange(n) / 3000)) ** 4
    return (np.random.default_rng(5).uniform(-1, 1, n) * swell).astype(np.float32)


def cut(samples: np.ndarray, *sizes: int) -> Iterator[np.ndarray]:
    position = 0
    while position < len(samples):
        for size in sizes:
            yield samples[position : position + size]
            position += size


@pytest.mark.parametrize("rates", [(44100, 22050), (48000, 22050), (8000, 22050), (22050, 16000), (8000, 8000), (7, 5)])
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 900), min_size=1, max_size=5).filter(any), n=st.integers(0, 4000))
def test_a_stream_is_resampled_as_the_whole(rates: tuple[int, int], sizes: list[int], n: int) -> None:
    samples = np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32)
    resampler = Resampler(*rates)
    parts = [*map(resampler.push, cut(samples, *sizes)), resampler.finish()]
    whole = resample(samples, *rates)
    joined = np.concatenate(parts)
    assert joined.dtype == np.float32
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)


def test_the_resampler_forgets_what_it_no_longer_needs() -> None:
    resampler = Resampler(48000, 22050)
    for _ in range(50):
        resampler.push(np.zeros(4800, np.float32))
        assert len(resampler._held) < 2 * 4800


@pytest.mark.parametrize("rate", [RATE, 22050])
@pytest.mark.parametrize("seconds", [0.4, 1.0, 3.3])
def test_a_stream_gives_the_scores_of_the_files_windows(classifier: Classifier, rate: int, seconds: float) -> None:
    samples, hop = sound(round(seconds * rate)), 2000
    answers = list(stream.listen(classifier, cut(samples, 700, 1, 3000), rate, stream.WindowRule(hop_s=hop / RATE)))
    whole = resample(samples, rate, RATE)
    starts = [0, *range(hop, max(0, len(whole) - CLIP + hop), hop)]
    assert [round(answer["start_s"] * RATE) for answer in answers] == starts
    scores = [classifier.outputs(fit_length(whole[start:], CLIP), RATE)[0] for start in starts]
    assert len(set(scores)) == len(scores)
    np.testing.assert_allclose([answer["score"] for answer in answers], scores, rtol=0, atol=1e-5)
    assert {answer["end_s"] - answer["start_s"] for answer in answers} == {1.0}


def test_a_stream_as_short_as_a_file_is_answered_as_the_file(classifier: Classifier) -> None:
    samples = sound(6000)
    (answer,) = stream.listen(classifier, iter([samples]), RATE, stream.WindowRule(hop_s=0.5))
    assert answer == {"start_s": 0.0, "end_s": 1.0, "dropped": 0} | classifier.classify(samples, RATE)
    assert list(stream.listen(classifier, iter([]), RATE, stream.WindowRule(hop_s=0.5))) == []


def test_pcm_is_decoded_however_it_arrives(rng: np.random.Generator) -> None:
    frames = rng.uniform(-1, 1, (1001, 2)).astype(np.float32)
    stored = {"f32le": frames.astype("<f4"), "s16le": np.rint(frames * 32767).astype("<i2")}
    expected = {"f32le": frames.mean(axis=1), "s16le": stored["s16le"].mean(axis=1) / 2**15}

    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size
            return super().read(min(size, 333))

    for encoding, values in stored.items():
        content = values.tobytes() + b"\x01"
        for source in (io.BytesIO(content), Dribble(content)):
            heard = np.concatenate(list(chunks_of.pcm(source, RATE, encoding=encoding, n_channels=2)))
            np.testing.assert_allclose(heard, expected[encoding], atol=1e-6)


def test_smoothing_is_what_it_says() -> None:
    values = [np.array([x], np.float32) for x in (1.0, 0.0, 0.5, 1.0)]

    def smoothed(rule: str | None) -> list[float]:
        return [float(value[0]) for value in map(stream.smoother(rule), values)]

    assert smoothed(None) == [1, 0, 0.5, 1]
    assert smoothed("mean:2") == [1, 0.5, 0.25, 0.75]
    assert smoothed("exponential:0.5") == [1, 0.5, 0.5, 0.75]
    assert smoothed("exponential:1") == smoothed(None)


def test_with_hysteresis_a_positive_lasts_until_the_lower_threshold(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.4, 0.7, 0.5, 0.31, 0.29, 0.5, 0.6])
    monkeypatch.setattr(classifier, "scored", lambda *_: (np.array([next(scores)]), None))
    chunks = iter([np.zeros(CLIP + 6 * 800, np.float32)])
    answers = list(stream.listen(classifier, chunks, RATE, stream.WindowRule(hop_s=0.1, threshold=0.6, hysteresis=0.3)))
    assert [answer["label"] == "positive" for answer in answers] == [False, True, True, True, False, False, True]


def test_while_the_device_is_behind_the_oldest_windows_are_dropped_and_counted() -> None:
    first_taken, all_given = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        first_taken.wait(10)
        yield from range(1, 100)
        all_given.set()

    slow = stream.newest(items())
    assert next(slow) == (0, 0)
    first_taken.set()
    all_given.wait(10)
    assert list(slow) == [(98, 97), (99, 97)]


def test_a_bad_live_stream_is_told(classifier: Classifier) -> None:
    chunks = chunks_of.pcm(io.BytesIO(b"\xff" * 64), RATE, encoding="f32le", n_channels=1)
    with pytest.raises(RuntimeInputError, match="not finite numbers"):
        list(stream.listen(classifier, chunks, RATE, stream.WindowRule(hop_s=0.5), live=True))


@pytest.mark.parametrize(
    "options, match",
    [
        ({"hop_s": 0}, "hop-s .*1 s; got 0"),
        ({"hop_s": 1.1}, "at most a window's 1 s; got 1.1"),
        ({"smooth": "mean:0"}, "smooth .*got mean:0"),
        ({"smooth": "median:3"}, "smooth must be mean:N"),
        ({"smooth": "exponential:0.0"}, "smooth must be mean:N"),
        ({"smooth": "exponential:1.5"}, "smooth must be mean:N"),
        ({"hysteresis": -0.1}, "hysteresis must be at least 0"),
    ],
)
def test_a_wrong_option_is_told(classifier: Classifier, options: dict[str, Any], match: str) -> None:
    with pytest.raises(RuntimeInputError, match=match):
        list(stream.listen(classifier, iter([]), RATE, stream.WindowRule(**{"hop_s": 0.5} | options)))


def test_a_threshold_needs_two_labels(releases: dict[int, Path]) -> None:
    with pytest.raises(RuntimeInputError, match="for two labels"):
        list(stream.listen(Classifier(releases[3]), iter([]), RATE, stream.WindowRule(hop_s=0.5, threshold=0.5)))


@pytest.mark.parametrize("options", [{"sample_rate": 0}, {"n_channels": 0}, {"encoding": "s24le"}])
def test_a_wrong_format_is_told(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"sample_rate": 1, "encoding": "s16le", "n_channels": 1} | options
    with pytest.raises(RuntimeInputError, match=r"rate and channels .*s16le or f32le"):
        list(chunks_of.pcm(io.BytesIO(), given.pop("sample_rate"), **given))


def test_a_microphone_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    class InputStream:
        def __init__(self, **options: Any) -> None:
            assert options == {"samplerate": RATE, "channels": 1, "dtype": "float32", "device": 3}

        def __enter__(self) -> "InputStream":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, n: int) -> tuple[np.ndarray, bool]:
            return np.full((n, 1), 0.5, np.float32), False

    fake = ModuleType("sounddevice")
    vars(fake).update(InputStream=InputStream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    chunk = next(chunks_of.microphone(RATE, "3"))
    assert chunk.shape == (800,)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(RuntimeInputError, match="pip install sounddevice"):
        next(chunks_of.microphone(RATE, None))


def complaints(stderr: bytes) -> list[bytes]:
    """Return the lines that are not LiteRT's own notes."""
    return [line for line in stderr.splitlines() if not line.startswith(b"INFO: ")]


def listening(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "stages.runtime", "listen", "--hop-s", "0.5", *options]
    return subprocess.Popen(command, cwd=folder, stdin=-1, stdout=-1, stderr=-1)


def test_stdin_is_classified_until_it_ends(releases: dict[int, Path]) -> None:
    with wave.open(str(releases[1] / "golden" / "0.wav")) as golden:
        content = golden.readframes(CLIP)
    expected = json.loads((releases[1] / "manifest.json").read_text())["golden"][0]["scores"][0]
    with listening(releases[1], "--smooth", "mean:3") as process:
        out, err = process.communicate(content, timeout=60)
    assert (process.returncode, complaints(err)) == (0, [])
    (answer,) = map(json.loads, out.splitlines())
    assert answer["score"] == pytest.approx(expected, abs=1e-5)


def test_on_a_terminal_it_says_what_it_listens_for(releases: dict[int, Path]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "stages.runtime", "listen", "--output", "events", "--hop-s", "0.25"]
    with subprocess.Popen(command, cwd=releases[1], stdin=-1, stdout=-1, stderr=theirs) as process:
        out, _ = process.communicate(bytes(4 * CLIP), timeout=60)
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert (process.returncode, out) == (0, b"")
    assert line_with(said, f"{RATE} Hz", "positive", "0.25 s", "Ctrl-C")


@pytest.mark.parametrize("live", [[], ["--live"]])
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(releases: dict[int, Path], live: list[str], ending: signal.Signals) -> None:
    with listening(releases[1], *live) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(bytes(2 * CLIP))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["start_s"] == 0
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, complaints(err)) == (0, b"", [])


def test_it_ends_when_another_release_is_switched_to(release: Path, releases: dict[int, Path], tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to(release)
    with listening(release, "--folder", str(current)) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(bytes(2 * CLIP))
        process.stdin.flush()
        process.stdout.readline()
        current.unlink()
        current.symlink_to(releases[1])
        process.stdin.write(bytes(2 * CLIP))
        process.stdin.flush()
        assert process.wait(timeout=60) == 0  # while stdin goes on
        assert process.stderr
        assert b"the release was replaced" in process.stderr.read()


def test_a_reader_that_has_heard_enough_ends_it(releases: dict[int, Path]) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-m", "stages.runtime", "classify", "golden/0.wav"]
    os.close(read)
    finished = subprocess.run(command, cwd=releases[1], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (finished.returncode, complaints(finished.stderr)) == (0, [])
