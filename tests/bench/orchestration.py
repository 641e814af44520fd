"""What it costs to run a cell, the cell itself apart; prints JSON.

    python -m tests.bench.orchestration overhead [--cells 200]
    python -m tests.bench.orchestration start [--rounds 5]
    python -m tests.bench.orchestration grid [--cells 10000]
    python -m tests.bench.orchestration threads [--rounds 3]
    python -m tests.bench.orchestration mlflow [--cells 10000]

*overhead*: a sweep of cells that do nothing, through Prefect, with its server in this process, once without a process
per cell and once with a forked one that ends at once. *start*: a process that has all that a fine-tuning imports, fresh
and forked, in turns, and what it adds to memory. *grid*: a large grid of cells that do nothing, submitted in a window
and all at once, each in a process of its own: seconds until the first result and in all, and the peak of memory.
*threads*: real fine-tunings of the EDAC CNN, two at a time with one thread each against one at a time with two.
*mlflow*: questions to an MLflow on SQLite that holds a run per cell of a large grid; all are copies of one.
"""

import argparse
import contextlib
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import flows  # noqa: F401  says to Prefect what it must know before it is imported
from flows.execution.processes import children
from flows.sweep.cell import Spec, arguments_for, preload_for
from flows.sweep.grid import Cell, Sources
from flows.sweep.inputs import SweepInputs
from flows.sweep.params import SweepParams
from flows.sweep.plan import plan
from flows.sweep.store import Store
from stages.core.artifacts import clips as clips_file
from stages.core.nn import network
from stages.core.project import files
from stages.core.tracking import connection
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams
from tests.bench import tracking as bench

SWEEP = SweepParams(schemes=("float32",), workers=2)
BAR_MS = 100.0


def sweep_of_nothing(n: int, *, workers: int = 2, ahead: int | None = None, fork: bool = False) -> dict[str, float]:
    """Return the seconds until the first result and in all, of a sweep whose cells do nothing."""
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows.execution import executor
    from flows.execution.prefect_server import server

    if ahead is not None:
        executor.AHEAD = ahead
    with tempfile.TemporaryDirectory() as temporary, server(), children() as processes:
        script = Path(temporary, "nothing.py")
        script.touch()
        processes.run([str(script)], log=Path(temporary, "log"), timeout_s=60)  # the server of processes is up
        nowhere = Path(temporary, "never")

        names = [f"c{i}" for i in range(n)]
        jobs = (
            executor.Job(name, name, (str(script),), Path(temporary, name), (nowhere,), ("cell", "nothing"))
            for name in names
        )
        run: Callable[..., None] = processes.run if fork else lambda *_, **__: None
        runner: Any = ThreadPoolTaskRunner(max_workers=workers)
        nothing = executor.Executor(executor.ExecutionParams(), runner, run, workers)
        moments: list[float] = []

        def flow() -> None:
            for _, failure in nothing.run(jobs):
                assert failure is None, failure
                moments.append(time.perf_counter())

        start = time.perf_counter()
        nothing.in_flow("nothing", flow)
        total = time.perf_counter() - start
    return {"first_s": moments[0] - start, "cells_s": moments[-1] - start, "total_s": total}


def overhead(cells: int) -> dict[str, Any]:
    """Return milliseconds per cell."""
    sweep_of_nothing(10)
    without, forked = (sweep_of_nothing(cells, fork=fork)["total_s"] / cells * 1e3 for fork in (False, True))
    return {
        "cells": cells,
        "overhead_ms_per_cell": round(without, 1),
        "with_a_forked_process_ms_per_cell": round(forked, 1),
        "bar_ms": BAR_MS,
        "reached": without < BAR_MS,
    }


def start(rounds: int) -> dict[str, Any]:
    """Return what a process with all imports costs, fresh and forked."""
    preload = preload_for([Cell("", "", "", "", 0.0, 0, "absent", ())], Store(Path("nowhere")))
    with tempfile.TemporaryDirectory() as temporary:
        script, log = Path(temporary, "ready.py"), Path(temporary, "log")
        script.write_text(
            "".join(f"import {module}\n" for module in preload)
            + "import psutil, time\nprint(psutil.Process().memory_full_info().uss / 1e6, time.process_time())\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        seconds: dict[str, list[float]] = {"fresh": [], "forked": []}
        told: dict[str, str] = {}
        with children(preload=preload) as processes:
            before = time.perf_counter()
            processes.run([str(script)], log=log, timeout_s=300)
            once = time.perf_counter() - before
            for _ in range(rounds):
                before = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, script], env=environment, capture_output=True, text=True, start_new_session=True
                )
                seconds["fresh"].append(time.perf_counter() - before)
                told["fresh"] = done.stdout
                before = time.perf_counter()
                processes.run([str(script)], log=log, timeout_s=300)
                seconds["forked"].append(time.perf_counter() - before)
                told["forked"] = log.read_text()
    own, processor = ({name: float(text.split()[i]) for name, text in told.items()} for i in (-2, -1))
    ratio = statistics.median(f / s for f, s in zip(seconds["fresh"], seconds["forked"], strict=True))
    return {
        "rounds": rounds,
        "median_s": {name: round(statistics.median(times), 3) for name, times in seconds.items()},
        "fresh_over_forked": round(ratio, 1),
        "first_s": round(once, 2),
        "processor_s": {name: round(seconds, 3) for name, seconds in processor.items()},
        "memory_of_its_own_mb": {name: round(megabytes) for name, megabytes in own.items()},
    }


def grid(cells: int) -> dict[str, Any]:
    """Return time and memory of a large grid, in a window and all at once, each in a fresh process."""
    result: dict[str, Any] = {"cells": cells}
    for name, ahead in (("window", None), ("at_once", cells)):
        code = (
            "import json, resource, sys; from tests.bench.orchestration import sweep_of_nothing as s; s(1); "
            "r = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3; before = r(); "
            f"t = s({cells}, ahead={ahead}); print(json.dumps(t | {{'before_mb': before, 'peak_mb': r()}}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        result[name] = {key: round(value, 1) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}
    return result


def searches(cells: int) -> dict[str, Any]:
    """Return seconds of what a sweep, the selection and `edac` ask MLflow."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench.write_data(folder)
        tracker = connection.connect(folder / "mlruns").with_data(folder)
        with tracker.sweep("grid", {}) as parent:
            first = tracker.log_variant(replace(bench.VARIANT, key=f"{0:032d}"), folder / "model.tflite", parent)
        with contextlib.closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as database, database:
            _copy(database, first, [f"{i:032d}" for i in range(1, cells)])
        asked: dict[str, Callable[[], object]] = {
            "whether_a_variant_is_there_s": lambda: tracker.device_latencies([f"{cells // 2:032d}"]),
            "sweeps_s": tracker.sweeps,
            "all_variants_s": lambda: tracker.variants(parent),
        }
        tracker.sweeps()
        result: dict[str, Any] = {"runs": cells, "megabytes": (folder / "mlruns" / "mlflow.db").stat().st_size // 10**6}
        for name, question in asked.items():
            begun = time.perf_counter()
            question()
            result[name] = round(time.perf_counter() - begun, 3)
    return result


def _copy(database: sqlite3.Connection, run: str, ids: list[str]) -> None:
    """Copy a run's rows under other ids, which become the variants' keys too."""
    database.execute("CREATE TEMP TABLE ids (id TEXT)")
    database.executemany("INSERT INTO ids VALUES (?)", [(each,) for each in ids])
    for table in ("runs", "tags", "params", "latest_metrics", "metrics"):
        columns = [column[1] for column in database.execute(f"PRAGMA table_info({table})")]
        value = "CASE key WHEN 'edac.key' THEN ids.id ELSE value END" if table == "tags" else "value"
        read = ", ".join({"run_uuid": "ids.id", "value": value}.get(column, column) for column in columns)
        database.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {read} FROM {table}, ids WHERE run_uuid = ?", (run,)
        )


def threads(rounds: int) -> dict[str, Any]:
    """Return seconds of four real cells, two at a time on one thread each, and one at a time on two."""
    prune, quantize = PruneParams(epochs=1), QuantizeParams(calibration_clips=8)
    evaluate = EvaluateParams(bootstrap_resamples=100)
    seconds: dict[str, list[float]] = {"2 workers x 1 thread": [], "1 worker x 2 threads": []}
    with tempfile.TemporaryDirectory() as temporary:
        inputs = SweepInputs(_sources(Path(temporary)), prune, quantize, evaluate)
        for turn in range(rounds):
            arrangements = [(2, 1), (1, 2)]
            for workers, n in arrangements if turn % 2 == 0 else arrangements[::-1]:
                sweep = replace(
                    SWEEP, schedules=("constant",), sparsities=(0.5, 0.8, 0.9, 0.95), workers=workers, threads=n
                )
                cells = plan(sweep, inputs)[1:]
                with tempfile.TemporaryDirectory(dir=temporary) as store:
                    name = f"{workers} worker{'s' * (workers > 1)} x {n} thread{'s' * (n > 1)}"
                    specs = [Spec(cell, Path(store), n, inputs) for cell in cells]
                    seconds[name].append(_together(specs, workers))
    two, one = seconds.values()
    return {
        "cells": 4,
        "rounds": rounds,
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "median_s": {name: round(statistics.median(times), 1) for name, times in seconds.items()},
        "1x2_over_2x1": round(statistics.median(o / t for o, t in zip(one, two, strict=True)), 2),
    }


def _together(specs: list[Spec], workers: int) -> float:
    from concurrent.futures import ThreadPoolExecutor

    from flows.execution.executor import ExecutionParams

    store = Store(specs[0].store)
    params = ExecutionParams(preload_for([spec.cell for spec in specs], store), threads=specs[0].threads)
    processes = params.processes()
    nothing = store.root / "nothing.py"
    nothing.touch()
    processes.run([str(nothing)], log=store.log("nothing"), timeout_s=300)  # what is imported is paid for once
    before = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for spec in specs:
            arguments = arguments_for(spec, store.log(spec.cell.name).with_suffix(".json"))
            pool.submit(processes.run, arguments, log=store.log(spec.cell.name), timeout_s=900)
    seconds = time.perf_counter() - before
    processes.stop()
    if not all(store.has("variants", spec.cell.variants[0].key) for spec in specs):
        raise RuntimeError(store.log(specs[0].cell.name).read_text())
    return seconds


def _sources(root: Path) -> Sources:
    """Write random features and an untrained EDAC CNN."""
    rng, shape, sides = np.random.default_rng(1), (302, 15), ["train"] * 320 + ["validation"] * 32 + ["test"] * 32
    features, baseline = root / "features", root / "baseline"
    features.mkdir()
    baseline.mkdir()
    np.save(features / "features.npy", rng.normal(size=(len(sides), *shape)).astype(np.float32))
    rows = [
        {"clip_id": str(i), "path": "", "split": side, "label": "ab"[i % 2], "group": str(i), "site": "", "parent": ""}
        for i, side in enumerate(sides)
    ]
    files.write_csv(features / "clips.csv", clips_file.COLUMNS, rows)
    files.write_json(features / "frontend.json", {"labels": ["a", "b"], "sample_rate": 8000, "clip_samples": 8000})
    network.save(*network.build("edac_cnn", {}, shape, 2), baseline)
    return Sources(baseline, features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "start", "grid", "threads", "mlflow"))
    parser.add_argument("--cells", type=int)
    parser.add_argument("--rounds", type=int)
    given = parser.parse_args()
    figures = {
        "overhead": lambda: overhead(given.cells or 200),
        "start": lambda: start(given.rounds or 5),
        "grid": lambda: grid(given.cells or 10_000),
        "threads": lambda: threads(given.rounds or 3),
        "mlflow": lambda: searches(given.cells or 10_000),
    }[given.what]()
    peak = {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)}
    print(json.dumps({"load_average": round(os.getloadavg()[0], 1), **figures, **peak}, indent=2))


if __name__ == "__main__":
    main()
