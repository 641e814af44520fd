"""Acoustic fingerprints of recordings: constellations of spectral peaks, three at a time, and the whitened waveform.

A change of level, a cut, another rate, a lossy codec, noise or a second sound moves or hides some peaks of a
recording and leaves many triples of them as they are. Two recordings that share triples are then compared by their
waveforms (`stages.pull.near_duplicates`).

References
----------
A. Wang: An Industrial-Strength Audio Search Algorithm. ISMIR 2003, sections 2.1 and 2.2; here triples take the place of
pairs, so that chance matches stay rare among many recordings.
C. Knapp, G. Carter: The Generalized Correlation Method for Estimation of Time Delay. IEEE Transactions on Acoustics,
Speech, and Signal Processing 24(4), 1976 (whitening by the phase transform).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.ndimage

SAMPLE_RATE = 8000
N_FFT, HOP = 512, 64
LOWEST_HZ, HIGHEST_HZ = 150, 3600
"""Band that a telephone carries."""
FLOOR_DB = 40.0
"""Depth below the loudest point of a recording at which peaks end."""
PER_BLOCK, BLOCK_S = 24, 0.5
"""Peaks of each block of time at most."""
NEIGHBOURS = 7
"""Later peaks that an anchor forms triples with."""
LONGEST_TRIPLE_S = 0.8
LONGEST_S = 120.0
"""Part of a long recording that is fingerprinted, from its beginning."""
MOST = 8192
"""Triples of a recording at most: those with the smallest hashes, so that copies keep the same ones."""
_LIMIT = 2.0  # root mean squares at which the whitened waveform is clipped
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Fingerprint:
    """Triples of spectral peaks, and the whitened waveform, of one recording.

    Attributes
    ----------
    hashes : np.ndarray, shape (n,), uint32
        Frequencies and distances in time of each triple.
    frames : np.ndarray, shape (n,), uint16
        Frame of the first peak of each; a frame is `HOP` samples.
    white : np.ndarray, shape (n_samples,), int8
        The waveform with all frequencies of the band equally strong, clipped at twice its root mean square, which is
        127. Neither a tone nor a click that two recordings happen to share counts for much in it.
    """

    hashes: np.ndarray
    frames: np.ndarray
    white: np.ndarray


def fingerprint(samples: np.ndarray) -> Fingerprint:
    """Return the fingerprint of a waveform.

    Parameters
    ----------
    samples : np.ndarray, shape (n_samples,), float32
        At `SAMPLE_RATE`; the first `LONGEST_S` count.

    Returns
    -------
    Fingerprint
        Without a triple if fewer than three peaks stand near each other.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    >>> bool((fingerprint(noise).hashes == fingerprint(noise / 4).hashes).all())
    True
    """
    samples = samples[: round(LONGEST_S * SAMPLE_RATE)]
    frames, bins = _peaks(samples)
    hashes: list[np.ndarray] = []
    starts: list[np.ndarray] = []
    for second in range(1, NEIGHBOURS):
        for third in range(second + 1, NEIGHBOURS + 1):
            n = max(len(frames) - third, 0)
            apart = [frames[k : n + k] - frames[:n] for k in (second, third)]
            above = [bins[k : n + k] - bins[:n] for k in (second, third)]
            near = apart[1] * HOP <= LONGEST_TRIPLE_S * SAMPLE_RATE
            value = bins[:n]
            for step in above:
                value = value * N_FFT + step + N_FFT // 2
            for step in apart:
                value = value * 64 + step // 2
            hashes.append(value[near])
            starts.append(frames[:n][near])
    mixed = (np.concatenate(hashes).astype(np.uint64) * _MIX >> np.uint64(32)).astype(np.uint32)
    kept = np.argsort(mixed, kind="stable")[:MOST]
    return Fingerprint(mixed[kept], np.concatenate(starts).astype(np.uint16)[kept], _whitened(samples))


def write(path: Path, found: Fingerprint) -> None:
    """Write a fingerprint."""
    parts = [np.array([len(found.hashes)], "<u4"), found.hashes.astype("<u4"), found.frames.astype("<u2"), found.white]
    path.write_bytes(b"".join(part.tobytes() for part in parts))


def read(path: Path, *, white: bool = True) -> Fingerprint:
    """Read a fingerprint written by `write`; on request without its waveform."""
    with path.open("rb") as stream:
        n = int(np.frombuffer(stream.read(4), "<u4")[0])
        hashes, frames = np.frombuffer(stream.read(4 * n), "<u4"), np.frombuffer(stream.read(2 * n), "<u2")
        return Fingerprint(hashes, frames, np.frombuffer(stream.read() if white else b"", np.int8))


def _peaks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frame and bin of each spectral peak, by time."""
    padded = np.pad(samples.astype(np.float32), (0, max(0, N_FFT - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    low, high = (round(hz / SAMPLE_RATE * N_FFT) for hz in (LOWEST_HZ, HIGHEST_HZ))
    spectrum = scipy.fft.rfft(windows * np.hanning(N_FFT).astype(np.float32))[:, low:high]
    levels = 20 * np.log10(np.abs(spectrum) + 1e-9)
    around = scipy.ndimage.maximum_filter1d(scipy.ndimage.maximum_filter1d(levels, 9, axis=0), 7, axis=1)
    loudest = float(levels.max())
    frames, bins = np.nonzero((levels == around) & (levels > max(loudest - FLOOR_DB, -100.0)))
    blocks = (frames * HOP / SAMPLE_RATE / BLOCK_S).astype(np.int64)
    by_level = np.lexsort((-levels[frames, bins], blocks))
    place = np.arange(len(blocks)) - np.searchsorted(blocks[by_level], blocks[by_level])
    kept = np.sort(by_level[place < PER_BLOCK])
    return frames[kept].astype(np.int64), bins[kept].astype(np.int64)


def _whitened(samples: np.ndarray) -> np.ndarray:
    if not len(samples):
        return np.zeros(0, np.int8)
    n = scipy.fft.next_fast_len(2 * len(samples), real=True)
    spectrum = scipy.fft.rfft(samples, n)
    hz = np.arange(len(spectrum)) * SAMPLE_RATE / n
    size = np.abs(spectrum)
    band = (hz > LOWEST_HZ) & (hz < HIGHEST_HZ) & (size > 0)
    white = scipy.fft.irfft(np.where(band, spectrum / np.where(size > 0, size, 1.0), 0.0), n)[: len(samples)]
    limit = _LIMIT * float(np.sqrt(np.square(white).mean()))
    return np.rint(np.clip(white / limit, -1, 1) * 127).astype(np.int8) if limit > 0 else np.zeros(len(white), np.int8)
