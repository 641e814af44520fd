"""Golden recordings, which travel with a release so that a device can check that it computes the expected scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.frontend import Frontend
from stages.core.audio import decode
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.scoring import guessing
from stages.runtime.audio import clip as fit

MOST_LABELS = 16
"""Labels that have a golden recording each at least; a release is not to grow with a thousand classes."""

MOST_ADDED = 24
"""Recordings up to which more are added so that a device that guesses fails."""


def choose(features: Path, count: int, stored: Path) -> list[Clip]:
    """Choose validation recordings whose scores span what a variant answers, every label among them.

    A device that always answers the same, mixes up classes or guesses must differ from the golden scores somewhere.
    First comes, label by label, the recording that is the surest of its label; then the recording whose scores are
    farthest from those of all chosen so far. Scores that are all close to 0 or 1 are easy to guess: then there are
    more recordings than `count`, with scores that fewest of the chosen have.

    Parameters
    ----------
    features : Path
        Folder of the features stage.
    count : int
        Number of recordings. There are more if there are more labels, up to `MOST_LABELS`, or if a device that guesses
        would pass, up to `MOST_ADDED`.
    stored : Path
        The variant's ``scores/<variant>.npz``.

    Returns
    -------
    list[Clip]
        Fewer if the split has fewer.

    Raises
    ------
    DataError
        If there is no validation recording.
    """
    clips = clips_file.read(features, "validation")
    if not clips:
        raise DataError(f"{features / clips_file.FILE} holds no validation clip. Run `dvc repro features` again.")
    with np.load(stored) as kept:
        known = kept["validation"].reshape(len(clips), -1).astype(np.float64)
    labels = frontend_file.read(features).labels
    order = sorted(range(len(clips)), key=lambda i: files.digest(clips[i].clip_id))  # decides between equals
    chosen: list[int] = []
    for c, label in enumerate(labels[:MOST_LABELS]):
        surest = (-1 if c == 0 else 1) * known[:, 0] if known.shape[1] == 1 else known[:, c]
        of_label = [i for i in order if label in clips[i].labels and i not in chosen]
        chosen += [max(of_label, key=lambda i: surest[i])] if of_label else []
    while len(chosen) < min(count if _hard_to_guess(known[chosen]) else max(count, MOST_ADDED), len(clips)):
        distances = np.abs(known[:, np.newaxis] - known[chosen]).max(axis=2)
        alike, nearest = (distances <= _allowed(known[chosen])).sum(axis=1), distances.min(axis=1, initial=np.inf)
        chosen.append(max((i for i in order if i not in chosen), key=lambda i: (-alike[i], nearest[i])))
    return [clips[i] for i in chosen]


def _hard_to_guess(scores: np.ndarray) -> bool:
    return bool(len(scores)) and guessing.chance(scores, _allowed(scores)) <= guessing.MOST


def _allowed(scores: np.ndarray) -> float:
    return guessing.allowed_difference(scores) if len(scores) else 0.0


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
    for i, clip in enumerate(clips):
        pcm = np.clip(np.rint(samples_of(clip, frontend) * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
        with files.atomic(folder / f"{i}.wav") as temporary:
            soundfile.write(temporary, pcm, frontend.sample_rate, subtype="PCM_16")


def samples_of(clip: Clip, frontend: Frontend) -> np.ndarray:
    """Return a clip as the front end is given it, (clip_samples,) float32; DataError if it cannot be decoded."""
    samples = decode.load(clip.path, frontend.sample_rate, frontend.hearing, clip.span)
    return fit(samples, frontend.clip_samples, frontend.align, frontend.hearing)
