"""Export a classifier as one `.tflite` for programs that are not EDAC's, with a JSON file that says how to use it."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.json_file import Json
from stages.core.litert import single
from stages.core.project import files
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.runtime import manifest
from stages.runtime.audio import read_wav
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model

NAME = "single.tflite"
"""The file's name beside `model.tflite` and `frontend.tflite`."""


def export(source: Path, target: Path) -> str:
    """Write the classifier of a folder as one file, after comparing it with the two files on the golden recordings.

    Parameters
    ----------
    source : Path
        A release, or what the select stage leaves.
    target : Path
        The `.tflite` to write, which must not exist. Beside it comes a `.json` of the same name: labels, threshold,
        sample rate, length and position of the clip, rules of hearing, and the sha256 of the file and of the two that
        it is made of.

    Returns
    -------
    str
        Sentence that names the written files.

    Raises
    ------
    ParameterError
        If `target` exists, or is no `.tflite` in a folder that exists.
    DataError
        If `source` holds no classifier.
    ModelError
        If the two files do not fit each other, or the merged file scores a golden recording otherwise.
    """
    about = target.with_suffix(".json")
    if target.suffix != ".tflite" or not target.parent.is_dir():
        raise ParameterError(f"--output must be a .tflite in a folder that exists; got {target}. Give another path.")
    for path in (target, about):
        if path.exists():
            raise ParameterError(f"{path} exists, and an export overwrites nothing. Give another --output.")
    facts, n_crops = _facts(source)
    paths = frontend, model = source / manifest.FRONTEND, source / manifest.MODEL
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing. Name the folder of a release, or run `dvc repro select`.")
    content = merged(frontend, model, n_crops)
    n_golden = _compare(content, frontend, model, n_crops, source / "golden")
    made_of = {path.name: files.sha256(path) for path in paths}
    with files.atomic(target) as temporary:
        temporary.write_bytes(content)
    files.write_json(about, facts | {"sha256": files.sha256(target), "made_of": made_of})
    return (
        f"{target}: {len(content):,} bytes, {facts['clip_samples']} samples at {facts['sample_rate']} Hz in, "
        f"{len(facts['labels'])} labels, float32 at both ends; scores equal those of the two files to the bit on "
        f"{n_golden} golden recordings. {about} says how to use it."
    )


def merged(frontend: Path, model: Path, n_crops: int) -> bytes:
    """Return front end and model merged into one file; see `stages.core.litert.single.merge`."""
    return single.merge(frontend.read_bytes(), model.read_bytes(), n_crops=n_crops)


def _facts(source: Path) -> tuple[Json, int]:
    """Return what a program must know of the classifier, and the number of crops."""
    names = ("labels", "sample_rate", "clip_samples", "align")
    try:
        found: Any = manifest.load(source) if (source / manifest.NAME).exists() else frontend_file.read(source)
    except RuntimeInputError as error:
        raise DataError(str(error)) from None
    limit = found.threshold if isinstance(found, manifest.Manifest) else selection_file.read(source).threshold
    facts = {name: getattr(found, name) for name in names} | {"threshold": limit, "hearing": vars(found.hearing)}
    return facts | {"input": single.INPUT, "output": single.OUTPUT}, found.crops


def _compare(content: bytes, frontend: Path, model: Path, n_crops: int, golden: Path) -> int:
    """Compare the merged file with the two in turn; return the number of recordings."""
    try:
        together, first, second = Model(content), Model(frontend), Model(model)
        paths = sorted(golden.glob("*.wav"))
        for path in paths:
            waveform = read_wav(path)[0][np.newaxis]
            expected = second.mean_over_crops(first.run(waveform), n_crops)
            if not np.array_equal(together.run(waveform), expected):
                raise ModelError(
                    f"The merged file scores {path} otherwise than {model} after {frontend}. Report this, with both."
                )
    except RuntimeInputError as error:
        raise ModelError(str(error)) from None
    return len(paths)
