"""The runtime as a device has it: a fresh process, the release's own code, nothing of home."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.runtime import __main__
from tests.messages import line_with

PRINT_FOREIGN_MODULES = """
import importlib, pkgutil, sys
import stages.runtime
for module in pkgutil.iter_modules(stages.runtime.__path__, "stages.runtime."):
    importlib.import_module(module.name)
before = set(sys.stdlib_module_names) | set(sys.argv[1:])
print(sorted({name.partition(".")[0] for name in sys.modules} - before))
"""


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def runtime(folder: Path, *arguments: str) -> Any:
    finished = python(folder, "-m", "stages.runtime", *arguments)
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_the_runtime_needs_numpy_and_litert_only(releases: dict[int, Path]) -> None:
    site = python(releases[1], "-c", "import sys; print(*{n.partition('.')[0] for n in sys.modules})").stdout.split()
    finished = python(releases[1], "-c", PRINT_FOREIGN_MODULES, *site)
    assert finished.stdout == "['ai_edge_litert', 'numpy', 'stages']\n", finished.stderr


def test_classify_prints_one_json_line_per_file(releases: dict[int, Path]) -> None:
    answers = runtime(releases[1], "classify", "golden/0.wav", "golden/1.wav")
    assert [answer["file"] for answer in answers] == ["golden/0.wav", "golden/1.wav"]
    assert {answer["label"] for answer in answers} <= {"negative", "positive"}
    golden = json.loads((releases[1] / "manifest.json").read_text())["golden"]
    for answer, expected in zip(answers, golden, strict=True):
        assert answer["score"] == pytest.approx(expected["scores"][0], abs=1e-5)


def test_classify_goes_through_a_folder_and_names_what_it_cannot_read(
    releases: dict[int, Path], tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "B.WAV").write_bytes((releases[1] / "golden" / "0.wav").read_bytes())
    (tmp_path / "a.wav").write_bytes(b"no sound")
    (tmp_path / "notes.txt").write_text("no sound either")
    finished = python(releases[1], "-m", "stages.runtime", "classify", str(tmp_path), "golden/0.wav")
    bad, deep, last = map(json.loads, finished.stdout.splitlines())
    assert [Path(line["file"]).name for line in (bad, deep, last)] == ["a.wav", "B.WAV", "0.wav"]
    assert line_with(bad["error"], "a.wav", "WAV")
    assert deep["score"] == last["score"]
    assert finished.returncode == 1
    assert line_with(finished.stderr, "error: 1 of 3 files", bad["error"])


def test_an_empty_folder_is_told(releases: dict[int, Path], tmp_path: Path) -> None:
    finished = python(releases[1], "-m", "stages.runtime", "classify", str(tmp_path))
    assert line_with(finished.stderr, f"error: {tmp_path}", "no WAV file")


def test_a_release_passes_its_self_test_on_its_own(releases: dict[int, Path]) -> None:
    for folder in releases.values():
        (report,) = runtime(folder, "selftest")
        assert report["ok"]
        assert report["modules"] == []


def test_a_damaged_release_fails_with_exit_code_1(release: Path) -> None:
    (release / "golden" / "0.wav").write_bytes(b"")
    finished = python(release, "-m", "stages.runtime", "selftest")
    assert finished.returncode == 1
    assert json.loads(finished.stdout)["ok"] is False


def test_info_and_another_folder(releases: dict[int, Path]) -> None:
    (info,) = runtime(releases[1], "info", "--folder", str(releases[3]))
    assert info["labels"] == ["a", "b", "c"]


def test_benchmark_reports_times_and_memory(releases: dict[int, Path]) -> None:
    (report,) = runtime(releases[1], "benchmark", "--runs", "5")
    for part in ("frontend_ms", "model_ms", "together_ms"):
        assert 0 < report[part]["p50"] <= report[part]["p95"] <= report[part]["p99"]
    assert report["real_time_factor"] == pytest.approx(report["together_ms"]["p50"] / 1000, abs=2e-6)  # clips of 1 s
    assert report["peak_rss_mib"] > 1
    cold = report["cold_start_s"]
    assert list(cold) == ["interpreter", "imports", "load", "first_run", "total"]
    assert min(cold.values()) > 0
    assert sum(cold.values()) == pytest.approx(2 * cold["total"], abs=1e-3)


@pytest.mark.parametrize(
    "arguments, facts",
    [
        (["classify", "none.wav"], ["error: none.wav", "(No such file or directory)"]),
        (["classify", "manifest.json"], ["error: manifest.json", "WAV", "JSON"]),
        (["benchmark", "--runs", "0"], ["error: runs", "threads", "warmup", "got 0, 1, 20"]),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(
    releases: dict[int, Path], arguments: list[str], facts: list[str]
) -> None:
    finished = python(releases[1], "-m", "stages.runtime", *arguments)
    assert finished.returncode == 1
    assert all(json.loads(line)["ok"] is False for line in finished.stdout.splitlines())
    assert line_with(finished.stderr.splitlines()[-1], *facts)
    assert "Traceback" not in finished.stderr


def test_every_command_says_what_it_does() -> None:
    parser = __main__._parser()
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    assert {each.dest for each in commands._choices_actions if each.help} == set(commands.choices)
