"""Kill -9 at random moments: `python -m tests.flows.kills --kills 20` prints what was lost and done twice, as JSON.

A sweep of cells that take half a second is killed, or one of its cells, or the MLflow server that it logs to, or of the
Dask cluster that makes its cells a worker or the scheduler; what died is started again. An undisturbed sweep of the
same cells says what the table must be. Without `worker` and `scheduler` among the victims there is no cluster.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from distributed import Client
from fake_cell import make_cell  # type: ignore[import-not-found]

from flows import guard, ui
from flows.sweep.store import Store
from stages.core.project import files
from stages.core.tracking import connection

ROOT = Path(__file__).parents[2]
VICTIMS = ("flow", "cell", "mlflow", "worker", "scheduler")
CELLS_PER_KILL = 5
_SERVE = (
    "from flows.execution.prefect_server import server\nwith server() as address: print(address, flush=True); input()"
)
_DASK = "distributed.cli.dask_"
_DEADLINE_S = 600.0


class Disturbed:
    """A sweep in a folder, and what it logs to, all of which may be killed and started again."""

    def __init__(self, folder: Path, names: list[str], mlflow: list[str] | None = None, *, dask: bool = False) -> None:
        """Start with nothing running."""
        self.folder, self.names, self._mlflow = folder, names, mlflow
        self._dask = f"tcp://{ui.HOST}:{_free_port()}" if dask else ""
        self._logs = (folder / "sweep.log").open("ab")
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what does not run."""
        python, quiet = sys.executable, "--no-dashboard"
        if self._mlflow:
            self._start("mlflow", self._mlflow)
        if self._dask:
            port = self._dask.rpartition(":")[2]
            self._start("scheduler", [python, "-m", _DASK + "scheduler", "--host", ui.HOST, "--port", port, quiet])
            for name in ("worker", "worker 2"):
                options = ("--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder))
                self._start(name, [python, "-m", _DASK + "worker", self._dask, *options, quiet])
            with Client(self._dask, timeout=_DEADLINE_S, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                client.wait_for_workers(2, timeout=_DEADLINE_S)  # type: ignore[no-untyped-call]
        script = str(ROOT / "tests/flows/fake_sweep.py")
        self._start("flow", [python, script, str(self.folder), "same", self._dask, *self.names])

    def _start(self, name: str, command: list[str]) -> None:
        if name not in self._started or self._started[name].poll() is not None:
            self._started[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | ui.MLFLOW_ENVIRONMENT,
                stdout=self._logs,
                stderr=self._logs,
                start_new_session=name == "mlflow",
            )

    def kill(self, victim: str) -> bool:
        """Kill -9 one of them; return False if it did not run."""
        if victim == "cell":
            _until(lambda: self.working() or not self.running(), "no cell starts")
            running = self.working()
            with contextlib.suppress(ProcessLookupError):
                os.kill(running[-1], signal.SIGKILL) if running else None
            return bool(running)
        process = self._started.get(victim)
        if process is None or process.poll() is not None:
            return False
        (os.killpg if victim == "mlflow" else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        if victim == "scheduler":  # the others see it, sooner or later
            left = [self._started[name] for name in ("worker", "worker 2", "flow")]
            _until(lambda: all(other.poll() is not None for other in left), "something lives on without a scheduler")
        if victim == "flow" and not self._dask:
            _until(lambda: not self.working(), "a cell lives on")
        return True

    def running(self) -> bool:
        """Return whether the sweep runs."""
        return self._started["flow"].poll() is None

    def code(self) -> int:
        """Return how the sweep ended."""
        return self._started["flow"].wait(_DEADLINE_S)

    def stop(self) -> None:
        """Kill all."""
        for victim in ("flow", "mlflow", "worker", "worker 2", "scheduler"):
            self.kill(victim)
        self._logs.close()

    def attempts(self) -> list[tuple[str, int]]:
        """Return every start of a cell: its name and process."""
        path = self.folder / "attempts.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def working(self) -> list[int]:
        """Return the processes that are at a cell."""
        return [pid for _, pid in self.attempts() if Path(f"/proc/{pid}").exists()]

    def committed(self) -> dict[str, str]:
        """Return the sha256 of every finished model."""
        models = self.folder.glob("cells/variants/[!.]*/model.tflite")
        return {path.parent.name: files.sha256(path) for path in models}

    def whole(self) -> list[str]:
        """Return the cells of which nothing is missing."""
        store = Store(self.folder / "cells")
        return [n for n in self.names if all(store.has("variants", v.key) for v in make_cell(n).variants)]

    def table(self) -> dict[str, str]:
        """Return the sha256 of every file of the sweep's output."""
        folder = self.folder / "sweep"
        return {p.relative_to(folder).as_posix(): files.sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def disturb(folder: Path, kills: int, *, victims: tuple[str, ...] = VICTIMS, seed: int = 1234) -> dict[str, Any]:
    """Kill at random moments; each victim comes as often as the others.

    Needs PREFECT_API_URL.

    Returns
    -------
    dict
        What happened; `lost`, `recomputed`, `logged_twice` and `not_logged` must be 0, `same_table` True.
    """
    rng, began = random.Random(seed), time.monotonic()
    names = [f"c{i:03d}" for i in range(CELLS_PER_KILL * kills)]
    calm = Disturbed(_new(folder / "calm"), names)
    calm.start()
    calm.code()
    calm.stop()
    port = _free_port()
    secret = guard.password(folder / "password")
    with (
        _environment("MLFLOW_TRACKING_URI", f"http://{ui.HOST}:{port}" if "mlflow" in victims else ""),
        _environment("MLFLOW_TRACKING_USERNAME", guard.USER),
        _environment("MLFLOW_TRACKING_PASSWORD", secret),
    ):
        tracked = _new(folder / "tracked")
        service = ui.mlflow_server(port, tracked, folder / "password")
        with _environment("MLFLOW_TRACKING_URI", ""):
            connection.connect(tracked)  # makes the database
        sweep = Disturbed(
            _new(folder / "killed"),
            names,
            [sys.executable, *service.arguments] if "mlflow" in victims else None,
            dask=not {"worker", "scheduler"}.isdisjoint(victims),
        )
        order = [victims[i % len(victims)] for i in range(kills)]
        rng.shuffle(order)
        killed: Counter[str] = Counter()
        kept: dict[str, str] = {}
        lost, before = 0, [Counter[str]()]
        done: list[list[str]] = [[]]
        try:
            sweep.start()
            for victim in order:
                goal = len(sweep.committed()) + rng.randint(1, 9)
                _until(lambda goal=goal: len(sweep.committed()) >= goal or not sweep.running(), "no progress")  # type: ignore[misc]
                time.sleep(rng.uniform(0, 0.3))
                killed[victim] += sweep.kill(victim)
                whole, now = sweep.whole(), sweep.committed()
                lost += len(kept.items() - now.items())
                kept = now
                done.append(whole)
                before.append(Counter(name for name, _ in sweep.attempts()))
                sweep.start()
            codes = [sweep.code()]
            for _ in range(3):  # as a person would, the same command again, and MLflow is there by now
                if "mlflow" in victims:
                    _until(lambda: ui.answers(service.health), "MLflow does not start")
                done.append(sweep.whole())
                before.append(Counter(name for name, _ in sweep.attempts()))
                sweep.start()
                codes.append(sweep.code())
                if codes[-1] == 0:
                    break
            lost += len(kept.items() - sweep.committed().items())
            after = Counter(name for name, _ in sweep.attempts())
            again = {n for whole, then in zip(done, before, strict=True) for n in whole if after[n] > then[n]}
            times = _logged(tracked if "mlflow" in victims else sweep.folder / "mlruns")
            keys = {v.key for name in names for v in make_cell(name).variants}
            return {
                "cells": len(names),
                "kills": dict(sorted(killed.items())),
                "attempts": sum(after.values()),
                "lost": lost,
                "recomputed": len(again),
                "exit_codes": codes,
                "same_table": sweep.table() == calm.table() != {},
                "logged_twice": sum(count > 1 for count in times.values()),
                "not_logged": len(keys - times.keys()),
                "seconds": round(time.monotonic() - began, 1),
            }
        finally:
            sweep.stop()


def _logged(folder: Path) -> Counter[str]:
    """Return how often each variant is a finished run in MLflow's folder."""
    with _environment("MLFLOW_TRACKING_URI", ""):
        client = connection.connect(folder).client
    experiments = [each.experiment_id for each in client.search_experiments()]
    times: Counter[str] = Counter()
    token = None
    while True:
        page = client.search_runs(experiments, "attributes.status = 'FINISHED'", page_token=token)
        times.update(run.data.tags["edac.key"] for run in page if "edac.key" in run.data.tags)
        token = page.token
        if not token:
            return times


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _until(true: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server((ui.HOST, 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for a block; empty removes it."""
    earlier = os.environ.pop(name, None)
    os.environ.update({name: value} if value else {})
    try:
        yield
    finally:
        os.environ.pop(name, None)
        os.environ.update({name: earlier} if earlier else {})


def main() -> None:
    """Kill, and print what came of it; exit code 1 if anything was lost, done twice or otherwise than undisturbed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--folder", help="to keep what was made; must not exist")
    given = parser.parse_args()
    with (
        contextlib.nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder,
        _environment("PREFECT_HOME", folder),
        subprocess.Popen(
            [sys.executable, "-c", _SERVE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout
        with _environment("PREFECT_API_URL", server.stdout.readline().strip()):
            found = disturb(Path(folder) / "kills", given.kills, victims=tuple(given.victims), seed=given.seed)
        server.communicate("\n")
    print(json.dumps(found, indent=2))
    wrong = any(found[name] for name in ("lost", "recomputed", "logged_twice", "not_logged"))
    sys.exit(int(wrong or not found["same_table"]))


if __name__ == "__main__":
    main()
