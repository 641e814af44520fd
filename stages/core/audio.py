"""Audio files of any format to mono float32, at home. A device uses `stages.runtime.audio` alone."""

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from stages.core.errors import DataError
from stages.runtime.audio import resample


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode an audio file (WAV, FLAC, Ogg, MP3) to mono.

    Parameters
    ----------
    path : Path

    Returns
    -------
    samples : np.ndarray, shape (n_samples,), float32
        Mean of the channels, in [-1, 1].
    sample_rate : int
        The file's own rate (Hz).

    Raises
    ------
    DataError
        If the file is missing or is not audio that can be decoded.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Check the path, or run `dvc repro pull` again.")
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise DataError(f"{path} cannot be decoded as audio ({reason}). Replace or remove it.") from None
    return samples.mean(axis=1, dtype=np.float32), int(sample_rate)


def load(path: Path, sample_rate: int) -> np.ndarray:
    """Decode an audio file and resample it, with the device's own resampler, to `sample_rate` (Hz).

    Returns
    -------
    np.ndarray, shape (n_samples,), float32

    Raises
    ------
    DataError
    """
    samples, rate = decode(path)
    return resample(samples, rate, sample_rate)


def content_hash(samples: np.ndarray) -> str:
    """Return the sha256 of decoded samples: equal for equal audio, whatever the container."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()
