"""Audio files of any format to mono float32, at home. A device uses `stages.runtime.audio` alone.

libsndfile reads WAV, FLAC, Ogg and MP3; what it does not know, FFmpeg's libraries (in PyAV) read: WebM, MP4, M4A, AAC.
"""

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from stages.core.project.errors import DataError
from stages.runtime.audio import resample

CONTAINERS = "matroska,webm,mov,mp4,m4a,3gp,aac,ogg,mp3"  # nothing that, as a playlist does, leads to other files


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode an audio file (WAV, FLAC, Ogg, MP3, WebM, MP4, M4A, AAC) to mono.

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
    except soundfile.LibsndfileError:
        return _decode_container(path)
    return samples.mean(axis=1, dtype=np.float32), int(sample_rate)


def _decode_container(path: Path) -> tuple[np.ndarray, int]:
    """Decode the first audio stream of what libsndfile does not know."""
    import av  # loads all of FFmpeg, for the few files that need it

    undecodable = "{} cannot be decoded as audio ({}). Replace or remove it."
    pieces: list[np.ndarray] = []
    try:
        with av.open(str(path), options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.audio:
                raise DataError(undecodable.format(path, "it holds no audio"))
            stream = container.streams.audio[0]
            sample_rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
            to_float = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
            for frame in container.decode(stream):
                if (frame.sample_rate, frame.layout.name) != (sample_rate, layout.name):
                    raise DataError(undecodable.format(path, "its rate or channels change midway"))
                pieces += [piece.to_ndarray() for piece in to_float.resample(frame)]
            pieces += [piece.to_ndarray() for piece in to_float.resample(None)]
    except av.FFmpegError as error:
        raise DataError(undecodable.format(path, error.strerror)) from None
    if not pieces:
        raise DataError(undecodable.format(path, "it holds no samples"))
    return np.concatenate(pieces, axis=1).mean(axis=0, dtype=np.float32), int(sample_rate)


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
