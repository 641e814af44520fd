"""Make the features folder from recordings, their splits and their augmented copies.

`stages.core.artifacts.dataset` describes the folder and reads it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.recordings import Recording, part_id
from stages.core.artifacts.split import SPLITS
from stages.core.audio.spec_augment import Masks
from stages.core.project import files, provenance
from stages.core.project.errors import DataError
from stages.features.export import export, export_halves
from stages.features.extract import Clip, Extractor, Masker, extract
from stages.features.params import FeatureParams
from stages.runtime.hearing import DEFAULT, Hearing
from stages.runtime.litert import Model

EXCLUDED, SILENT = "excluded.csv", "silent within the clip"


@dataclass(frozen=True)
class Inputs:
    """Recordings and the facts about them.

    Attributes
    ----------
    recordings, augmented : Sequence[Recording]
        Originals and their augmented copies. Clips are ordered by side, and within a side as here, each followed by its
        masked copies.
    splits : Mapping
        `recording_id` to ``"train"``, ``"validation"`` or ``"test"``.
    labels : Sequence[str]
        Labels in output order.
    masks : Masks
        Spectrogram masks, with the number of masked copies of each class; only training clips are masked.
    hearing : Hearing
        Rules by which files are heard.
    """

    recordings: Sequence[Recording]
    augmented: Sequence[Recording]
    splits: Mapping[str, str]
    labels: Sequence[str]
    masks: Masks = field(default_factory=Masks)
    hearing: Hearing = DEFAULT


def make_features(params: FeatureParams, inputs: Inputs, *, target: Path, workers: int) -> tuple[int, ...]:
    """Write the features folder.

    A silent clip, such as one that ends before the recording's sound begins, is left out and named in `excluded.csv`.

    Parameters
    ----------
    params : FeatureParams
    inputs : Inputs
    target : Path
        The features folder. A killed run resumes when called again.
    workers : int
        Processes, each with one thread.

    Returns
    -------
    tuple[int, ...]
        Shape of `features.npy`.

    Raises
    ------
    ParameterError, DataError, ModelError
    """
    frontend, config = params.configure()
    masks = inputs.masks
    hearing = params.hearing(inputs.hearing, config.sample_rate, config.clip_samples)
    clips = [
        part for clip in _clips(inputs) for part in _parts(*clip, hearing, config.sample_rate, config.clip_samples)
    ]
    clips.sort(key=lambda clip: SPLITS.index(clip[1].split))  # stable: a side is a slice of the file
    graph = export(frontend, config)
    masker = None
    if masks.wanted:
        params.require_levels()
        masker = Masker(masks, *export_halves(frontend, config))
        masks.require_room(*Model(masker.levels).output_shape)
    key = files.digest(
        [dataclasses.asdict(r) for r in (*inputs.recordings, *inputs.augmented)],
        graph.hex(),
        frontend.ALIGN,
        dataclasses.asdict(masks),
        dataclasses.asdict(hearing),
        *([] if masker is None else [masker.levels.hex(), masker.finish.hex()]),
        provenance.code_hash([extract.__module__]),
    )
    with files.growing_folder(target, key) as folder:
        extractor = Extractor(graph, config.sample_rate, config.clip_samples, frontend.ALIGN, hearing, masker)
        heard = extract([clip for clip, _, _ in clips], extractor, folder=folder, workers=workers)
        (folder / "frontend.tflite").write_bytes(graph)
        rows = [row for _, row, _ in clips]
        kept = [row for row, is_heard in zip(rows, heard, strict=True) if is_heard]
        _write_excluded(folder, rows, heard)
        _check_classes(kept, inputs.labels)
        clips_file.write(folder, kept)
        crops, crop_length = frontend.crops(config) if hasattr(frontend, "crops") else (1, None)
        description = Frontend(
            labels=tuple(inputs.labels),
            sample_rate=config.sample_rate,
            clip_samples=config.clip_samples,
            align=frontend.ALIGN,
            feature_shape=tuple(frontend.feature_shape(config)),
            frontend=params.frontend,
            parameters=dataclasses.asdict(config),
            crops=crops,
            crop_length=crop_length,
            bands=frontend.bands(config) if hasattr(frontend, "bands") else None,
            hearing=hearing,
        )
        frontend_file.write(folder, description)
    return len(kept), *frontend.feature_shape(config)


def _parts(
    clip: Clip, row: clips_file.Clip, source: Recording, hearing: Hearing, rate: int, length: int
) -> list[tuple[Clip, clips_file.Clip, Recording]]:
    """Return the clips of a recording: itself, or its segments, at the times of a device's windows."""
    begin, end = source.span or (0.0, source.duration_s)
    n_samples = math.ceil(round((end - begin) * source.sample_rate) * rate / source.sample_rate)
    if not hearing.segment_s or n_samples <= length:
        if source.span is not None:
            row = dataclasses.replace(row, start_s=begin, end_s=end, recording=source.path.as_posix())
        return [(clip._replace(span=source.span), row, source)]
    starts = list(range(0, n_samples - length + 1, max(1, round(hearing.hop_s * rate))))
    if starts[-1] + length < n_samples:
        starts.append(n_samples - length)
    parts = []
    for start in starts:
        span = (begin + start / rate, begin + (start + length) / rate)
        name = part_id(row.clip_id, *span)
        masked = clip.masked_id and part_id(clip.masked_id, *span)
        recording = source.recording_id if source.span is None else source.path.as_posix()
        part = dataclasses.replace(row, clip_id=name, start_s=span[0], end_s=span[1], recording=recording)
        parts.append((clip._replace(span=span, masked_id=masked), part, source))
    return parts


def _write_excluded(folder: Path, rows: Sequence[clips_file.Clip], heard: np.ndarray) -> None:
    silent = [row for row, is_heard in zip(rows, heard, strict=True) if not is_heard]
    if silent:
        columns = ("clip_id", "path", "split", "label", "reason")
        table = ({name: getattr(row, name) for name in columns[:-1]} | {"reason": SILENT} for row in silent)
        files.write_csv(folder / EXCLUDED, columns, table)


def _check_classes(kept: Sequence[clips_file.Clip], labels: Sequence[str]) -> None:
    for label in labels:
        if not any(label in row.labels for row in kept):
            raise DataError(
                f"No clip of the class {label!r} holds any sound: its recordings are silent where their clips are. Set "
                "features.place: loudest or features.segment, or lengthen the clips."
            )


def _clips(inputs: Inputs) -> list[tuple[Clip, clips_file.Clip, Recording]]:
    """Return every recording, copy and masked copy as what is extracted, as its row, and with its recording."""
    labels = inputs.labels
    if not inputs.recordings:
        raise DataError("The index holds no recording. Run `dvc repro pull` again and read its report.")
    clips = []
    for recording in (*inputs.recordings, *inputs.augmented):
        name = recording.recording_id
        split = inputs.splits.get(recording.parent or name)
        if split not in SPLITS:
            raise DataError(f"{name} must be in one of {SPLITS}; got {split!r}. Run `dvc repro split` again.")
        if recording.parent and split != "train":
            raise DataError(
                f"{name} is a copy of {recording.parent}, which must be in the training split; got {split!r}. "
                "Run `dvc repro augment` again."
            )
        if not set(recording.labels) <= set(labels):
            raise DataError(f"{name} must have one of the labels {tuple(labels)}; got {recording.label!r}. Pull again.")
        row = clips_file.Clip(
            clip_id=name,
            path=recording.path,
            split=split,
            label=recording.label,
            group=recording.group,
            site=recording.site,
            parent=recording.parent,
        )
        clips.append((Clip(recording.path), row, recording))
        copies = max(inputs.masks.copies.get(label, 0) for label in recording.labels)
        n_masked = copies if split == "train" else 0
        for masked in (f"{name}.mask{number}" for number in range(1, n_masked + 1)):
            copy = dataclasses.replace(row, clip_id=masked, parent=recording.parent or name)
            clips.append((Clip(recording.path, masked), copy, recording))
    return clips
