"""Quantisation-aware training of a fine-tuned network for one scheme.

A variant's key includes the source of this module and of all that it imports.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from flows.sweep.grid import Cell, PlannedVariant, Workspace
from flows.sweep.inputs import SweepInputs
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.nn.keras import make_deterministic
from stages.core.project import files
from stages.core.training.inference import predict
from stages.core.training.loop import HISTORY_COLUMNS, Run
from stages.quantize import aware
from stages.quantize.calibration import calibration_set
from stages.quantize.post_training import to_nearest


def write(
    workspace: Workspace,
    cell: Cell,
    planned: PlannedVariant,
    finetuned: Path,
    inputs: SweepInputs,
) -> None:
    """Train a network with fake quantisation for a variant's scheme, calibrate it, and write what the variant needs.

    Writes `float32.tflite`, `ranges.json` (of the activations), `scores.npz` (scores under fake quantisation, of the
    validation split), `architecture.json` and `history.csv`.

    Parameters
    ----------
    workspace : Workspace
    cell : Cell
    planned : PlannedVariant
        One of the cell's variants.
    finetuned : Path
        Folder that `flows.sweep.steps.finetune.write` filled.
    inputs : SweepInputs
    """
    quantize, sources = inputs.quantize, inputs.sources
    make_deterministic(cell.seed, workspace.threads)
    folder, teacher = workspace.folder, sources.teacher if planned.distilled else None
    scheme, config = quantize.scheme(planned.scheme)
    train = dataset.read_split(sources.features, "train")
    clips = calibration_set(train.crops, n=quantize.calibration_clips, seed=quantize.seed)
    float32 = (finetuned / "float32.tflite").read_bytes()
    tuned = aware.finetune(
        float32,
        scheme.quantize(to_nearest(config), float32, clips if scheme.NEEDS_CALIBRATION else None),
        train,
        quantize.aware,
        Run(cell.seed, checkpoint=workspace.checkpoint, description=f"QAT {planned.scheme}"),
        teacher=teacher.targets(train) if teacher else None,
    )
    validation = dataset.read_split(sources.features, "validation")
    tuned, calibrated = aware.calibrate(tuned, validation, inputs.evaluate.decisions.calibration)
    (folder / "float32.tflite").write_bytes(tuned.float32)
    files.write_json(folder / "ranges.json", tuned.ranges)
    files.write_csv(folder / "history.csv", HISTORY_COLUMNS, tuned.history)
    description = replace(network_file.read(finetuned), score_calibration=calibrated)
    network_file.write(folder, replace(description, teacher=teacher.provenance()) if teacher else description)
    np.savez(folder / "scores.npz", validation=predict(tuned.simulation, validation))
