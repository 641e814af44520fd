import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort

sys.path.insert(0, str(Path(__file__).parent))
from fake_cell import fake_arguments, make_cell  # type: ignore[import-not-found]

from flows.sweep import run as sweep
from flows.sweep.grid import Cell
from flows.sweep.params import SweepParams
from flows.sweep.store import Store
from flows.sweep.work import Tracking, Work
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import files
from stages.core.project.errors import EdacError
from stages.core.tracking import connection

pytestmark = pytest.mark.usefixtures("prefect_server")
FAKE_SWEEP = Path(__file__).with_name("fake_sweep.py")


@pytest.fixture(scope="session")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlruns")


def run(folder: Path, cells: list[Cell], mlruns: Path, mode: str = "work", **changes: Any) -> list[Variant]:
    params = replace(SweepParams(schemes=("float32",), workers=2, retry_delay_s=0.1, store=folder / "cells"), **changes)
    return sweep.run(Work(cells, fake_arguments(params.store, mode)), params, Tracking(mlruns), folder / "sweep")


def attempts(folder: Path) -> list[str]:
    return sorted(line.split()[0] for line in (folder / "attempts.txt").read_text().splitlines())


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in folder.rglob("*") if path.is_file()}


def finished(folder: Path) -> dict[str, str]:
    """Return what is committed in the store: the digests of its files."""
    stored = contents(folder / "cells")
    return {
        name: digest
        for name, digest in stored.items()
        if name.startswith(("finetuned/", "variants/")) and ".tmp-" not in name
    }


def test_a_sweep_makes_each_cell_once_and_its_output_is_exactly_the_grid(tmp_path: Path, mlruns: Path) -> None:
    a, b, c = (make_cell(name) for name in "abc")
    variants = run(tmp_path, [b, a], mlruns)
    assert [v.name for v in variants] == ["a-float16", "a-float32", "b-float16", "b-float32"]
    assert read_variants(tmp_path / "sweep" / "variants.json") == variants
    small = contents(tmp_path / "sweep")
    assert sorted(small) == sorted(
        ["variants.json", "sweep.json", "history/a.csv", "history/b.csv"]
        + [f"{n}.tflite" for n in ("a-float16", "a-float32", "b-float16", "b-float32")]
        + [f"scores/{n}.npz" for n in ("a-float16", "a-float32", "b-float16", "b-float32")]
    )

    run(tmp_path, [a, b, c], mlruns)
    assert attempts(tmp_path) == ["a", "b", "c"], "a grid that grows costs its new cells alone"
    changed = small.items() - contents(tmp_path / "sweep").items()
    assert changed == {(name, small[name]) for name in ("variants.json", "sweep.json")}

    run(tmp_path, [b, a], mlruns)
    assert attempts(tmp_path) == ["a", "b", "c"]
    assert contents(tmp_path / "sweep") == small, "and one that shrinks back gives the same output"

    more = make_cell("a", ("float32", "float16", "int8"))
    before = finished(tmp_path)
    variants = run(tmp_path, [more, b], mlruns)
    assert attempts(tmp_path) == ["a", "a", "b", "c"]
    assert before.items() <= finished(tmp_path).items(), "another scheme redoes nothing that was there"

    tracker = connection.connect(mlruns)
    runs = tracker.client.search_runs([tracker.experiment_id])
    logged = [r.data.tags["edac.key"] for r in runs if "edac.key" in r.data.tags]
    assert len(logged) == len(set(logged)) == 7
    assert {r.info.status for r in runs} == {"FINISHED"}
    sweeps = [r.data.params for r in runs if "edac.key" not in r.data.tags]
    assert {(given["criteria"], given["qat_schemes"]) for given in sweeps} == {("('magnitude',)", "()")}

    with get_client(sync_client=True) as client:
        newest = client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=50)  # of other tests at the same time too
    row = "| a-int8 | 0.5 | 32 | 64 | 0 | 64 | – | – |"
    flow_run = next(a.flow_run_id for a in newest if a.key == "variants" and row in str(a.data))
    assert {a.key for a in newest if a.flow_run_id == flow_run} == {"front", "progress", "variants"}

    (Store(tmp_path / "cells").folder("variants", variants[0].key) / "model.tflite").write_bytes(b"rotten")
    again = run(tmp_path, [more, b], mlruns)  # it is made again, of other random bytes
    assert [v.name for v in again] == [v.name for v in variants]
    assert [v.sha256 for v in again][1:] == [v.sha256 for v in variants][1:]
    assert again[0].sha256 == files.sha256(tmp_path / "sweep" / f"{variants[0].name}.tflite") != variants[0].sha256


def test_failed_cells_are_named_at_the_end_and_the_others_are_kept(tmp_path: Path, mlruns: Path) -> None:
    cells = [make_cell(name) for name in "xyz"]
    with pytest.raises(EdacError, match=r"1 of 3 cells failed: title of y \(The weights went sour"):
        run(tmp_path, cells, mlruns, "fail y")
    assert not (tmp_path / "sweep").exists()
    kept = finished(tmp_path)
    with pytest.raises(EdacError, match=r"title of y \(was killed by SIGABRT\)"):
        run(tmp_path, cells, mlruns, "die y")
    with pytest.raises(EdacError, match=r"title of y \(.*limit of 4 s\)"):
        run(tmp_path, cells, mlruns, "hang y", cell_timeout_s=4.0)
    (hung,) = [int(line.split()[1]) for line in (tmp_path / "attempts.txt").read_text().splitlines() if line[0] == "y"][
        -1:
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(hung, 0)
    run(tmp_path, cells, mlruns)
    assert attempts(tmp_path) == ["x", *["y"] * (1 + 3 + 1 + 1), "z"], "only the kill was worth another try, and two"
    assert kept.items() <= finished(tmp_path).items()
    tracker = connection.connect(mlruns)
    failed = tracker.client.search_runs([tracker.experiment_id], f"tags.`edac.cell` = '{cells[1].key}'")
    told = [run.data.tags["error"] for run in failed if run.info.status == "FAILED"]
    assert sorted(told) == [
        "The weights went sour. Try again",
        "exceeded its time limit of 4 s",
        "was killed by SIGABRT",
    ]


@pytest.mark.thorough
def test_kill_9_at_random_moments_loses_and_redoes_nothing_finished(tmp_path: Path, prefect_server: str) -> None:
    names = [f"c{i}" for i in range(40)]
    command = [sys.executable, str(FAKE_SWEEP), str(tmp_path), "slow", "", *names]
    env = {**os.environ, "PREFECT_API_URL": prefect_server}
    rng = random.Random(1234)
    kept: dict[str, str] = {}
    whole: set[str] = set()
    for _ in range(3):
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
        until = count(tmp_path) + rng.randint(1, 12)
        while process.poll() is None and count(tmp_path) < until:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_for_children(tmp_path)
        now = finished(tmp_path)
        assert kept.items() <= now.items(), "what was finished before has the same bytes"
        kept = now
        whole |= {
            name
            for name in names
            if all(Store(tmp_path / "cells").has("variants", v.key) for v in make_cell(name).variants)
        }
        again = attempts(tmp_path)
    assert 0 < len(whole) < len(names)
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
    assert kept.items() <= finished(tmp_path).items()
    last = attempts(tmp_path)
    assert all(last.count(name) == again.count(name) for name in whole), "and is not computed again"
    assert not list((tmp_path / "cells").glob("*/.tmp-*")), "what the kills left is swept up"
    assert len(read_variants(tmp_path / "sweep" / "variants.json")) == 2 * len(names)

    tracker = connection.connect(tmp_path / "mlruns")
    runs = tracker.client.search_runs([tracker.experiment_id])
    done = [r.data.tags["edac.key"] for r in runs if r.info.status == "FINISHED" and "edac.key" in r.data.tags]
    assert len(done) == len(set(done)) == 2 * len(names)
    assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}


def count(folder: Path) -> int:
    return len(list(folder.glob("cells/variants/[!.]*")))


def wait_for_children(folder: Path) -> None:
    """Wait until no cell of a killed sweep is alive: by themselves they must end."""
    pids = [int(line.split()[1]) for line in (folder / "attempts.txt").read_text().splitlines()]
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a cell outlived its sweep"
        time.sleep(0.01)
