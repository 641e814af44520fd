"""Recordings, their splits and their augmented copies to the features folder (see `stages.core.artifacts.dataset`)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SPLITS
from stages.core.audio.spec_augment import Masks
from stages.core.project import files, provenance
from stages.core.project.errors import DataError
from stages.features.export import export, export_halves
from stages.features.extract import Clip, Masker, extract
from stages.features.params import FeatureParams
from stages.runtime.litert import Model


def make_features(
    params: FeatureParams,
    recordings: Sequence[Recording],
    augmented: Sequence[Recording],
    masks: Masks | None = None,
    *,
    splits: Mapping[str, str],
    labels: Sequence[str],
    target: Path,
    workers: int,
) -> tuple[int, ...]:
    """Write the features folder.

    Parameters
    ----------
    params : FeatureParams
    recordings, augmented : Sequence[Recording]
        The clips, in this order, each followed by its masked copies.
    masks : Masks or None
        With every class's number of copies; of training clips only.
    splits : Mapping
        `recording_id` to ``"train"``, ``"validation"`` or ``"test"``.
    labels : Sequence[str]
        In output order.
    target : Path
        The features folder. A killed run goes on when called again.
    workers : int

    Returns
    -------
    tuple[int, ...]
        Shape of `features.npy`.

    Raises
    ------
    ParameterError, DataError, ModelError
    """
    frontend, config = params.configure()
    masks = masks or Masks()
    clips = _clips(recordings, augmented, masks, splits, labels)
    graph = export(frontend, config)
    masker = None
    if masks.wanted:
        params.require_levels()
        masker = Masker(masks, *export_halves(frontend, config))
        masks.require_room(*Model(masker.levels).output_shape)
    key = files.digest(
        [dataclasses.asdict(r) for r in (*recordings, *augmented)],
        graph.hex(),
        frontend.ALIGN,
        dataclasses.asdict(masks),
        *([] if masker is None else [masker.levels.hex(), masker.finish.hex()]),
        provenance.code_hash([extract.__module__]),
    )
    with files.growing_folder(target, key) as folder:
        extract(
            [clip for clip, _ in clips],
            graph,
            masker,
            sample_rate=config.sample_rate,
            clip_samples=config.clip_samples,
            align=frontend.ALIGN,
            folder=folder,
            workers=workers,
        )
        (folder / "frontend.tflite").write_bytes(graph)
        clips_file.write(folder, [row for _, row in clips])
        crops, crop_length = frontend.crops(config) if hasattr(frontend, "crops") else (1, None)
        description = Frontend(
            labels=tuple(labels),
            sample_rate=config.sample_rate,
            clip_samples=config.clip_samples,
            align=frontend.ALIGN,
            feature_shape=tuple(frontend.feature_shape(config)),
            frontend=params.frontend,
            parameters=dataclasses.asdict(config),
            crops=crops,
            crop_length=crop_length,
            bands=frontend.bands(config) if hasattr(frontend, "bands") else None,
        )
        frontend_file.write(folder, description)
    return len(clips), *frontend.feature_shape(config)


def _clips(
    recordings: Sequence[Recording],
    augmented: Sequence[Recording],
    masks: Masks,
    splits: Mapping[str, str],
    labels: Sequence[str],
) -> list[tuple[Clip, clips_file.Clip]]:
    if not recordings:
        raise DataError("The index holds no recording. Run `dvc repro pull` again and read its report.")
    clips = []
    for recording in (*recordings, *augmented):
        name = recording.recording_id
        split = splits.get(recording.parent or name)
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
        clips.append((Clip(recording.path), row))
        copies = max(masks.copies.get(label, 0) for label in recording.labels)
        n_masked = copies if split == "train" else 0
        for masked in (f"{name}.mask{number}" for number in range(1, n_masked + 1)):
            copy = dataclasses.replace(row, clip_id=masked, parent=recording.parent or name)
            clips.append((Clip(recording.path, masked), copy))
    return clips
