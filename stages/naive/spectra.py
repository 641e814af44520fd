"""One row of numbers per recording: its mel cepstrum pooled over its own length, and in ten parts of it.

A recording is neither cut nor padded, so that the reference does not share a front end's mistakes.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.signal

from stages.core.audio import decode
from stages.core.project.progress import track
from stages.core.project.workers import spawned
from stages.runtime.hearing import DEFAULT, Hearing

Part = tuple[Path, tuple[float, float] | None]

SAMPLE_RATE = 16000
N_FFT, HOP, N_MELS, N_MFCC = 512, 256, 40, 20
PARTS = 10
TOP_DB = 80.0
LONGEST_S = 60.0
CHUNK = 32


def describe_all(parts: Sequence[Part], hearing: Hearing = DEFAULT, *, workers: int) -> np.ndarray:
    """Return the descriptions of recordings: shape (n, n_features), float32.

    Parameters
    ----------
    parts : sequence of (Path, tuple of float or None)
        Files, and the part (seconds) of each that is the recording; None for all of it.
    hearing : Hearing
    workers : int
        Processes.

    Raises
    ------
    DataError
        If a file cannot be decoded.
    """
    chunks = [list(parts[i : i + CHUNK]) for i in range(0, len(parts), CHUNK)]
    with spawned(workers, _prepare) as pool:
        found = pool.map(functools.partial(_describe_files, hearing), chunks)
        rows = list(track(found, "naive", total=len(chunks)))
    return np.concatenate(rows)


def _prepare() -> None:
    """Set up a worker: nothing to do."""


def _describe_files(hearing: Hearing, parts: Sequence[Part]) -> np.ndarray:
    return np.stack([describe(decode.load(path, SAMPLE_RATE, hearing, span)) for path, span in parts])


def describe(samples: np.ndarray) -> np.ndarray:
    """Return the description of one waveform.

    Parameters
    ----------
    samples : np.ndarray, shape (n_samples,), float32
        At `SAMPLE_RATE`.

    Returns
    -------
    np.ndarray, shape (n_features,), float32
        For each cepstral coefficient: mean, standard deviation, 10 % and 90 % quantiles, mean size of its change from
        frame to frame, and its mean in each of ten parts; then the logarithm of the length.

    Examples
    --------
    >>> describe(np.zeros(4000, np.float32)).shape
    (301,)
    """
    samples = samples[: round(LONGEST_S * SAMPLE_RATE)]
    padded = np.pad(samples, (0, max(0, N_FFT + (PARTS - 1) * HOP - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    power = np.abs(np.fft.rfft(frames * scipy.signal.get_window("hann", N_FFT))) ** 2
    levels = 10 * np.log10(np.maximum(power @ _filters().T, 1e-10))
    levels = np.maximum(levels, levels.max() - TOP_DB)
    cepstrum = scipy.fft.dct(levels, norm="ortho", axis=1)[:, :N_MFCC]
    pooled = [cepstrum.mean(0), cepstrum.std(0), *np.quantile(cepstrum, [0.1, 0.9], axis=0)]
    change = np.abs(np.diff(cepstrum, axis=0)).mean(0)
    parts = [part.mean(0) for part in np.array_split(cepstrum, PARTS)]
    length = [np.log(max(len(samples), 1) / SAMPLE_RATE)]
    return np.concatenate([*pooled, change, *parts, length]).astype(np.float32)


@functools.cache
def _filters() -> np.ndarray:
    """Return triangular filters equally spaced on the mel scale: shape (N_MELS, 1 + N_FFT // 2)."""

    def mel(hz: float) -> float:
        return 2595 * float(np.log10(1 + hz / 700))

    edges = 700 * (10 ** (np.linspace(mel(50.0), mel(SAMPLE_RATE / 2), N_MELS + 2) / 2595) - 1)
    hz = np.arange(1 + N_FFT // 2) * SAMPLE_RATE / N_FFT
    low, middle, high = edges[:-2, np.newaxis], edges[1:-1, np.newaxis], edges[2:, np.newaxis]
    triangles = np.maximum(0, np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)))
    return triangles / np.maximum(triangles.sum(axis=1, keepdims=True), 1e-12)
