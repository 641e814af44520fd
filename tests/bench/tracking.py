"""Variants logged to MLflow's SQLite by several processes at once: none lost, and what each costs.

`python -m tests.bench.tracking [RUNS] [WRITERS]`; 2000 and 4 if not given. Prints JSON.
"""

import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.split import SplitName
from stages.core.tracking import connection
from tests import examples

FIGURES = {name: {"value": 0.8, "low": 0.7, "high": 0.9} for name in ("roc_auc", "f1", "accuracy", "sensitivity")}
SITE = {"n": 33, "groups": 11, "classes": {}, "metrics": FIGURES}
SIDE = examples.split_metrics(n=99, pooled=FIGURES, sites=dict.fromkeys("abc", SITE))
VARIANT = examples.variant(metrics={"validation": SIDE, "test": SIDE})


def write(folder: Path, writer: int, runs: int, parent: str) -> list[float]:
    """Log variants; returns the seconds that each took."""
    tracker = connection.connect(folder / "mlruns").with_data(folder)
    seconds = []
    for i in range(runs):
        begun = time.perf_counter()
        variant = replace(VARIANT, name=f"v{writer}-{i}", key=f"{writer}-{i}")
        tracker.log_variant(variant, folder / "model.tflite", parent)
        seconds.append(time.perf_counter() - begun)
    return seconds


def write_data(folder: Path) -> None:
    """Write a model file and the clips that runs name as their data."""
    (folder / "model.tflite").write_bytes(b"abc")
    sides: tuple[SplitName, ...] = ("train", "validation", "test")
    clips_file.write(folder, [Clip(side, Path(f"{side}.wav"), side, "l", "g", "s") for side in sides])


def measure(folder: Path, runs: int, writers: int) -> dict[str, float]:
    """Log `runs` variants with `writers` processes and count what is there."""
    write_data(folder)
    tracker = connection.connect(folder / "mlruns")  # the database is made before anybody shares it
    begun = time.perf_counter()
    with tracker.sweep("bench", {}) as parent:
        each = runs // writers
        with ProcessPoolExecutor(writers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(write, folder, writer, each, parent) for writer in range(writers)]
            seconds = [second for job in jobs for second in job.result()]
    wall = time.perf_counter() - begun
    whole = [found for found in tracker.variants(parent) if len(found.figures) == 10 + 2 * (2 + 12 + 3 * 14)]
    begun = time.perf_counter()
    known = len(tracker.keys(parent))
    return {
        "writers": writers,
        "runs": len(seconds),
        "lost": len(seconds) - len(whole),
        "twice": len(whole) - known,
        "wall_s": round(wall, 1),
        "per_run_ms": round(1000 * wall / len(seconds), 1),
        "one_writer_median_ms": round(1000 * statistics.median(seconds), 1),
        "one_writer_max_ms": round(1000 * max(seconds), 1),
        "read_all_s": round(time.perf_counter() - begun, 2),
    }


if __name__ == "__main__":
    runs, writers = (int(given) for given in [*sys.argv[1:], *("2000", "4")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), runs, writers), indent=2))
