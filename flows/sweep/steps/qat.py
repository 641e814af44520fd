"""A fine-tuned network once more fine-tuned, for one scheme and with its integers in place.

Part of its key is the source of this module and of all it imports.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from flows.sweep.grid import Cell, Planned
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.nn.keras import make_deterministic
from stages.core.project import files
from stages.core.training.inference import predict
from stages.core.training.loop import HISTORY_COLUMNS, Run
from stages.core.training.teacher import TeacherFolder
from stages.quantize import aware
from stages.quantize.calibration import calibration_set
from stages.quantize.params import QuantizeParams


def write(
    folder: Path,
    cell: Cell,
    planned: Planned,
    *,
    quantize: QuantizeParams,
    threads: int,
    finetuned: Path,
    features: Path,
    teaching: TeacherFolder | None = None,
    checkpoint: Path,
) -> None:
    """Fine-tune a network for the scheme of a variant and write what the variant needs.

    Parameters
    ----------
    folder : Path
        Takes `float32.tflite`, `ranges.json` of the activations, `scores.npz` (the simulated integers', of the
        validation split), `architecture.json` and `history.csv`.
    cell : Cell
    planned : Planned
        One of the cell's.
    quantize : QuantizeParams
    threads : int
    finetuned : Path
        What `flows.sweep.steps.finetune.write` wrote.
    features : Path
    teaching : TeacherFolder or None
        If it learns from the teacher too.
    checkpoint : Path
        File that a killed fine-tuning goes on from.
    """
    make_deterministic(cell.seed, threads)
    scheme, config = quantize.scheme(planned.scheme)
    train = dataset.read_split(features, "train")
    clips = calibration_set(train.crops, n=quantize.calibration_clips, seed=quantize.seed)
    float32 = (finetuned / "float32.tflite").read_bytes()
    tuned = aware.finetune(
        float32,
        scheme.quantize(config, float32, clips if scheme.NEEDS_CALIBRATION else None),
        train,
        quantize.aware,
        Run(cell.seed, checkpoint=checkpoint, description=f"aware {planned.scheme}"),
        teacher=teaching.targets(train) if teaching else None,
    )
    (folder / "float32.tflite").write_bytes(tuned.float32)
    files.write_json(folder / "ranges.json", tuned.ranges)
    files.write_csv(folder / "history.csv", HISTORY_COLUMNS, tuned.history)
    description = network_file.read(finetuned)
    network_file.write(folder, replace(description, teacher=teaching.provenance()) if teaching else description)
    scores = predict(tuned.simulation, dataset.read_split(features, "validation"))
    np.savez(folder / "scores.npz", validation=scores)
