"""The costly half of a cell: one fine-tuned network, converted once to float32.

Part of a fine-tuning's key is the source of this module and of all it imports; keep evaluation out of it.
"""

from pathlib import Path

import numpy as np

from flows.grid import Cell
from stages.core import dataset, files, network
from stages.core.fitting import HISTORY_COLUMNS
from stages.prune import engine
from stages.prune.params import PruneParams
from stages.quantize import convert


def write(
    folder: Path,
    cell: Cell,
    *,
    prune: PruneParams,
    threads: int,
    baseline: Path,
    features: Path,
    checkpoint: Path,
) -> None:
    """Fine-tune a copy of the baseline and write what its variants need.

    Parameters
    ----------
    folder : Path
        Takes `weights.npz`, `float32.tflite`, `scores.npz` (the Keras function's, of the validation split) and, of
        a fine-tuning, `history.csv`.
    cell : Cell
        The baseline's is converted as it is.
    prune : PruneParams
    threads : int
    baseline, features : Path
        Folders of the stages before.
    checkpoint : Path
        File that a killed fine-tuning goes on from.
    """
    from stages.core.keras import make_deterministic, save_weights

    make_deterministic(cell.seed, threads)
    model = network.load(baseline)
    if cell.schedule:
        history = engine.finetune(
            model,
            dataset.read_split(features, "train"),
            prune,
            schedule=cell.schedule,
            sparsity=cell.sparsity,
            seed=cell.seed,
            checkpoint=checkpoint,
        )
        files.write_csv(folder / "history.csv", HISTORY_COLUMNS, history)
    save_weights(model, folder / "weights.npz")
    (folder / "float32.tflite").write_bytes(convert.to_float32(model))
    scores = model.predict(dataset.read_split(features, "validation").x, verbose=0)
    np.savez(folder / "scores.npz", validation=scores)
