"""The sweep's DVC output, assembled from the cell store."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flows.sweep.grid import Cell, PlannedVariant
from flows.sweep.store import Store
from stages.core.artifacts import sweep as sweep_file
from stages.core.artifacts.sweep import SweepDescription
from stages.core.artifacts.variant import Variant, read_variant, write_variants
from stages.core.project import files
from stages.core.project.errors import ModelError


def assemble(cells: Sequence[Cell], store: Store, target: Path, description: SweepDescription) -> list[Variant]:
    """Copy exactly the grid's results from the store to `target`.

    Files are copied and not linked, so that nothing that DVC does to its outputs reaches the store.

    Parameters
    ----------
    cells : Sequence[Cell]
        Cells of the grid, all finished.
    store : Store
    target : Path
        Becomes a folder with `variants.json`, `<variant>.tflite`, `scores/<variant>.npz`, `history/<cell>.csv`,
        `history/<variant>.csv` of quantisation-aware training, and `sweep.json`.
    description : SweepDescription
        Content of `sweep.json`, with which results missing in MLflow are logged later.

    Returns
    -------
    list[Variant]
        Variants as in `variants.json`: the baseline's first, then by name.

    Raises
    ------
    ModelError
        If a stored model file has changed since it was made.
    """
    variants = []
    with files.growing_folder(target, files.digest([asdict(cell) for cell in cells], asdict(description))) as folder:
        for name in ("scores", "history"):
            (folder / name).mkdir(exist_ok=True)
        for cell in cells:
            _copy_history(store, cell.key, folder, cell.name)
            for planned in cell.variants:
                if planned.qat_key:
                    _copy_history(store, planned.qat_key, folder, planned.name)
                variants.append(_copy_variant(store, planned, folder))
        variants.sort(key=lambda v: (v.schedule != "", v.name))
        write_variants(folder / "variants.json", variants)
        sweep_file.write(folder, description)
    return variants


def _copy_history(store: Store, key: str, folder: Path, name: str) -> None:
    history = store.folder("finetuned", key) / "history.csv"
    if history.is_file():  # the baseline has none
        shutil.copyfile(history, folder / "history" / f"{name}.csv")


def _copy_variant(store: Store, planned: PlannedVariant, folder: Path) -> Variant:
    stored = store.folder("variants", planned.key)
    variant = read_variant(stored / "variant.json")
    if files.sha256(stored / "model.tflite") != variant.sha256:
        raise ModelError(f"{stored} was changed after it was made. Remove that folder and run again.")
    shutil.copyfile(stored / "model.tflite", folder / f"{variant.name}.tflite")
    shutil.copyfile(stored / "scores.npz", folder / "scores" / f"{variant.name}.npz")
    return variant
