"""The costly half of a cell: one fine-tuned network, converted once to float32.

Part of a fine-tuning's key is the source of this module and of all it imports; keep evaluation out of it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from flows.sweep.grid import Cell
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.nn.keras import make_deterministic
from stages.core.project import files
from stages.core.training.inference import predict
from stages.core.training.loop import HISTORY_COLUMNS, Run
from stages.core.training.teacher import TeacherFolder
from stages.prune.finetune import Pruning, finetune
from stages.prune.params import PruneParams
from stages.prune.prunables import layer_report, measured_sparsity
from stages.prune.shrink import shrink
from stages.quantize import convert


def write(
    folder: Path,
    cell: Cell,
    *,
    prune: PruneParams,
    threads: int,
    baseline: Path,
    features: Path,
    teaching: TeacherFolder | None = None,
    checkpoint: Path,
) -> None:
    """Fine-tune a copy of the baseline and write what its variants need.

    Parameters
    ----------
    folder : Path
        Takes the network (`stages.core.nn.network`) without the units that do nothing, `float32.tflite`, `scores.npz`
        (the Keras function's, of the validation split) and, of a fine-tuning, `history.csv`. `architecture.json` has
        three figures more: of the network before, its `n_prunable` weights and their `sparsity`, masks of units
        included; and the `flops` of a clip.
    cell : Cell
        The baseline's is converted as it is.
    prune : PruneParams
    threads : int
    baseline, features : Path
        Folders of the stages before.
    teaching : TeacherFolder or None
        If it learns from the teacher too.
    checkpoint : Path
        File that a killed fine-tuning goes on from.
    """
    make_deterministic(cell.seed, threads)
    model, description = network.load(baseline), network_file.read(baseline)
    n_prunable = sum(row.n_weights for row in layer_report(model))
    sparsity = 0.0
    if cell.schedule:
        train = dataset.read_split(features, "train")
        history = finetune(
            model,
            train,
            prune,
            Pruning(cell.schedule, cell.sparsity, cell.criterion),
            Run(cell.seed, checkpoint=checkpoint, description=cell.title),
            teacher=teaching.targets(train) if teaching else None,
        )
        files.write_csv(folder / "history.csv", HISTORY_COLUMNS, history)
        sparsity = measured_sparsity(model)
        model, kept = shrink(model)
        description = description.without_units(kept, model.count_params())
    content = convert.to_float32(model)
    (folder / "float32.tflite").write_bytes(content)
    description = replace(description, n_prunable=n_prunable, sparsity=sparsity, flops=flops(content))
    network.save(model, replace(description, teacher=teaching.provenance()) if teaching else description, folder)
    scores = predict(model, dataset.read_split(features, "validation"))
    np.savez(folder / "scores.npz", validation=scores)
