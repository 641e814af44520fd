"""Audio files of any format to one channel of float32, by the rules of `stages.runtime.hearing`, at home.

A device uses `stages.runtime` alone, whose WAV reader, rules and resampler are used here too.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.audio.sources import UnusableError, as_data_error, open_source, shown
from stages.runtime.audio import read_part, resample
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import DEFAULT, Hearing, Levels, Listener
from stages.runtime.wav import EMPTY

BEYOND = "part beyond the end"
_SLACK_S = 0.05  # by which the times of a part may exceed the file


@dataclass(frozen=True)
class Heard:
    """What is known of a recording after all of it was heard.

    Attributes
    ----------
    sha256 : str
        Of the samples that are heard (float32, little-endian, at the file's own rate).
    n_samples : int
    sample_rate : int
        Hz.
    peak : float
        Largest distance from the mean; 1 is full scale.
    notes : tuple[str, ...]
        What a person should know; each completes "FILE ...".
    """

    sha256: str
    n_samples: int
    sample_rate: int
    peak: float
    notes: tuple[str, ...]


def listen(path: Path, hearing: Hearing = DEFAULT) -> Listener:
    """Open an audio file of any format, to be heard in blocks.

    Parameters
    ----------
    path : Path
    hearing : Hearing

    Returns
    -------
    Listener

    Raises
    ------
    DataError
        If the file is missing, is not audio that can be decoded, or is excluded by the rules.
    """
    source = open_source(path)
    try:
        return Listener(source, hearing)
    except RuntimeInputError as error:
        raise as_data_error(error) from None


def decode(path: Path, hearing: Hearing = DEFAULT) -> tuple[np.ndarray, int]:
    """Decode an audio file (WAV, FLAC, Ogg, MP3, WebM, MP4, AAC, AMR and others) to one channel.

    Parameters
    ----------
    path : Path
    hearing : Hearing

    Returns
    -------
    samples : np.ndarray, shape (n_samples,), float32
        Full scale is 1.
    sample_rate : int
        The file's own rate (Hz).

    Raises
    ------
    DataError
        If the file is missing, is not audio that can be decoded, holds no samples, or is excluded by the rules.
    """
    listener = listen(path, hearing)
    try:
        pieces = list(listener.blocks())
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    if not sum(map(len, pieces)):
        raise _empty(path)
    return np.concatenate(pieces), listener.sample_rate


def hear(path: Path, hearing: Hearing = DEFAULT, span: tuple[float, float] | None = None) -> Heard:
    """Hear an audio file, or part of it (seconds), in bounded memory, to know what is in it; errors as of `decode`."""
    listener, levels, digest = listen(path, hearing), Levels(1), hashlib.sha256()
    start, stop = (round(seconds * listener.sample_rate) for seconds in span) if span else (0, None)
    try:
        for samples in listener.blocks(start, stop):
            levels.add(samples[:, np.newaxis])
            digest.update(np.ascontiguousarray(samples, dtype="<f4").tobytes())
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    if span and start + levels.n_frames < (stop or 0) - _SLACK_S * listener.sample_rate:
        end = (start + levels.n_frames) / listener.sample_rate if levels.n_frames else None
        ends = f"at {end:.6g} s" if end else f"before {span[0]:.6g} s"
        raise UnusableError(
            f"{shown(path)} ends {ends}; the part to {span[1]:.6g} s is not in it. Correct its times.", BEYOND
        )
    if not levels.n_frames:
        raise _empty(path)
    return Heard(digest.hexdigest(), levels.n_frames, listener.sample_rate, levels.peak_about_mean, listener.notes)


def _empty(path: Path) -> UnusableError:
    return UnusableError(f"{shown(path)} holds no samples. Record it again.", EMPTY)


@functools.lru_cache(maxsize=1)
def _remembered(path: Path, hearing: Hearing, _version: tuple[int, int]) -> Listener:
    """Return the listener of a file; the same for one part of it after another."""
    return listen(path, hearing)


def load(
    path: Path, sample_rate: int, hearing: Hearing = DEFAULT, span: tuple[float, float] | None = None
) -> np.ndarray:
    """Decode an audio file, or a part of it, and resample it with the device's own resampler.

    Parameters
    ----------
    path : Path
    sample_rate : int
        Hz.
    hearing : Hearing
    span : tuple of float or None
        Start and end of the part (seconds); what lies beyond the end of the file is not there.

    Returns
    -------
    np.ndarray, shape (n_samples,), float32

    Raises
    ------
    UnusableError
        As of `decode`.
    """
    if span is None:
        samples, rate = decode(path, hearing)
        return resample(samples, rate, sample_rate)
    if not path.is_file():
        listen(path)  # which says so
    stat = path.stat()
    start, stop = (round(seconds * sample_rate) for seconds in span)
    try:
        part = read_part(_remembered(path, hearing, (stat.st_size, stat.st_mtime_ns)), sample_rate, start, stop)
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    if not len(part):
        raise UnusableError(f"{shown(path)} ends before {span[0]:g} s. Correct the part's times.", EMPTY)
    return part


def content_hash(samples: np.ndarray) -> str:
    """Return the sha256 of decoded samples: equal for equal audio, whatever the container."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()
