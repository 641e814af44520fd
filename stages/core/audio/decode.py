"""Audio files of any format to one channel of float32, by the rules of `stages.runtime.hearing`, at home.

A device uses `stages.runtime` alone, whose WAV reader, rules and resampler are used here too.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.audio.sources import open_source
from stages.core.audio.unusable import UnusableError, as_data_error, shown
from stages.runtime.audio import read_part, resample
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import DEFAULT, Hearing, Levels, Listener
from stages.runtime.wav import EMPTY

BEYOND = "part beyond the end"
CLIPPED = 0.999
"""A sample of this magnitude or more, as heard, is clipped."""
_SLACK_S = 0.05  # by which the times of a part may exceed the file
_FARTHEST = 2**40  # frame: beyond the end of every file, and within what decoders can seek to
_QUIET_S = 0.02


@dataclass(frozen=True)
class Heard:
    """Facts about a recording that was decoded to its end.

    Attributes
    ----------
    sha256 : str
        Digest of the samples that are heard (float32, little-endian, at the file's own rate).
    n_samples : int
    sample_rate : int
        Hz.
    peak : float
        Largest distance from the mean; 1 is full scale.
    notes : tuple[str, ...]
        Remarks for a person; each completes "FILE ...".
    n_channels : int
        Channels of the file.
    mean : float
        DC offset.
    rms : float
        Root mean square about the mean.
    clipped : float
        Share of samples at full scale.
    quiet : float
        Share of frames of 20 ms whose peak stays below the level of silence.
    """

    sha256: str
    n_samples: int
    sample_rate: int
    peak: float
    notes: tuple[str, ...]
    n_channels: int = 1
    mean: float = 0.0
    rms: float = 0.0
    clipped: float = 0.0
    quiet: float = 0.0


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


def _listen(path: Path, hearing: Hearing, span: tuple[float, float] | None) -> Listener:
    """Open an audio file; for one part of it after another, once."""
    if span is None or not path.is_file():
        return listen(path, hearing)
    status = path.stat()
    found = _remembered(path, hearing, (status.st_ino, status.st_size, status.st_mtime_ns))
    if isinstance(found, UnusableError):
        raise found
    return found


@functools.lru_cache(maxsize=2)
def _remembered(path: Path, hearing: Hearing, _version: tuple[int, ...]) -> Listener | UnusableError:
    try:
        return listen(path, hearing)
    except UnusableError as error:  # it may have taken all of a long file to know
        return error


def decode(path: Path, hearing: Hearing = DEFAULT, span: tuple[float, float] | None = None) -> tuple[np.ndarray, int]:
    """Decode an audio file (WAV, FLAC, Ogg, MP3, WebM, MP4, AAC, AMR and others), or part of it, to one channel.

    Parameters
    ----------
    path : Path
    hearing : Hearing
    span : tuple of float or None
        Start and end of the part (seconds).

    Returns
    -------
    samples : np.ndarray, shape (n_samples,), float32
        Full scale is 1.
    sample_rate : int
        The file's own rate (Hz).

    Raises
    ------
    DataError
        If the file is missing, is not audio that can be decoded, holds no samples, or is excluded by the rules, or if
        the part is not in the file.
    """
    listener = _listen(path, hearing, span)
    start, stop = _frames(span, listener.sample_rate)
    try:
        pieces = list(listener.blocks(start, stop))
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    n_frames = sum(map(len, pieces))
    _require_reached(path, span, start, n_frames, listener.sample_rate)
    if not n_frames:
        raise _empty(path)
    return np.concatenate(pieces), listener.sample_rate


def hear(
    path: Path,
    hearing: Hearing = DEFAULT,
    span: tuple[float, float] | None = None,
    take: Callable[[np.ndarray, int], None] | None = None,
) -> Heard:
    """Hear an audio file, or part of it (seconds), in bounded memory, to know what is in it.

    Parameters
    ----------
    path : Path
    hearing : Hearing
    span : tuple of float or None
        Start and end of the part (seconds).
    take : callable or None
        Gets the samples too, block by block, (n,) float32, and their rate (Hz).

    Returns
    -------
    Heard

    Raises
    ------
    DataError
        As of `decode`, or if the part is not in the file.
    """
    listener, levels, digest = _listen(path, hearing, span), Levels(1), hashlib.sha256()
    start, stop = _frames(span, listener.sample_rate)
    quiet = _Quiet(round(_QUIET_S * listener.sample_rate), 10 ** (hearing.silence_dbfs / 20))
    clipped = 0
    try:
        for samples in listener.blocks(start, stop):
            levels.add(samples[:, np.newaxis])
            digest.update(np.ascontiguousarray(samples, dtype="<f4").tobytes())
            clipped += int(np.count_nonzero(np.abs(samples) >= CLIPPED))
            quiet.add(samples)
            if take:
                take(samples, listener.sample_rate)
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    _require_reached(path, span, start, levels.n_frames, listener.sample_rate)
    if not levels.n_frames:
        raise _empty(path)
    return Heard(
        sha256=digest.hexdigest(),
        n_samples=levels.n_frames,
        sample_rate=listener.sample_rate,
        peak=levels.peak_about_mean,
        notes=listener.notes,
        n_channels=listener.source.n_channels,
        mean=float(levels.mean[0]),
        rms=float(np.sqrt(levels.energy[0] / levels.n_frames)),
        clipped=clipped / levels.n_frames,
        quiet=quiet.share(float(levels.mean[0])),
    )


def _frames(span: tuple[float, float] | None, rate: int) -> tuple[int, int | None]:
    """Return the first frame of a part and the one after its last; None for the file's end."""
    if span is None:
        return 0, None
    start, stop = (min(round(seconds * rate), _FARTHEST) for seconds in span)
    return start, stop


def _require_reached(path: Path, span: tuple[float, float] | None, start: int, n_frames: int, rate: int) -> None:
    """Raise `UnusableError` if a file ends before the part does of which so many frames were read."""
    if span and start + n_frames < (span[1] - _SLACK_S) * rate:
        end = (start + n_frames) / rate if n_frames else None
        ends = f"at {end:.6g} s" if end else f"before {span[0]:.6g} s"
        raise UnusableError(
            f"{shown(path)} ends {ends}; the part to {span[1]:.6g} s is not in it. Correct its times.", BEYOND
        )


class _Quiet:
    """Counts the frames of a recording whose peak about the recording's mean stays below a level."""

    def __init__(self, length: int, level: float) -> None:
        self._length, self._level = max(length, 1), level
        self._rest = np.zeros(0, np.float32)
        self._low: list[np.ndarray] = []
        self._high: list[np.ndarray] = []

    def add(self, samples: np.ndarray) -> None:
        """Take the next samples."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._length * self._length
        self._note(samples[:whole].reshape(-1, self._length))
        self._rest = samples[whole:]

    def share(self, mean: float) -> float:
        """Return the share of quiet frames, now that the mean is known."""
        if len(self._rest):
            self._note(self._rest[np.newaxis])
            self._rest = self._rest[:0]
        low, high = np.concatenate(self._low), np.concatenate(self._high)
        return float((np.maximum(high - mean, mean - low) < self._level).mean()) if len(low) else 0.0

    def _note(self, frames: np.ndarray) -> None:
        if len(frames):
            self._low.append(frames.min(axis=1))
            self._high.append(frames.max(axis=1))


def _empty(path: Path) -> UnusableError:
    return UnusableError(f"{shown(path)} holds no samples. Record it again.", EMPTY)


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
    start, stop = (round(seconds * sample_rate) for seconds in span)
    try:
        part = read_part(_listen(path, hearing, span), sample_rate, start, stop)
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    if not len(part):
        raise UnusableError(f"{shown(path)} ends before {span[0]:g} s. Correct the part's times.", EMPTY)
    return part


def content_hash(samples: np.ndarray) -> str:
    """Return the sha256 of decoded samples: equal for equal audio, whatever the container."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()
