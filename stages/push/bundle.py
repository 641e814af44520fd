"""A release: one folder that holds all a device needs and the means to prove it, the same bytes for the same content.

manifest.json    what it is, every file's sha256, the golden scores; its own sha256 is the release's identity
model.tflite     features to scores
frontend.tflite  waveform to features
golden/*.wav     recordings whose scores are known
stages/runtime/  the code that runs it: `python -m stages.runtime classify FILE.wav` in the folder
"""

import itertools
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from stages.core import audio, dataset, files, provenance
from stages.core.errors import DataError, ModelError
from stages.runtime import audio as device_audio
from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model

TOLERANCE = 0.02  # of a score: five steps of an 8-bit output, for a device whose kernels round otherwise than home's


def choose_golden(features: Path, count: int) -> list[Path]:
    """Choose validation recordings to travel with the model: the labels in turn, in an order that hashing fixes.

    Parameters
    ----------
    features : Path
        Folder of the features stage.
    count : int

    Returns
    -------
    list[Path]
        Up to `count` audio files, as `clips.csv` names them.

    Raises
    ------
    DataError
        If there is no validation recording.
    """
    by_label = defaultdict(list)
    for clip in files.read_csv(features / "clips.csv"):
        if clip["split"] == "validation":
            by_label[clip["label"]].append((files.digest(clip["clip_id"]), Path(clip["path"])))
    if not by_label:
        raise DataError(f"{features / 'clips.csv'} holds no validation clip. Run `dvc repro features` again.")
    turns = itertools.zip_longest(*(sorted(by_label[label]) for label in sorted(by_label)))
    return [clip[1] for turn in turns for clip in turn if clip][:count]


def build(folder: Path, *, selected: Path, features: Path, golden: Sequence[Path]) -> None:
    """Put a release together.

    Parameters
    ----------
    folder : Path
        Made; must not exist.
    selected : Path
        Folder of the select stage: `model.tflite`, `frontend.tflite`, `selection.json`.
    features : Path
        Folder of the features stage, which says the front end's rate and length.
    golden : Sequence[Path]
        Audio files of any format; they travel as 16-bit WAV at the front end's rate and length, and in this form get
        their expected scores from the runtime at home.

    Raises
    ------
    ModelError
        If model, front end and selection do not fit each other.
    DataError
        If a golden recording cannot be decoded.
    """
    selection, frontend = files.read_json(selected / "selection.json"), dataset.describe(features)
    variant = selection["variant"]
    if files.sha256(selected / manifest.MODEL) != variant["sha256"]:
        raise ModelError(
            f"{selected / manifest.MODEL} is not the file that was selected. Run `dvc repro select` again."
        )
    folder.mkdir(parents=True)
    for name in (manifest.MODEL, manifest.FRONTEND):
        shutil.copyfile(selected / name, folder / name)
    for module in ("stages", *_runtime_modules()):
        source = provenance.source_file(module)
        target = folder / source.relative_to(provenance.ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (folder / "golden").mkdir()
    for i, path in enumerate(golden):
        samples = audio.load(path, frontend["sample_rate"])
        _write_wav(folder / f"golden/{i}.wav", samples, frontend["sample_rate"], frontend["clip_samples"])
    try:
        content = {
            "schema": manifest.SCHEMA,
            "name": variant["name"],
            "labels": selection["labels"],
            "threshold": selection["threshold"],
            "sample_rate": frontend["sample_rate"],
            "clip_samples": frontend["clip_samples"],
            "files": {p.relative_to(folder).as_posix(): files.sha256(p) for p in folder.rglob("*") if p.is_file()},
            "golden": [{"file": f"golden/{i}.wav", "scores": _scores(folder, i)} for i in range(len(golden))],
            "tolerance": TOLERANCE,
            "model": {key: variant[key] for key in ("name", "sha256", "scheme", "bit_width", "sparsity", "raw_bytes")},
        }
        manifest.parse(content)
    except RuntimeInputError as error:
        raise ModelError(f"{selected} makes no release: {error}") from None
    files.write_json(folder / manifest.NAME, content)


def release_id(folder: Path) -> str:
    """Return the first 12 hexadecimal digits of the sha256 of a release's manifest."""
    return files.sha256(folder / manifest.NAME)[:12]


def _runtime_modules() -> list[str]:
    folder = provenance.source_file("stages.runtime").parent
    return ["stages.runtime", *(f"stages.runtime.{p.stem}" for p in folder.glob("*.py") if p.stem != "__init__")]


def _write_wav(path: Path, samples: np.ndarray, sample_rate: int, clip_samples: int) -> None:
    clip = device_audio.fit_length(samples, clip_samples)
    pcm = np.clip(np.rint(clip * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(path, pcm, sample_rate, subtype="PCM_16")


def _scores(folder: Path, i: int) -> list[float]:
    samples, _ = device_audio.read_wav(folder / f"golden/{i}.wav")
    features = Model(folder / manifest.FRONTEND).run(samples[np.newaxis])
    return Model(folder / manifest.MODEL).run(features)[0].tolist()
