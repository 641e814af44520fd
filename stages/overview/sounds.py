"""Sounds in a page: a few seconds as MP3 and their spectrogram as PNG, both as data URIs."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from PIL import Image

from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.core.project.palette import COLOURS
from stages.runtime.hearing import Hearing

SAMPLE_RATE = 16000
LONGEST_S = 4.0
"""Length of a sound at most: the loudest part of a longer one."""
_QUALITY = 0.85  # of libsndfile's range, the worst of which is 1
_WIDTH, _HEIGHT = 240, 64
_N_FFT, _RANGE_DB = 512, 70.0
_LEVEL = 0.5  # peak of a sound that is played


@dataclass(frozen=True)
class Clip:
    """A sound of the page.

    Attributes
    ----------
    audio, picture : str
        Data URIs of an MP3 file and a PNG file.
    start_s, length_s : float
        Part of the recording.
    """

    audio: str
    picture: str
    start_s: float
    length_s: float


def clip(path: Path, span: tuple[float, float] | None, hearing: Hearing) -> Clip | None:
    """Return the loudest part of a recording, made equally loud; None if it is gone or cannot be decoded.

    Parameters
    ----------
    path : Path
    span : tuple of float or None
        Start and end (seconds) of the recording in its file.
    hearing : Hearing
    """
    try:
        samples = decode.load(path, SAMPLE_RATE, hearing, span)
    except DataError:
        return None
    samples = samples - samples.mean()
    start, length = loudest(samples), min(len(samples), round(LONGEST_S * SAMPLE_RATE))
    part = samples[start : start + length]
    part = part * np.float32(_LEVEL / max(float(np.abs(part).max()), 1e-6))
    return Clip(
        audio=_uri("audio/mpeg", _mp3(part)),
        picture=_uri("image/png", _png(spectrogram(part))),
        start_s=start / SAMPLE_RATE,
        length_s=length / SAMPLE_RATE,
    )


def loudest(samples: np.ndarray) -> int:
    """Return where the part of `LONGEST_S` with the most energy starts, in steps of a quarter of a second.

    Examples
    --------
    >>> loudest(np.r_[np.zeros(6 * SAMPLE_RATE), np.ones(SAMPLE_RATE)]) / SAMPLE_RATE
    3.0
    """
    length, hop = round(LONGEST_S * SAMPLE_RATE), SAMPLE_RATE // 4
    if len(samples) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.unique(np.append(np.arange(0, len(samples) - length, hop), len(samples) - length))
    return int(starts[np.argmax(energy[starts + length] - energy[starts])])


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return the levels of a sound at 64 frequencies of the mel scale, high ones first: 0 is 70 dB below 1.

    Parameters
    ----------
    samples : np.ndarray, shape (n_samples,), float32

    Returns
    -------
    np.ndarray, shape (64, 240)
    """
    padded = np.pad(samples, (0, max(0, _N_FFT - len(samples))))
    starts = np.linspace(0, len(padded) - _N_FFT, _WIDTH).round().astype(int)
    frames = padded[starts[:, np.newaxis] + np.arange(_N_FFT)] * scipy.signal.get_window("hann", _N_FFT)
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), _HEIGHT + 1)
    edges = 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE * _N_FFT
    low = np.minimum(edges[:-1].astype(int), power.shape[1] - 1)
    high = np.maximum(np.minimum(np.ceil(edges[1:]).astype(int), power.shape[1]), low + 1)
    bands = np.stack([power[:, a:b].mean(axis=1) for a, b in zip(low, high, strict=True)])
    levels = 10 * np.log10(bands + 1e-10)
    return np.clip((levels - levels.max()) / _RANGE_DB + 1, 0, 1)[::-1]


def _mp3(samples: np.ndarray) -> bytes:
    content = io.BytesIO()
    with soundfile.SoundFile(
        content, "w", SAMPLE_RATE, 1, "MPEG_LAYER_III", format="MP3", compression_level=_QUALITY
    ) as file:
        file.write(samples)
    return content.getvalue()


def _png(levels: np.ndarray) -> bytes:
    """Return a picture of levels, from white by the palette's blue to black."""
    blue = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
    ramp = np.stack([np.interp(np.arange(256), [0, 160, 255], [255, c, 0]) for c in blue], axis=1)
    image = Image.fromarray((levels * 255).round().astype(np.uint8), "P")
    image.putpalette(ramp.round().astype(np.uint8).tobytes())
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
