"""The cheap step of a cell: one model file of a trained network, checked and scored through LiteRT.

A variant's key includes the source of this module and of all that it imports.
"""

from pathlib import Path
from typing import Any

import numpy as np

from flows.sweep.grid import Cell, PlannedVariant
from flows.sweep.inputs import SweepInputs
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.artifacts.network import ScoreCalibration
from stages.core.artifacts.variant import Variant, write_variant
from stages.core.litert import flatbuffer
from stages.core.project import compression, files
from stages.core.project.errors import ModelError
from stages.core.scoring import logits
from stages.evaluate import scoring
from stages.quantize import agreement, check
from stages.quantize.agreement import Agreement
from stages.quantize.calibration import calibration_set
from stages.quantize.params import is_lossy, needs_clips
from stages.quantize.post_training import PostTraining
from stages.quantize.waveform import with_frames

KERAS_TOLERANCE = {32: 1e-3, 16: 5e-2}
"""Largest difference from the network's scores by bit-width; that of a lossy scheme is a result and not a mistake."""
QAT_TOLERANCE = 0.1
"""Largest difference between the file's scores and those under fake quantisation."""


def write(folder: Path, cell: Cell, planned: PlannedVariant, trained: Path, inputs: SweepInputs) -> None:
    """Quantise a trained network, check the file, score it and write it.

    Writes `model.tflite`, `scores.npz` (arrays `validation` and `test`) and `variant.json`.

    Parameters
    ----------
    folder : Path
        Takes the files.
    cell : Cell
    planned : PlannedVariant
        One of the cell's variants.
    trained : Path
        Folder that `flows.sweep.steps.finetune.write` or `flows.sweep.steps.qat.write` filled.
    inputs : SweepInputs

    Raises
    ------
    ModelError
        If the file is not what it claims to be, or its scores differ from the Keras network's.
    """
    quantize, features = inputs.quantize, inputs.sources.features
    module, config = quantize.scheme(planned.scheme)
    calibration: Any = None
    calibrated: dict[str, str | float] = {}
    if planned.qat_key:
        calibration = {name: (low, high) for name, (low, high) in files.read_json(trained / "ranges.json").items()}
    elif needs_clips(module, config):
        train = dataset.read_split(features, "train")
        calibration = calibration_set(train.crops, n=quantize.calibration_clips, seed=quantize.seed)
        calibrated = {"clips": len(calibration), "seed": quantize.seed}
        if module.NEEDS_CALIBRATION:
            calibrated["method"] = config.calibration
        if isinstance(config, PostTraining) and config.rounds_by_clips:
            corrected = "yes" if config.bias_correction else "no"
            calibrated |= {"weight_rounding": config.weight_rounding, "bias_correction": corrected}
    if isinstance(config, PostTraining) and config.equalisation != "none" and not planned.qat_key:
        calibrated["equalisation"] = config.equalisation
    float32 = (trained / "float32.tflite").read_bytes()
    model = module.quantize(config, float32, calibration)
    network = network_file.read(trained)
    checked = check.check(
        model,
        scheme=module,
        config=config,
        float32=float32,
        expected_sparsity=network.sparsity,
        n_prunable=network.n_prunable,
    )
    contents = checked.contents
    model = with_frames(model)  # whose weights are no longer the network's one for one
    (folder / "model.tflite").write_bytes(model)

    splits = {side: dataset.read_split(features, side) for side in ("validation", "test")}
    scores = {side: scoring.score(model, split.crops) for side, split in splits.items()}
    np.savez(folder / "scores.npz", **scores)  # type: ignore[arg-type]
    with np.load(trained / "scores.npz") as keras:
        expected = keras["validation"].reshape(scores["validation"].shape)  # a sigmoid's are (n, 1)
    found = agreement.measure(scores["validation"], expected)
    plain = _uncalibrated(scores["validation"], expected, network.score_calibration, splits["validation"])
    agreement.require(plain, module, planned.name)
    tolerance = QAT_TOLERANCE if planned.qat_key else None if is_lossy(module) else KERAS_TOLERANCE[module.BIT_WIDTH]
    if tolerance is not None and plain.largest_difference > tolerance:
        raise ModelError(
            f"{planned.name}: the file's scores must be within {tolerance:g} of the network's; "
            f"they differ by {plain.largest_difference:.3g}. The conversion changed the network; build it from other "
            "layers."
        )
    metrics = scoring.metrics(scores, splits, inputs.evaluate)
    variant = Variant(
        name=planned.name,
        key=planned.key,
        criterion=cell.criterion,
        schedule=cell.schedule,
        sparsity=cell.sparsity,
        measured_sparsity=checked.pruned,
        rounded_zeros=checked.rounded,
        scheme=planned.scheme,
        aware=bool(planned.qat_key),
        distilled=planned.distilled,
        teacher=network.teacher,
        bit_width=module.BIT_WIDTH,
        seed=cell.seed,
        sha256=files.sha256(folder / "model.tflite"),
        raw_bytes=len(model),
        deflated_bytes=compression.deflated_bytes(model),
        xz_bytes=compression.xz_bytes(model),
        operators=flatbuffer.read(model).operators,
        keras_difference=found.largest_difference,
        median_difference=found.median_difference,
        rank_correlation=found.rank_correlation,
        metrics=metrics,
        rejection=scoring.rejection(
            scores["validation"],
            splits["validation"],
            inputs.evaluate.decisions,
            metrics["validation"].threshold,
            features,
        ),
        weights=contents.stored_as,
        mean_bits=contents.mean_bits,
        calibration=calibrated,
        parameters=network.n_parameters,
        flops=network.flops,
        score_calibration=network.score_calibration,
    )
    write_variant(folder / "variant.json", variant)


def _uncalibrated(
    scores: np.ndarray, expected: np.ndarray, folded: ScoreCalibration, split: dataset.Split
) -> Agreement:
    """Compare scores as they would be without a calibration that magnifies the rounding of logits."""
    if max(folded.scale, default=1.0) <= 1:
        return agreement.measure(scores, expected)
    step = max(map(logits.resolution, (scores, expected)))
    ours, theirs = (
        logits.before(folded, each, multi_label=split.multi_label, step=step) for each in (scores, expected)
    )
    return agreement.measure(ours, theirs)
