"""One cell in a process of its own: `python -m flows.sweep.cell SPEC.json`, started or forked.

Fine-tunes unless the store has the result, then makes every variant that the store lacks. Each result is committed as
soon as it is finished. Only training imports TensorFlow.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.execution import processes
from flows.sweep.grid import Cell, PlannedVariant, Workspace
from flows.sweep.inputs import SweepInputs
from flows.sweep.steps import finetune, qat, variant, verify
from flows.sweep.store import Store
from stages.core.project import errors, files, params
from stages.core.project.errors import ModelError

_FOR_VARIANTS = ("flows.sweep.steps.variant", "ai_edge_litert.interpreter", "ai_edge_quantizer", "sklearn.metrics")
_FOR_TRAINING = ("stages.core.nn.loaded", "flows.sweep.steps.finetune")


@dataclass(frozen=True)
class Spec:
    """A cell, and where and from what it is made; written to a file for the cell's process.

    Attributes
    ----------
    cell : Cell
    store : Path
        Folder of the cell store.
    threads : int
        Threads of one operator.
    inputs : SweepInputs
    """

    cell: Cell
    store: Path
    threads: int
    inputs: SweepInputs


def arguments_for(spec: Spec, path: Path) -> tuple[str, ...]:
    """Write a spec to a file and return the arguments with which Python makes that cell."""
    files.write_json(path, asdict(spec))
    return "-m", "flows.sweep.cell", str(path)


def preload_for(cells: Sequence[Cell], store: Store) -> tuple[str, ...]:
    """Return the modules that the cells' processes need; TensorFlow only if something must be trained."""
    keys = {key for cell in cells for key in (cell.key, *(planned.qat_key for planned in cell.variants)) if key}
    trained = all(store.has("finetuned", key) for key in keys)
    return _FOR_VARIANTS if trained else _FOR_VARIANTS + _FOR_TRAINING


def compute(spec: Spec) -> None:
    """Make whatever the store lacks of a cell.

    Parameters
    ----------
    spec : Spec

    Raises
    ------
    EdacError
        If a folder is incomplete, or a model file is not what it claims to be.
    """
    store = Store(spec.store)
    _finetune(spec, store)
    for planned in spec.cell.variants:
        if planned.qat_key:
            _train_qat(spec, planned, store)
    for planned in spec.cell.variants:
        _write_variant(spec, planned, store)


def _finetune(spec: Spec, store: Store) -> None:
    if not _has_sound(spec, spec.cell.key, store):
        with _training(spec, spec.cell.key, store) as workspace:
            calibration = spec.inputs.evaluate.decisions.calibration
            finetune.write(workspace, spec.cell, spec.inputs.prune, spec.inputs.sources, calibration=calibration)


def _train_qat(spec: Spec, planned: PlannedVariant, store: Store) -> None:
    if not _has_sound(spec, planned.qat_key, store):
        network = store.folder("finetuned", spec.cell.key)
        with _training(spec, planned.qat_key, store) as workspace:
            qat.write(workspace, spec.cell, planned, network, spec.inputs)


def _has_sound(spec: Spec, key: str, store: Store) -> bool:
    """Return whether a training's result is stored; one that was committed broken is removed first."""
    if store.has("finetuned", key) and (fault := _fault(spec, key, store.folder("finetuned", key))):
        store.discard("finetuned", key, fault)
    return store.has("finetuned", key)


def _fault(spec: Spec, key: str, folder: Path) -> str:
    return verify.fault(folder, spec.inputs.sources.features, simulated=key != spec.cell.key)


@contextlib.contextmanager
def _training(spec: Spec, key: str, store: Store) -> Iterator[Workspace]:
    """Yield the workspace of a training that is committed when the block ends, if its files are sound."""
    checkpoint = store.checkpoint(key)
    with store.commit("finetuned", key) as folder:
        yield Workspace(folder, checkpoint, spec.threads)
        if fault := _fault(spec, key, folder):
            raise ModelError(
                f"{spec.cell.title}: {fault}. Nothing of it is kept; see that TMPDIR and the disk have room, and run "
                "the same command again."
            )
    checkpoint.unlink(missing_ok=True)


def _write_variant(spec: Spec, planned: PlannedVariant, store: Store) -> None:
    if store.has("variants", planned.key):
        return
    network = store.folder("finetuned", planned.qat_key or spec.cell.key)
    with store.commit("variants", planned.key) as folder:
        variant.write(folder, spec.cell, planned, network, spec.inputs)


def main() -> None:
    """Make the cell whose spec the command line names."""
    processes.die_with_parent()
    path = Path(sys.argv[1])
    spec = params.load(Spec, files.read_json(path), str(path))
    with Store(spec.store).working(spec.cell.key):
        compute(spec)


if __name__ == "__main__":
    errors.run(main)
