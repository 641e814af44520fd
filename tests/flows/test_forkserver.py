"""A forked cell is a fresh one: the same bytes, and its end is nobody else's."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.execution.failures import ProcessError, TransientProcessError
from flows.execution.processes import Processes, children
from flows.sweep.cell import arguments_for, preload_for
from flows.sweep.grid import Sources
from flows.sweep.store import Store
from stages.core.project import files

sys.path.insert(0, str(Path(__file__).parent))
from test_cell import ROOT, spec_of  # type: ignore[import-not-found]


@pytest.mark.thorough
def test_a_forked_cell_gives_the_bytes_of_a_fresh_one(tmp_path: Path, sources: Sources) -> None:
    fresh, forked = (spec_of(1, tmp_path / name / "cells", sources) for name in ("fresh", "forked"))
    command = [sys.executable, *arguments_for(fresh, tmp_path / "fresh.json")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    preload = preload_for([forked.cell], Store(forked.store))
    assert "stages.core.nn.loaded" in preload
    with children(preload=preload) as processes:
        processes.run(arguments_for(forked, tmp_path / "forked.json"), log=tmp_path / "log", timeout_s=600)

    def contents(store: Path) -> dict[str, str]:
        return {str(p.relative_to(store)): files.sha256(p) for p in store.rglob("*") if p.parent.parent.parent == store}

    made = contents(forked.store)
    assert {"weights.npz", "float32.tflite", "model.tflite", "variant.json"} <= {Path(name).name for name in made}
    assert made == contents(fresh.store)


def written(folder: Path, name: str, script: str) -> tuple[str]:
    path = folder / name
    path.write_text(script)
    return (str(path),)


SLEEP = "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(60)"


def started(log: Path) -> tuple[int, int]:
    """Return the ids of a child and of its keeper."""
    deadline = time.monotonic() + 60
    while not (log.is_file() and log.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child, keeper = map(int, log.read_text().split())
    return child, keeper


def run_beside(processes: Processes, arguments: tuple[str, ...], log: Path) -> tuple[threading.Thread, list[Exception]]:
    errors: list[Exception] = []

    def run() -> None:
        try:
            processes.run(arguments, log=log, timeout_s=60)
        except ProcessError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_the_kill_of_one_hurts_that_one_only_and_even_the_servers_none(tmp_path: Path) -> None:
    sleep, quick = written(tmp_path, "sleep.py", SLEEP), written(tmp_path, "quick.py", "print('done')")
    with children() as processes:
        (one, one_failed), (two, two_failed) = (
            run_beside(processes, sleep, tmp_path / name) for name in ("one.log", "two.log")
        )
        child, keeper = started(tmp_path / "one.log")
        other, _ = started(tmp_path / "two.log")
        assert processes._server
        assert os.getpgid(child) == child, "a group of its own"
        os.kill(child, signal.SIGKILL)
        one.join(10)
        assert [type(error) for error in one_failed] == [TransientProcessError]
        processes._server.kill()
        processes._server.wait()
        processes.run(quick, log=tmp_path / "quick.log", timeout_s=60)
        os.kill(other, 0)
        assert two.is_alive(), "its keeper watches it still, and another server serves the next"
        child, keeper = started(tmp_path / "two.log")
        os.kill(keeper, signal.SIGKILL)
        two.join(10)
        assert str(two_failed[0]) == "lost the process that watched it"


def test_a_want_of_memory_is_worth_another_try_and_a_mistake_is_none(tmp_path: Path) -> None:
    greedy = written(tmp_path, "greedy.py", "x = bytearray(1 << 62)")
    wrong = written(tmp_path, "wrong.py", "raise KeyError('x')")
    with children() as processes:
        with pytest.raises(TransientProcessError, match="MemoryError"):
            processes.run(greedy, log=tmp_path / "log", timeout_s=60)
        with pytest.raises(ProcessError, match="KeyError: 'x'") as raised:
            processes.run(wrong, log=tmp_path / "log", timeout_s=60)
    assert not isinstance(raised.value, TransientProcessError)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_who_runs_out_of_time_ends_with_all_that_it_started(tmp_path: Path) -> None:
    script = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, 0, flush=True); time.sleep(60)"
    with children() as processes, pytest.raises(ProcessError, match=r"exceeded its time limit of 5 s"):
        processes.run(written(tmp_path, "s.py", script), log=tmp_path / "log", timeout_s=5)
    grandchild, _ = started(tmp_path / "log")
    deadline = time.monotonic() + 10
    while Path(f"/proc/{grandchild}").exists() and "Z" not in Path(f"/proc/{grandchild}/stat").read_text().split():
        assert time.monotonic() < deadline
        time.sleep(0.01)
