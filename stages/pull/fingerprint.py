"""Acoustic fingerprints of recordings: constellations of spectral peaks, three at a time.

A change of level, a cut, another rate, a lossy codec, noise or a second sound moves or hides some peaks of a
recording and leaves many triples of them as they are.

References
----------
A. Wang: An Industrial-Strength Audio Search Algorithm. ISMIR 2003, sections 2.1 and 2.2; here triples take the place of
pairs, so that chance meetings stay rare among many recordings.
"""

from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class Fingerprint:
    """Triples of spectral peaks of one recording.

    Attributes
    ----------
    hashes : np.ndarray, shape (n,), int64
        Frequencies and distances in time of each triple.
    frames : np.ndarray, shape (n,), int32
        Frame of the first peak of each; a frame is `HOP` samples.
    """

    hashes: np.ndarray
    frames: np.ndarray


def fingerprint(samples: np.ndarray) -> Fingerprint:
    """Return the fingerprint of a waveform.

    Parameters
    ----------
    samples : np.ndarray, shape (n_samples,), float32
        At `SAMPLE_RATE`.

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
    frames, bins = _peaks(samples[: round(LONGEST_S * SAMPLE_RATE)])
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
    return Fingerprint(np.concatenate(hashes), np.concatenate(starts).astype(np.int32))


def _peaks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frame and bin of each spectral peak, by time."""
    padded = np.pad(samples.astype(np.float32), (0, max(0, N_FFT - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    low, high = (round(hz / SAMPLE_RATE * N_FFT) for hz in (LOWEST_HZ, HIGHEST_HZ))
    spectrum = np.fft.rfft(windows * np.hanning(N_FFT).astype(np.float32))[:, low:high]
    levels = 20 * np.log10(np.abs(spectrum) + 1e-9)
    around = scipy.ndimage.maximum_filter1d(scipy.ndimage.maximum_filter1d(levels, 9, axis=0), 7, axis=1)
    loudest = float(levels.max())
    frames, bins = np.nonzero((levels == around) & (levels > max(loudest - FLOOR_DB, -100.0)))
    blocks = (frames * HOP / SAMPLE_RATE / BLOCK_S).astype(np.int64)
    by_level = np.lexsort((-levels[frames, bins], blocks))
    place = np.arange(len(blocks)) - np.searchsorted(blocks[by_level], blocks[by_level])
    kept = np.sort(by_level[place < PER_BLOCK])
    return frames[kept].astype(np.int64), bins[kept].astype(np.int64)
