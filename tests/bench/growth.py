"""What each stage costs that reads all clips or all variants, in processor seconds and memory of its own.

`python -m tests.bench.growth [CLIPS] [VARIANTS]`; 100000 and 2000 if not given. Each part runs in a process of its own
on one thread, and what it prints is JSON. Memory is anonymous: pages of a mapped file are not in it, as the system may
drop them. With another checkout first on PYTHONPATH, `python PATH/tests/bench/growth.py` measures that one.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHAPE, LABELS, GROUPS, SEED = (50, 40, 1), ("no", "yes"), 2000, 1
SIDES = {"train": 0.7, "validation": 0.15, "test": 0.15}
STEPS = 300  # of an epoch with between-class batches


def main() -> None:
    """Make the clips, and measure each part."""
    n_clips, n_variants = (int(given) for given in [*sys.argv[1:], *("100000", "2000")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, n_clips)
        parts: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
            ("read the training side", read, (folder, "train")),
            ("128 clips for calibration", calibration, (folder,)),
            ("one epoch of a linear network", epoch, (folder,)),
            (f"{STEPS} between-class batches of 32", between_classes, (folder,)),
            ("all figures of one variant, with intervals", figures, (folder,)),
            (f"{n_variants} variants compared with the baseline", compared, (folder, n_variants)),
            (f"latencies of {n_variants // 10} variants, logged again", logged_again, (folder, n_variants // 10)),
            ("one cell: an epoch of a small network, two files", cell, (folder,)),
        ]
        for title, part, arguments in parts:
            print(json.dumps({"part": title} | in_process(part, arguments)), flush=True)


def make(folder: Path, n_clips: int) -> None:
    """Write a features folder of noise, ordered by side."""
    from stages.core.artifacts import clips as clips_file
    from stages.core.artifacts.clips import Clip
    from stages.core.project import files

    rng = np.random.default_rng(SEED)
    rows, start = [], 0
    for side, share in SIDES.items():
        n_groups = max(int(GROUPS * share), 20)
        for i in range(start, start + int(n_clips * share)):
            group, label = f"{side}-{rng.integers(n_groups)}", LABELS[rng.integers(2)]
            rows.append(Clip(f"c{i}", Path(f"{i}.wav"), side, label, group))  # type: ignore[arg-type]
        start += int(n_clips * share)
    clips_file.write(folder, rows)
    described = {"labels": LABELS, "sample_rate": 8000, "clip_samples": 4000, "bands": list(range(100, 4100, 100))}
    files.write_json(folder / "frontend.json", described)
    shape = (len(rows), *SHAPE)
    features = np.lib.format.open_memmap(folder / "features.npy", mode="w+", dtype=np.float32, shape=shape)
    for i in range(0, len(rows), 10_000):
        features[i : i + 10_000] = rng.normal(-40, 10, (len(features[i : i + 10_000]), *SHAPE))
    features.flush()


def in_process(part: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Run a part in a fresh process on one thread; return its figures."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (part, arguments))


def measured(part: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return processor seconds and the most anonymous memory beyond what was there before.

    The part returns the function to measure, once it has imported what it needs.
    """
    run = part(*arguments)
    before, most, over = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], anonymous() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.process_time()
    found = run()
    seconds = time.process_time() - begun
    most[0] = max(most[0], anonymous() - before)
    over.set()
    watcher.join()
    extra = found if isinstance(found, dict) else {}
    return {"cpu_s": round(seconds, 2), "memory_mb": round(most[0] / 1e6)} | extra


def anonymous() -> int:
    """Return this process's anonymous resident memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no RssAnon")


def read(folder: Path, side: str) -> Callable[[], Any]:
    """Read a side of the split."""
    from stages.core.artifacts import dataset

    return lambda: dataset.read_split(folder, side)  # type: ignore[arg-type]


def calibration(folder: Path) -> Callable[[], Any]:
    """Choose the calibration set of the full-integer schemes."""
    from stages.core.artifacts import dataset
    from stages.quantize.calibration import calibration_set

    return lambda: calibration_set(dataset.read_split(folder, "train").crops, n=128, seed=1)


def epoch(folder: Path) -> Callable[[], Any]:
    """Train a network whose steps cost next to nothing."""
    from stages.core.artifacts import dataset
    from stages.core.nn.keras import keras
    from stages.core.training.loop import Run, fit

    split = dataset.read_split(folder, "train")
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.layers.InputLayer(SHAPE), *layers])
    return lambda: {"steps": len(fit(model, split, params(epochs=1), Run(1))) * -(-len(split) // 32)}


def between_classes(folder: Path) -> Callable[[], Any]:
    """Draw batches of between-class blends."""
    from stages.core.artifacts import dataset
    from stages.core.training import batches
    from stages.core.training.params import BetweenClass

    split, given = dataset.read_split(folder, "train"), params(between_class=BetweenClass())
    targets = np.eye(2, dtype=np.float32)[split.y]
    rng = np.random.default_rng(1)

    def run() -> None:
        for _ in range(STEPS):
            batches.batch(split, targets, rng.integers(0, len(split), 32), given, rng)

    return run


def params(**given: Any) -> Any:
    """Return parameters of training."""
    from stages.core.training.params import FitParams

    class Params(FitParams):
        SECTION = "train"

    return Params(**given)


def scores(y: np.ndarray, seed: int) -> np.ndarray:
    """Return a variant's scores; float32, as the sweep keeps them."""
    rng = np.random.default_rng(seed)
    return np.asarray(1 / (1 + np.exp(-rng.normal(2.0 * y - 1, 1.5)))).astype(np.float32)


def figures(folder: Path) -> Callable[[], Any]:
    """Compute what a variant's test side costs, were it as large as the training side."""
    from stages.core.artifacts import dataset
    from stages.core.scoring.metrics import MetricParams
    from stages.core.scoring.summary import summarise

    truth = dataset.read_labels(folder, "train")
    given = scores(truth.y, 0)
    return lambda: {
        "clips": len(truth.y),
        "roc_auc": summarise(truth, given, labels=LABELS, params=MetricParams(), threshold=0.5)["pooled"]["roc_auc"],
    }


def compared(folder: Path, n_variants: int) -> Callable[[], Any]:
    """Compare variants on the validation side, as `select` does."""
    from stages.core.artifacts import dataset
    from stages.select import compare

    truth = dataset.read_labels(folder, "validation")
    given = {f"v{i}": scores(truth.y, i).astype(np.float64) for i in range(n_variants)}
    bootstrap = compare.Bootstrap(0.95)

    def run() -> dict[str, Any]:
        found = compare.measure("roc_auc", given, "v0", truth, thresholds={}, bootstrap=bootstrap)
        return {"clips": len(truth.y), "drop_of_v1": found.drops()["v1"].drop_bound}

    return run


def logged_again(folder: Path, n_variants: int) -> Callable[[], Any]:
    """Log the latencies of variants a second time, as every `select` does."""
    from stages.core.tracking import connection
    from tests import examples

    tracker = connection.connect(folder / "mlruns")
    (folder / "model.tflite").write_bytes(b"abc")
    latencies = {f"k{i}": {"latency_p50_ms": 1.5, "latency_p95_ms": 2.5, "robustness": 0.9} for i in range(n_variants)}
    for key in latencies:
        tracker.log_variant(examples.variant(key=key), folder / "model.tflite")
    tracker.add_metrics(latencies)

    def run() -> dict[str, Any]:
        before = written()
        tracker.add_metrics(latencies)
        return {"variants": n_variants, "written_kb": round((written() - before) / 1000)}

    return run


def cell(folder: Path) -> Callable[[], Any]:
    """Make a cell as a sweep's process does, and say how much memory a sweep reckons with."""
    from flows.sweep import cell as cells
    from flows.sweep.grid import Sources
    from flows.sweep.inputs import SweepInputs
    from flows.sweep.memory import job_bytes
    from flows.sweep.params import SweepParams
    from flows.sweep.plan import plan
    from stages.core.nn import network
    from stages.core.nn.keras import make_deterministic
    from stages.evaluate.params import EvaluateParams
    from stages.prune.params import PruneParams
    from stages.quantize.params import QuantizeParams

    make_deterministic(SEED, 1)
    (folder / "frontend.tflite").write_bytes(b"no cell runs it")
    model, description = network.build("ds_cnn", {"ds_cnn": {"stem": 8, "widths": [8]}}, SHAPE, len(LABELS))
    (folder / "baseline").mkdir()
    network.save(model, description, folder / "baseline")
    inputs = SweepInputs(
        Sources(folder / "baseline", folder), PruneParams(epochs=1), QuantizeParams(), EvaluateParams()
    )
    sweep = SweepParams(schemes=("float32", "static_wi8_ai8"), schedules=("polynomial",), sparsities=(0.5,))
    spec = cells.Spec(plan(sweep, inputs)[1], folder / "cells", 1, inputs)

    def run() -> dict[str, Any]:
        cells.compute(spec)
        return {"reckoned_mb": round(job_bytes(inputs) / 1e6)}

    return run


def written() -> int:
    """Return the bytes that this process has written."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["wchar"])


if __name__ == "__main__":
    main()
