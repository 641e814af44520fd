"""Train a teacher and write its predictions for the training and validation clips."""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts import teacher as teacher_file
from stages.core.artifacts.estimates import SplitMetrics
from stages.core.artifacts.teacher import TeacherReport
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import files, provenance
from stages.core.project import params as core_params
from stages.core.project.errors import DataError, ModelError
from stages.core.scoring.metrics import MetricParams
from stages.core.scoring.summary import summarise
from stages.core.training.teacher import softened
from stages.distill.material import TeacherInputs, TeacherOutputs, read_inputs
from stages.distill.params import DistillParams

PACKAGES = ("numpy", "scikit-learn", "tensorflow", "tf_keras", "ai-edge-litert")


def distill(params: DistillParams, features: Path, target: Path) -> TeacherReport:
    """Write the teacher's folder, unless it is up to date; a killed run resumes where it stopped.

    Parameters
    ----------
    params : DistillParams
    features : Path
        Folder of the features stage.
    target : Path
        Becomes a folder of `teacher.json`, `logits_train.npy` and `logits_validation.npy`, each (n, n_outputs) float32
        in the order of the clips; `embeddings_train.npy` and `embeddings_validation.npy` if the teacher has any; and
        the files that it leaves. Without a teacher there is only `teacher.json`.

    Returns
    -------
    TeacherReport

    Raises
    ------
    ParameterError, DataError, ModelError
    """
    chosen = params.configure()
    if chosen is None:
        report = TeacherReport(teacher=None)
        with files.growing_folder(target, files.digest({"teacher": None})) as folder:
            teacher_file.write(folder, report)
        return report
    module, config = chosen
    inputs = [files.sha256(features / name) for name in dataset.FILES]
    architecture = getattr(config, "architecture", None)
    code = [__name__, module.__name__, *([f"{ARCHITECTURES}.{architecture}"] if architecture else [])]
    known = module.identity(config) if hasattr(module, "identity") else None
    key = files.digest(
        params.teacher,
        _by_content(asdict(config)),
        params.seed,
        params.threads,
        inputs,
        known,
        provenance.code_hash(code, PACKAGES),
    )
    with contextlib.suppress(DataError):  # without a report, or with an unreadable one, the teacher is trained
        report = teacher_file.read(target)
        if report.key == key:
            return report
    material = read_inputs(features)
    with files.growing_folder(target, key) as folder:
        work = folder / "work"
        work.mkdir(exist_ok=True)
        outputs = module.learn(config, material, work, seed=params.seed, threads=params.threads)
        _require(outputs, material, str(params.teacher))
        report = TeacherReport(
            teacher=params.teacher,
            key=key,
            sha256=outputs.sha256,
            labels=tuple(outputs.labels),
            about=dict(outputs.about),
            validation=_judged(outputs, material),
        )
        for kind, arrays in (("logits", outputs.logits), ("embeddings", outputs.embeddings)):
            for name, array in arrays.items():
                with files.atomic(folder / f"{kind}_{name}.npy") as temporary:
                    np.save(temporary, array.astype(np.float32, copy=False))
        teacher_file.write(folder, report)
        if (work / "output").is_dir():
            shutil.copytree(work / "output", folder, dirs_exist_ok=True)
        shutil.rmtree(work)
    return report


def _by_content(options: Mapping[str, object]) -> dict[str, object]:
    """Return options with every path replaced by its content, because files may move and change."""

    def content(value: object) -> object:
        if not isinstance(value, Path) or not value.exists():
            return value
        paths = sorted(path for path in value.rglob("*") if path.is_file()) if value.is_dir() else [value]
        return [(path.relative_to(value).as_posix(), files.sha256(path)) for path in paths]

    return {name: content(value) for name, value in options.items()}


def _require(outputs: TeacherOutputs, material: TeacherInputs, teacher: str) -> None:
    """Check that a teacher has predictions for every clip, in the task's labels."""
    material.require_labels(outputs.labels, f"The teacher {teacher!r}")
    for name, side in material.sides():
        stated, got = (len(side), material.n_outputs), outputs.logits[name].shape
        if got != stated or not np.isfinite(outputs.logits[name]).all():
            raise ModelError(
                f"The teacher {teacher!r} must answer for the {name} split with finite logits of shape {stated}; got "
                f"{got}. Correct stages/distill/teachers/{teacher}.py."
            )
        if outputs.embeddings and len(outputs.embeddings[name]) != len(side):
            raise ModelError(f"The teacher {teacher!r} must give an embedding of each clip of the {name} split.")


def _judged(outputs: TeacherOutputs, material: TeacherInputs) -> SplitMetrics:
    split = material.validation.split
    summary = summarise(
        split,
        softened(outputs.logits["validation"], 1.0, material.multi_label),
        labels=split.labels,
        params=MetricParams(),
    )
    return core_params.load(SplitMetrics, summary, "validation")
