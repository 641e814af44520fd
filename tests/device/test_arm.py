"""The golden recordings of releases on an emulated 64-bit Arm, against this machine: every scheme, both EDAC networks.

Not run by default, because Debian's arm64 packages and the aarch64 wheels are downloaded: `make arm`; see `arm.py`.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.clips import Clip
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import files, plugins
from stages.features.export import export
from stages.features.frontends import log_mel, mfcc
from stages.push import bundle
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model
from tests.bench.arm_instructions import Counter, settle
from tests.device.arm import CORTEX_A72, CORTEX_A76, Device, make_device, run

sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
import tiny  # type: ignore[import-not-found]

pytestmark = pytest.mark.arm

RATE, CLIP_SAMPLES, N_GOLDEN, N_CALIBRATION = 22050, 154350, 4, 24  # four is what `tiny` chooses
FRONTENDS: dict[str, tuple[Any, Any]] = {
    "edac_cnn": (mfcc, mfcc.Config()),
    "edac_cnn_lstm": (log_mel, log_mel.Config(clip_samples=CLIP_SAMPLES, n_fft=4096, hop_length=4000, n_mels=88)),
}
LARGEST_DIFFERENCE = {
    "static": 0.02,
    "dynamic": 0.01,
}  # by the scheme's first word; others compute in float
# LiteRT's own kernel runs 4-bit convolutions and rounds one in twenty otherwise on Arm; random weights make much of it.
# XNNPACK's 8-bit ones give the same integers.
LARGEST_DIFFERENCE_4_BIT_CONVOLUTIONS = 0.15
PACKED = ("static_wi4_ai8", "static_wimixed_ai8")


@pytest.fixture(scope="session")
def device() -> Device:
    return make_device()


def coughs(n: int) -> list[np.ndarray]:
    """Return bursts of noise of many loudnesses, lengths and colours."""
    rng = np.random.default_rng(7)
    clips = []
    for _ in range(n):
        clip = rng.normal(size=CLIP_SAMPLES) * 1e-3
        for start in rng.integers(0, CLIP_SAMPLES // 2, rng.integers(1, 5)):
            noise = np.cumsum(rng.normal(size=RATE)) if rng.random() < 0.5 else rng.normal(size=RATE)
            burst = noise * np.exp(-np.arange(RATE) / rng.uniform(500, 8000))
            clip[start : start + RATE] += rng.uniform(0.05, 0.9) * burst / np.abs(burst).max()
        clips.append(np.clip(clip, -1, 1).astype(np.float32))
    return clips


def release_of(architecture: str, scheme: str, folder: Path) -> Path:
    """Build a release with random weights in a folder."""
    frontend, features, float32 = parts(architecture)
    quantizer, config = QuantizeParams().scheme(scheme)
    model = quantizer.quantize(config, float32, features if quantizer.NEEDS_CALIBRATION else None)
    (folder / "features").mkdir()
    rows = []
    for i, clip in enumerate(coughs(N_GOLDEN)):
        path = folder / f"features/{i}.wav"
        soundfile.write(path, clip, RATE, subtype="PCM_16")
        rows.append(Clip(f"{i}", path, "validation", tiny.LABELS[i % 2]))
    clips_file.write(folder / "features", rows)
    files.write_json(
        folder / "features/frontend.json",
        {"labels": tiny.LABELS, "sample_rate": RATE, "clip_samples": CLIP_SAMPLES, "align": "start"},
    )
    (folder / "selected").mkdir()
    selected = tiny.write_selection(folder / "selected", folder / "features", frontend, model, 0)
    bundle.build(folder / "release", selected=selected, version=1)
    return folder / "release"


@functools.cache
def parts(architecture: str) -> tuple[bytes, np.ndarray, bytes]:
    """Return the front end, features of calibration clips, and the network in float32."""
    module, config = FRONTENDS[architecture]
    frontend = export(module, config)
    features = Model(frontend).run(np.stack(coughs(N_CALIBRATION)))
    keras.utils.set_random_seed(5)
    model, _ = network.build(architecture, {}, features.shape[1:], 2)
    settle(model, features)
    return frontend, features, to_float32(model)


def positive_scores(lines: str) -> np.ndarray:
    return np.array([json.loads(line)["scores"][tiny.LABELS[1]] for line in lines.splitlines()])


@pytest.mark.parametrize("scheme", plugins.names(SCHEMES))
@pytest.mark.parametrize("architecture", FRONTENDS)
def test_scores_on_arm_are_those_of_this_machine(
    architecture: str, scheme: str, device: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = release_of(architecture, scheme, tmp_path)
    golden = [f"golden/{path.name}" for path in sorted((release / "golden").iterdir())]
    command = ["-m", "stages.runtime", "classify", *golden]
    here = positive_scores(run([sys.executable, *command], cwd=release))
    there = positive_scores(device.python(*command, cwd=release))
    assert len(there) == N_GOLDEN
    if plugins.load(SCHEMES, scheme, "scheme").BIT_WIDTH >= 8:  # fewer leave little of what random weights tell apart
        assert here.std() > 0.02  # else being equal would mean nothing
    differences = np.abs(there - here)
    with capsys.disabled():
        each = ", ".join(f"{file} {h:.6f} {d:.1e}" for file, h, d in zip(golden, here, differences, strict=True))
        print(f"\n{architecture} {scheme}: largest difference {differences.max():.1e} (score here, difference: {each})")
    allowed = LARGEST_DIFFERENCE.get(scheme.partition("_")[0], 1e-5)
    assert differences.max() <= (LARGEST_DIFFERENCE_4_BIT_CONVOLUTIONS if scheme in PACKED else allowed)


@pytest.mark.parametrize("architecture", FRONTENDS)
def test_a_release_proves_itself_on_arm(architecture: str, device: Device, tmp_path: Path) -> None:
    release = release_of(architecture, "static_wi8_ai8", tmp_path)
    answer = json.loads(device.python("-m", "stages.runtime", "selftest", cwd=release))
    assert answer["ok"], answer
    assert {check["check"] for check in answer["checks"]} >= {f"golden/{i}.wav" for i in range(N_GOLDEN)}


def test_instructions_of_a_decision_are_counted(tmp_path: Path) -> None:
    """The same on every run, and fewer on a processor that has dot products of 8-bit integers."""
    counter = Counter(tmp_path)
    _, features, float32 = parts("edac_cnn")
    quantizer, config = QuantizeParams().scheme("static_wi8_ai8")
    (tmp_path / "model.tflite").write_bytes(quantizer.quantize(config, float32, features))
    np.save(tmp_path / "clips.npy", features[:6])
    first, again, newer = (
        np.median(counter.decision(name, tmp_path / "model.tflite", tmp_path / "clips.npy")[0])
        for name in (CORTEX_A72.name, CORTEX_A72.name, CORTEX_A76.name)
    )
    assert again == pytest.approx(first, rel=0.005)
    assert newer < 0.9 * first
