from collections.abc import Callable
from pathlib import Path

import pytest

from stages.runtime.manifest import load
from stages.runtime.selftest import selftest


def checks(folder: Path) -> dict[str, bool]:
    return {check["check"]: check["ok"] for check in selftest(folder)["checks"]}


def test_a_sound_release_passes_but_for_this_process_that_has_tensorflow(releases: dict[int, Path]) -> None:
    for folder in releases.values():
        assert checks(folder) == {"files": True, "golden/0.wav": True, "golden/1.wav": True, "modules": False}
        assert "tensorflow" in selftest(folder)["modules"]


def test_a_flipped_bit_fails(release: Path) -> None:
    content = bytearray((release / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (release / "model.tflite").write_bytes(content)
    report = selftest(release)
    assert not report["ok"]
    assert report["checks"][0]["detail"] == "missing or altered: model.tflite"


def test_another_score_fails(release: Path, alter: Callable[..., None]) -> None:
    scores = load(release).golden[0].scores
    alter(golden=[{"file": "golden/0.wav", "scores": [scores[0] + 2e-4]}])
    assert checks(release) == {"files": True, "golden/0.wav": False, "modules": False}
    alter(tolerance=3e-4)
    assert checks(release)["golden/0.wav"]


@pytest.mark.parametrize("name, check", [("model.tflite", "load"), ("golden/1.wav", "golden/1.wav")])
def test_a_listed_file_that_is_of_no_use_fails(
    release: Path, alter: Callable[..., None], name: str, check: str
) -> None:
    (release / name).write_bytes(b"nothing of use")
    alter()
    assert checks(release)[check] is False
