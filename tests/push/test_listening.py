"""`edac classify` on this machine: every format, folders, and bad files that end nothing."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.audio import decode
from stages.core.project.errors import DataError, DeviceError
from stages.push.listening import classify, hearing_of
from stages.runtime.audio import read_wav
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing
from tests.messages import line_with
from tests.trees import encode
from tests.wavs import sound, wav

RATE = 16_000
TONE = (0.5 * np.sin(np.arange(RATE) / 5)).astype(np.float32)


class Device:
    """Reads WAV files with the device's reader and answers with what it heard."""

    def __init__(self, hearing: Hearing) -> None:
        self.hearing = hearing
        self.heard: dict[str, np.ndarray] = {}

    def __call__(self, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        bad = 0
        for path in paths:
            try:
                samples, rate = read_wav(Path(path), self.hearing)
            except RuntimeInputError as error:
                bad += 1
                yield {"file": path, "ok": False, "error": str(error)}
                continue
            self.heard[str(len(self.heard))] = samples
            yield {"file": path, "n": len(samples), "rate": rate}
        if bad:
            raise DeviceError(f"Device attic: error: {bad} of {len(paths)} files cannot be classified.")


def run(device: Device, *paths: Path) -> tuple[list[dict[str, Any]], str]:
    answers: list[dict[str, Any]] = []
    try:
        for answer in classify(device, paths, device.hearing):
            answers.append(answer)
    except (DataError, DeviceError) as error:
        return answers, str(error)
    return answers, ""


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".m4a", ".webm", ".aiff"])
@pytest.mark.parametrize("channel", ["mean", "right"])
def test_a_device_hears_of_every_format_what_home_hears(tmp_path: Path, suffix: str, channel: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".m4a", ".webm"):
        encode(path, TONE, 48_000)
    else:
        soundfile.write(path, np.stack([TONE, TONE[::-1] * 0.5], axis=1), RATE)
    device = Device(Hearing(channel=channel))
    (answer,), error = run(device, path)
    assert (answer["file"], error) == (str(path), "")
    samples, rate = decode.decode(path, device.hearing)
    assert answer["rate"] == rate
    np.testing.assert_array_equal(device.heard["0"], samples)


def test_folders_and_bad_files_among_good_ones(tmp_path: Path) -> None:
    (tmp_path / "in" / "__MACOSX").mkdir(parents=True)
    (tmp_path / "none").mkdir()
    for name in ("c.wav", "._c.wav", ".DS_Store", "Thumbs.db", "__MACOSX/c.wav"):
        (tmp_path / "in" / name).write_bytes(wav(sound()))
    soundfile.write(tmp_path / "in" / "a.flac", TONE, RATE)
    (tmp_path / "in" / "b.mp3").write_bytes(b"<html>")
    (tmp_path / "in" / "d.wav").write_bytes(wav(sound(), rate=1))
    (tmp_path / "in" / "notes.txt").write_text("no sound")
    answers, error = run(Device(Hearing()), tmp_path / "in", tmp_path / "none", tmp_path / "in" / "c.wav")
    assert [Path(answer["file"]).name for answer in answers] == ["a.flac", "b.mp3", "c.wav", "d.wav", "none", "c.wav"]
    assert [answer.get("ok", True) for answer in answers] == [True, False, True, False, False, True]
    assert "(a web page; " in answers[1]["error"]
    assert "768000 Hz; got 1." in answers[3]["error"]
    assert line_with(error, "3 of 6 files")


def test_the_rules_of_the_release_hold_for_other_formats_too(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    soundfile.write(path, TONE * 32767, RATE, subtype="FLOAT")
    (answer,), error = run(Device(Hearing()), path)
    assert answer["error"] == error
    assert f"{path} exceeds full scale by 84.3 dB" in error
    device = Device(Hearing(overload="scale"))
    assert run(device, path)[1] == ""
    np.testing.assert_allclose(device.heard["0"], TONE * 32767 / 32768, atol=1e-6)


def test_what_a_release_says_of_hearing_is_found(tmp_path: Path) -> None:
    assert hearing_of(tmp_path) == Hearing()
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 1}))
    assert hearing_of(tmp_path) == Hearing()
