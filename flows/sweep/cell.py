"""One cell in a process of its own: `python -m flows.sweep.cell SPEC.json`, started or forked.

Fine-tunes if the store lacks that, then makes every variant that it lacks; each is committed when it is done.
TensorFlow is imported for a fine-tuning only.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.execution import processes
from flows.sweep.grid import Cell
from flows.sweep.store import Store
from stages.core.project import errors, files, params
from stages.core.training.teacher import TeacherFolder
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams


@dataclass(frozen=True)
class Spec:
    """What the process is told: a cell, and where and how to make it."""

    cell: Cell
    store: Path
    threads: int
    prune: PruneParams
    quantize: QuantizeParams
    evaluate: EvaluateParams
    baseline: Path
    features: Path
    teaching: TeacherFolder | None = None


def arguments_for(spec: Spec, path: Path) -> tuple[str, ...]:
    """Write a spec to a file and return the arguments with which Python carries it out."""
    files.write_json(path, asdict(spec))
    return "-m", "flows.sweep.cell", str(path)


def preload_for(cells: Sequence[Cell], store: Store) -> tuple[str, ...]:
    """Return the modules that the cells need; TensorFlow only if something must be fine-tuned."""
    cheap = ("flows.sweep.steps.variant", "ai_edge_litert.interpreter", "ai_edge_quantizer", "sklearn.metrics")
    costly = ("stages.core.nn.loaded", "flows.sweep.steps.finetune")
    keys = {key for cell in cells for key in (cell.key, *(planned.aware for planned in cell.variants)) if key}
    return cheap if all(store.has("finetuned", key) for key in keys) else cheap + costly


def compute(spec: Spec) -> None:
    """Make what the store lacks of a cell."""
    cell, store = spec.cell, Store(spec.store)
    if not store.has("finetuned", cell.key):
        from flows.sweep.steps import finetune

        checkpoint = store.checkpoint(cell.key)
        with store.commit("finetuned", cell.key) as folder:
            finetune.write(
                folder,
                cell,
                prune=spec.prune,
                threads=spec.threads,
                baseline=spec.baseline,
                features=spec.features,
                teaching=spec.teaching if cell.distilled else None,
                checkpoint=checkpoint,
            )
        checkpoint.unlink(missing_ok=True)
    for planned in cell.variants:
        if planned.aware and not store.has("finetuned", planned.aware):
            from flows.sweep.steps import qat

            checkpoint = store.checkpoint(planned.aware)
            with store.commit("finetuned", planned.aware) as folder:
                qat.write(
                    folder,
                    cell,
                    planned,
                    quantize=spec.quantize,
                    threads=spec.threads,
                    finetuned=store.folder("finetuned", cell.key),
                    features=spec.features,
                    teaching=spec.teaching if planned.distilled else None,
                    checkpoint=checkpoint,
                )
            checkpoint.unlink(missing_ok=True)
    missing = [planned for planned in cell.variants if not store.has("variants", planned.key)]
    if missing:
        from flows.sweep.steps import variant

        for planned in missing:
            with store.commit("variants", planned.key) as folder:
                variant.write(
                    folder,
                    cell,
                    planned,
                    quantize=spec.quantize,
                    evaluate=spec.evaluate,
                    finetuned=store.folder("finetuned", planned.aware or cell.key),
                    features=spec.features,
                )


def main() -> None:
    """Carry out the spec that the command line names."""
    processes.die_with_parent()
    path = Path(sys.argv[1])
    spec = params.load(Spec, files.read_json(path), str(path))
    with Store(spec.store).working(spec.cell.key):
        compute(spec)


if __name__ == "__main__":
    errors.run(main)
