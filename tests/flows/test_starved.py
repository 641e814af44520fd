"""A full disk or TMPDIR: nothing unverified is committed, and the same command succeeds when there is room."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_cell import make_cell  # type: ignore[import-not-found]
from test_cell import spec_of  # type: ignore[import-not-found]

from flows.sweep.cell import Spec, arguments_for
from flows.sweep.grid import Sources
from flows.sweep.store import SUMS, Store
from stages.core.project import files
from stages.core.project.provenance import ROOT
from tests.messages import line_with

NO_TEMPORARY_FILES = """
import errno, runpy, sys, tempfile
def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
tempfile.NamedTemporaryFile = full
runpy.run_module("flows.sweep.cell", run_name="__main__", alter_sys=True)
"""


def make(spec: Spec, folder: Path, *, code: str = "", largest: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Make a cell; no file may become larger than `largest` bytes."""
    _, _, path = arguments_for(spec, folder / "spec.json")
    command = ["-c", code, path] if code else ["-m", "flows.sweep.cell", path]
    limit: Any = None if largest is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit
    )


def committed(store: Path) -> list[Path]:
    return [p for kind in ("finetuned", "variants") if (store / kind).exists() for p in (store / kind).iterdir()]


def is_one_sentence(said: str) -> bool:
    return said.startswith("error: ") and said.count("\n") == 1 and "Traceback" not in said


@pytest.mark.thorough
@pytest.mark.parametrize("largest", [4000, 400])
def test_a_cell_without_room_commits_nothing_and_succeeds_with_room(
    largest: int, tmp_path: Path, sources: Sources
) -> None:
    spec = spec_of(1, tmp_path / "cells", sources)
    starved = make(spec, tmp_path, largest=largest)
    assert starved.returncode == 1, starved.stderr
    assert is_one_sentence(starved.stderr.splitlines(keepends=True)[-1]), starved.stderr
    assert "Traceback" not in starved.stderr
    assert committed(spec.store) == []
    again = make(spec, tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(committed(spec.store)) == 2


@pytest.mark.thorough
def test_a_cell_needs_no_room_for_temporary_files(tmp_path: Path, sources: Sources) -> None:
    spec = spec_of(1, tmp_path / "cells", sources)
    made = make(spec, tmp_path, code=NO_TEMPORARY_FILES)
    assert made.returncode == 0, made.stderr
    assert len(committed(spec.store)) == 2


@pytest.mark.thorough
def test_a_network_that_was_committed_broken_is_made_again(tmp_path: Path, sources: Sources) -> None:
    spec = spec_of(1, tmp_path / "cells", sources)
    assert make(spec, tmp_path).returncode == 0
    store, cell = Store(spec.store), spec.cell
    network = store.folder("finetuned", cell.key)
    good = {path.name: path.read_bytes() for path in network.iterdir()}
    model = store.folder("variants", cell.variants[0].key) / "model.tflite"
    sha256 = files.sha256(model)
    baseline = spec_of(0, spec.store, sources)
    assert make(baseline, tmp_path).returncode == 0
    other = store.folder("finetuned", baseline.cell.key) / "float32.tflite"
    for broken in (other.read_bytes(), good["float32.tflite"][:2000], b""):
        (network / "float32.tflite").write_bytes(broken)
        (network / SUMS).unlink()  # as a release before there were sums committed it
        (model.parent / "variant.json").unlink()
        store.discard("variants", cell.variants[0].key, "test")
        done = make(spec, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "is not sound (" in done.stderr
        assert {path.name: path.read_bytes() for path in network.iterdir()} == good
        assert files.sha256(model) == sha256


@pytest.mark.thorough
@pytest.mark.usefixtures("prefect_server")
def test_a_variant_that_is_damaged_is_made_again_by_the_same_command(tmp_path: Path) -> None:
    cells = [make_cell("a"), make_cell("b")]

    def run() -> tuple[dict[str, str], str]:
        command = [sys.executable, str(ROOT / "tests/flows/fake_sweep.py"), str(tmp_path), "same", "", "a", "b"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return {path.name: files.sha256(path) for path in (tmp_path / "sweep").glob("*.tflite")}, done.stderr

    expected, _ = run()
    store = Store(tmp_path / "cells")
    a, b = (store.folder("variants", cell.variants[0].key).relative_to(tmp_path / "cells") for cell in cells)
    (store.root / a / "model.tflite").write_bytes(b"")
    (store.root / b / "scores.npz").write_bytes(b"half")
    made, said = run()
    assert made == expected
    assert line_with(said, str(a), "(model.tflite", "made again")
    assert line_with(said, str(b), "(scores.npz", "made again")
    (store.root / a / "variant.json").unlink()
    (store.root / b / SUMS).unlink()
    (store.root / b / "variant.json").write_text("{")
    made, said = run()
    assert made == expected
    assert said.count("is not sound") == 2
