"""The runtime's wheel in a virtual environment that was empty: nothing of home is there to import."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stages.push.wheels import runtime_wheel

# `make test` runs a release in processes of its own in test_runtime_cli.py and test_bundle.py.
pytestmark = pytest.mark.thorough
HOME_ONLY = ("tensorflow", "keras", "librosa", "sklearn", "scipy", "soundfile", "stages.core")


@pytest.fixture(scope="session")
def edac_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console command of an environment with the wheel and what it requires, from pip's index or cache."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install"]
    install += ["--quiet", "--only-binary", ":all:", runtime_wheel(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "No matching distribution found for" in done.stderr:
        pytest.skip("pip has no index to install numpy and ai-edge-litert from")
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin" / "edac-runtime"


def run(command: Sequence[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)


def ask(edac_runtime: Path, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    finished = run([edac_runtime, *arguments], folder)
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_nothing_of_home_can_be_imported(edac_runtime: Path, tmp_path: Path) -> None:
    for name in HOME_ONLY:
        finished = run([edac_runtime.with_name("python"), "-c", f"import {name}"], tmp_path)
        assert finished.returncode == 1
        assert f"No module named '{name}'" in finished.stderr


def test_it_classifies_and_passes_the_self_test(edac_runtime: Path, releases: dict[int, Path]) -> None:
    for folder in releases.values():
        (report,) = ask(edac_runtime, folder, "selftest")
        assert (report["ok"], report["modules"]) == (True, [])
        golden = json.loads((folder / "manifest.json").read_text())["golden"]
        answers = ask(edac_runtime, folder, "classify", "golden")
        for answer, expected in zip(answers, golden, strict=True):
            scores = list(answer["scores"].values())[-len(expected["scores"]) :]
            assert scores == pytest.approx(expected["scores"], abs=1e-5)


def test_it_measures_itself(edac_runtime: Path, releases: dict[int, Path], tmp_path: Path) -> None:
    (report,) = ask(edac_runtime, tmp_path, "benchmark", "--runs", "5", "--folder", str(releases[1]))
    assert report["cold_start_s"]["total"] > 0
