"""Golden recordings, which travel with a release so that a device can check that it computes the expected scores."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.frontend import Frontend
from stages.core.audio import decode
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.runtime.audio import clip as fit


def choose(features: Path, count: int) -> list[Clip]:
    """Choose validation recordings, label by label in turn, in the order of the hash of their ids.

    Parameters
    ----------
    features : Path
        Folder of the features stage.
    count : int

    Returns
    -------
    list[Clip]
        At most `count`.

    Raises
    ------
    DataError
        If there is no validation recording.
    """
    by_label = defaultdict(list)
    for clip in clips_file.read(features, "validation"):
        for label in clip.labels:
            by_label[label].append(clip)
    if not by_label:
        raise DataError(f"{features / clips_file.FILE} holds no validation clip. Run `dvc repro features` again.")
    for clips in by_label.values():
        clips.sort(key=lambda clip: files.digest(clip.clip_id))
    turns = itertools.zip_longest(*(by_label[label] for label in sorted(by_label)))
    chosen = {clip.clip_id: clip for turn in turns for clip in turn if clip}
    return list(chosen.values())[:count]


def scores(clips: Sequence[Clip], features: Path, stored: Path) -> tuple[tuple[float, ...], ...]:
    """Return the scores of recordings that the sweep has kept.

    Parameters
    ----------
    clips : Sequence[Clip]
        From `choose`.
    features : Path
        Folder of the features stage.
    stored : Path
        The variant's ``scores/<variant>.npz``.

    Returns
    -------
    tuple[tuple[float, ...], ...]
        For each recording one score (binary task) or one per class, six decimals.
    """
    rows = [clip.clip_id for clip in clips_file.read(features, "validation")]
    with np.load(stored) as kept:
        known = kept["validation"]
    return tuple(tuple(np.atleast_1d(known[rows.index(clip.clip_id)]).round(6).tolist()) for clip in clips)


def write(folder: Path, clips: Sequence[Clip], frontend: Frontend) -> None:
    """Write recordings as 16-bit WAV files at the front end's rate and length: ``0.wav``, ``1.wav`` and so on.

    Parameters
    ----------
    folder : Path
        Made if absent.
    clips : Sequence[Clip]
        From `choose`; their files may have any format.
    frontend : Frontend

    Raises
    ------
    DataError
        If a recording cannot be decoded.
    """
    folder.mkdir(exist_ok=True)
    rate = frontend.sample_rate
    for i, clip in enumerate(clips):
        samples = fit(
            decode.load(clip.path, rate, frontend.hearing, clip.span),
            frontend.clip_samples,
            frontend.align,
            frontend.hearing,
        )
        pcm = np.clip(np.rint(samples * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
        with files.atomic(folder / f"{i}.wav") as temporary:
            soundfile.write(temporary, pcm, rate, subtype="PCM_16")
