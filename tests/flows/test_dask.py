"""The sweep on a real Dask cluster: a scheduler and two workers, processes of their own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

sys.path.insert(0, str(Path(__file__).parent))
from fake_cell import make_cell  # type: ignore[import-not-found]

from flows.execution import dask as runners_dask
from flows.execution.executor import ExecutionParams
from flows.sweep.params import DaskParams
from flows.sweep.store import Store
from stages.core.artifacts.variant import read_variants
from stages.core.project import files
from stages.core.project.errors import ParameterError
from tests.messages import line_with

pytestmark = pytest.mark.usefixtures("prefect_server")
ROOT = Path(__file__).parents[2]
FAKE_SWEEP = Path(__file__).with_name("fake_sweep.py")
NAMES = [f"c{i}" for i in range(12)]


class Cluster:
    """A scheduler and workers that can be killed; the workers without nannies, so that none is replaced."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        contact = folder / "scheduler.json"
        options = ["--no-dashboard", "--scheduler-file", str(contact)]
        self.scheduler = self._start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *options)
        await_(contact.is_file)
        self.address = str(files.read_json(contact)["address"])
        self.workers = [self.worker() for _ in range(workers)]

    def worker(self) -> subprocess.Popen[bytes]:
        count = len(list(self.folder.glob("worker-*")))
        local = self.folder / f"worker-{count}"
        local.mkdir()
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(local)]
        process = self._start("distributed.cli.dask_worker", self.address, *options)
        log = self.folder / f"distributed.cli.dask_worker-{process.pid}.log"
        await_(lambda: b"Registered to" in log.read_bytes())
        return process

    def idle(self) -> bool:
        """Tell whether no worker has a task, of whatever flow."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            return not any(client.run(_tasks).values())

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *arguments]
        unnamed = self.folder / f"{module}.starting"
        with unnamed.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        unnamed.rename(self.folder / f"{module}-{process.pid}.log")
        return process


def _tasks(dask_worker: Any) -> int:
    return len(dask_worker.state.tasks)


def await_(condition: Any, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.end()


def attempts(folder: Path) -> dict[str, int]:
    path = folder / "attempts.txt"
    lines = [line.split()[0] for line in path.read_text().splitlines()] if path.is_file() else []
    return {name: lines.count(name) for name in NAMES}


def whole(folder: Path) -> set[str]:
    """Return the cells that are finished."""
    store = Store(folder / "cells")
    return {name for name in NAMES if all(store.has("variants", v.key) for v in make_cell(name).variants)}


def start(folder: Path, address: str, names: list[str] = NAMES) -> subprocess.Popen[bytes]:
    """Start a sweep; what it says is in `folder/told`."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(FAKE_SWEEP), str(folder), "same", address, *names]
    with (folder / "told").open("wb") as told:
        return subprocess.Popen(command, cwd=ROOT, stderr=told)


@pytest.mark.thorough
def test_the_same_files_as_the_local_runner_though_a_worker_is_killed(tmp_path: Path, cluster: Cluster) -> None:
    away, here = tmp_path / "away", tmp_path / "here"
    process = start(away, cluster.address)
    await_(lambda: len(whole(away)) >= 3)
    cluster.workers[0].kill()
    committed, before = whole(away), attempts(away)
    assert process.wait(300) == 0, (away / "told").read_text()
    after = attempts(away)
    assert all(after[name] == before[name] for name in committed), "nothing that was committed is made again"
    assert sum(after.values()) <= len(NAMES) + 2
    assert whole(away) == set(NAMES)

    assert start(here, "").wait(300) == 0
    local, dask = (read_variants(folder / "sweep" / "variants.json") for folder in (here, away))
    assert [(v.name, v.sha256) for v in dask] == [(v.name, v.sha256) for v in local]


def test_without_an_address_the_sweep_has_a_cluster_of_its_own(tmp_path: Path) -> None:
    names = NAMES[:2]  # one after the other
    process = start(tmp_path / "work", "null", names)
    assert process.wait(300) == 0, (tmp_path / "work" / "told").read_text()
    assert attempts(tmp_path / "work") == dict.fromkeys(NAMES, 0) | dict.fromkeys(names, 1)
    made = read_variants(tmp_path / "work" / "sweep" / "variants.json")
    assert {v.name for v in made} == {v.name for name in names for v in make_cell(name).variants}


@pytest.mark.thorough
def test_the_kill_of_the_scheduler_and_of_the_flow_lose_nothing(tmp_path: Path, cluster: Cluster) -> None:
    folder = tmp_path / "work"
    process = start(folder, cluster.address)
    await_(lambda: len(whole(folder)) >= 2)
    process.kill()
    process.wait()
    await_(cluster.idle)  # what runs when a flow dies is still finished
    first, before = whole(folder), attempts(folder)

    process = start(folder, cluster.address)
    await_(lambda: len(whole(folder)) >= len(first) + 2)
    cluster.scheduler.kill()
    assert process.wait(300) == 1
    told = (folder / "told").read_text()
    assert line_with(told, cluster.address, "is gone")
    second, then = whole(folder), attempts(folder)
    assert first <= second
    assert all(then[name] == before[name] for name in first)

    assert start(folder, "").wait(300) == 0
    last = attempts(folder)
    assert all(last[name] == then[name] for name in second)
    assert whole(folder) == set(NAMES)


def test_what_a_cluster_lacks_is_told_in_a_sentence(
    tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, here = tmp_path / "token", runners_dask._CODE
    assert line_with(str(runners_dask._fault(token, here, prefect_server)), str(tmp_path), "sweep.store")
    token.touch()
    assert runners_dask._fault(token, here, prefect_server) is None
    assert str(runners_dask._fault(token, "another", prefect_server)).startswith("has other code than this sweep.")
    nobody = "http://127.0.0.1:9/api"
    assert str(runners_dask._fault(token, here, nobody)).startswith(f"does not reach the Prefect server {nobody}.")

    monkeypatch.setattr(runners_dask, "_CONNECT_S", 1)
    with (
        pytest.raises(ParameterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        runners_dask.dask(ExecutionParams(), address="tcp://127.0.0.1:9", store=tmp_path),
    ):
        pass


@pytest.mark.parametrize("address", ["10.0.0.5:8786", "tcp://10.0.0.5", "http://10.0.0.5:8786"])
def test_an_address_is_checked_as_written(address: str) -> None:
    with pytest.raises(ParameterError, match=r"sweep\.dask\.address must be like tcp://HOST:PORT"):
        DaskParams(address)
