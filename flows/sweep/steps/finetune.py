"""The costly step of a cell: one fine-tuned network, converted once to float32.

A fine-tuning's key includes the source of this module and of all that it imports, so evaluation stays out of it.
"""

from dataclasses import replace

import numpy as np

from flows.sweep.grid import Cell, Sources, Workspace
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.nn.keras import make_deterministic
from stages.core.project import files
from stages.core.training.calibration import calibrate
from stages.core.training.inference import predict
from stages.core.training.loop import HISTORY_COLUMNS, Run
from stages.prune.finetune import Pruning, finetune
from stages.prune.params import PruneParams
from stages.prune.prunables import layer_report, measured_sparsity
from stages.prune.shrink import shrink
from stages.quantize import convert


def write(workspace: Workspace, cell: Cell, prune: PruneParams, sources: Sources, *, calibration: str) -> None:
    """Fine-tune a copy of the baseline, calibrate its scores, and write what its variants need.

    Writes the network (`stages.core.nn.network`) without the units that pruning left without effect, `float32.tflite`,
    `scores.npz` (Keras scores of the validation split) and, after a fine-tuning, `history.csv`. `architecture.json`
    gets three more figures: `n_prunable` weights of the network before pruning, their `sparsity` with removed units
    counted as zeros, and the `flops` of one clip; and the `score_calibration` that is part of the weights.

    Parameters
    ----------
    workspace : Workspace
    cell : Cell
        The baseline is converted without fine-tuning.
    prune : PruneParams
    sources : Sources
    calibration : str
        Method of score calibration, one of `stages.core.scoring.logits.METHODS`.
    """
    make_deterministic(cell.seed, workspace.threads)
    folder, teacher = workspace.folder, sources.teacher if cell.distilled else None
    model, description = network.load(sources.baseline), network_file.read(sources.baseline)
    n_prunable = sum(row.n_weights for row in layer_report(model))
    sparsity = 0.0
    if cell.schedule:
        train = dataset.read_split(sources.features, "train")
        history = finetune(
            model,
            train,
            prune,
            Pruning(cell.schedule, cell.sparsity, cell.criterion),
            Run(cell.seed, checkpoint=workspace.checkpoint, description=cell.title),
            teacher=teacher.targets(train) if teacher else None,
        )
        files.write_csv(folder / "history.csv", HISTORY_COLUMNS, history)
        sparsity = measured_sparsity(model)
        model, kept = shrink(model)
        description = description.without_units(kept, model.count_params())
    validation = dataset.read_split(sources.features, "validation")
    calibrated = calibrate(model, validation, calibration)
    content = convert.to_float32(model)
    (folder / "float32.tflite").write_bytes(content)
    description = replace(description, n_prunable=n_prunable, sparsity=sparsity, flops=flops(content))
    description = replace(description, score_calibration=calibrated)
    network.save(model, replace(description, teacher=teacher.provenance()) if teacher else description, folder)
    np.savez(folder / "scores.npz", validation=predict(model, validation))
