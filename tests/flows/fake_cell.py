"""Stands in for `flows.sweep.cell`: sleeps and writes random bytes (mode same: the key).

`fake_cell.py SPEC STORE MODE`."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from flows.execution import processes
from flows.sweep.grid import Cell, PlannedVariant
from flows.sweep.store import Store
from stages.core.artifacts.variant import Variant, write_variant
from stages.core.project import errors, files
from stages.core.project.errors import ModelError


def make_cell(name: str, schemes: tuple[str, ...] = ("float32", "float16")) -> Cell:
    key = files.digest(name)
    variants = tuple(PlannedVariant(f"{name}-{scheme}", scheme, files.digest(key, scheme)) for scheme in schemes)
    return Cell(name, f"title of {name}", "magnitude", "constant", 0.5, 1, key, variants)


def fake_arguments(store: Path, mode: str = "work") -> Callable[[Cell], list[str]]:
    """Return the arguments of a cell whose files are random: made twice, they would differ."""

    def arguments(cell: Cell) -> list[str]:
        spec = store.parent / "specs" / f"{cell.name}.json"
        files.write_json(spec.absolute(), {"cell": cell.name, "schemes": [v.scheme for v in cell.variants]})
        return [__file__, str(spec), str(store), mode]

    return arguments


def main() -> None:
    processes.die_with_parent()
    spec, root, mode = files.read_json(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
    cell, store = make_cell(spec["cell"], tuple(spec["schemes"])), Store(root)
    with (root.parent / "attempts.txt").open("a") as attempts:
        attempts.write(f"{cell.name} {os.getpid()}\n")
    with store.working(cell.key):
        work(cell, store, mode)


def work(cell: Cell, store: Store, mode: str) -> None:
    if mode == f"fail {cell.name}":
        raise ModelError("The weights went sour. Try again.")
    if mode == f"hang {cell.name}":
        time.sleep(600)
    if mode == f"die {cell.name}":
        os.abort()
    if not store.has("finetuned", cell.key):
        with store.commit("finetuned", cell.key) as folder:
            (folder / "history.csv").write_bytes(cell.key.encode() if mode == "same" else os.urandom(64))
            time.sleep(0.1 if mode == "slow" else 0)
    for planned in cell.variants:
        if not store.has("variants", planned.key):
            with store.commit("variants", planned.key) as folder:
                for name in ("model.tflite", "scores.npz"):
                    content = planned.key.encode() if mode == "same" else os.urandom(64)
                    (folder / name).write_bytes(content)
                    time.sleep(0.1 if mode in ("slow", "same") else 0)
                sha256 = files.sha256(folder / "model.tflite")
                variant = Variant(
                    name=planned.name,
                    key=planned.key,
                    criterion="magnitude",
                    schedule="constant",
                    sparsity=0.5,
                    measured_sparsity=0.5,
                    scheme=planned.scheme,
                    bit_width=32,
                    seed=1,
                    sha256=sha256,
                    raw_bytes=64,
                    deflated_bytes=64,
                    keras_difference=0.0,
                    operators={},
                    metrics={},
                )
                write_variant(folder / "variant.json", variant)


if __name__ == "__main__":
    errors.run(main)
