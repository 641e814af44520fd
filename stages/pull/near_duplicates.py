"""Recordings that hold the same sound although their samples differ.

Two steps: fingerprints propose pairs, in time that grows with the number of recordings; the correlation of the
waveforms decides. A copy that was made faster, slower, or higher in pitch is another sound here.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft

from stages.core.audio import decode
from stages.core.project.progress import track
from stages.pull.fingerprint import HIGHEST_HZ, HOP, LONGEST_S, LOWEST_HZ, SAMPLE_RATE, Fingerprint, fingerprint
from stages.runtime.hearing import Hearing

FEWEST = 3
"""Triples of peaks that a proposed pair has in common at least, at one offset."""
PROPOSED = 8
"""Pairs proposed for each recording at most."""
BUCKET = 24
"""Triples with equal hashes that one is compared with at most, so that a frequent one costs no more."""
_OFFSET_FRAMES = 4
_SLACK_S = 0.15
_SHORTEST_S, _LONGEST_S = 0.25, 20.0
_FAR = 1 << 16

Load = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Proposed:
    """Two recordings that may hold the same sound, by their places, and the time by which the second lags (s)."""

    first: int
    second: int
    lag_s: float


@dataclass(frozen=True)
class Pair:
    """Two recordings that hold the same sound, by their places, and how surely (`similarity`)."""

    first: int
    second: int
    similarity: float


def find(parts: Sequence[tuple[Path, tuple[float, float] | None]], hearing: Hearing, threshold: float) -> list[Pair]:
    """Find the pairs of recordings that hold the same sound.

    Parameters
    ----------
    parts : sequence of (Path, tuple of float or None)
        Files that decode, and the part (seconds) of each; None for all of it.
    hearing : Hearing
    threshold : float
        Least similarity of a pair.

    Returns
    -------
    list of Pair
        Sorted by place.
    """

    def load(place: int) -> np.ndarray:
        path, span = parts[place]
        return decode.load(path, SAMPLE_RATE, hearing, span)[: round(LONGEST_S * SAMPLE_RATE)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heard = pool.map(lambda place: fingerprint(load(place)), range(len(parts)))
        prints = list(track(heard, "fingerprint", total=len(parts)))
    return confirm(propose(prints), load, threshold)


def propose(prints: Sequence[Fingerprint]) -> list[Proposed]:
    """Return the pairs whose fingerprints agree most, at most `PROPOSED` for each recording.

    Parameters
    ----------
    prints : sequence of Fingerprint

    Returns
    -------
    list of Proposed
        Sorted; `first` is less than `second`.
    """
    if not prints:
        return []
    hashes = np.concatenate([p.hashes for p in prints])
    frames = np.concatenate([p.frames for p in prints])
    owners = np.repeat(np.arange(len(prints), dtype=np.int32), [len(p.hashes) for p in prints])
    order = np.argsort(hashes, kind="stable")  # so that equal hashes are in the order of recordings
    hashes, frames, owners = hashes[order], frames[order], owners[order]
    found: list[np.ndarray] = []
    for distance in range(1, BUCKET + 1):
        at = np.flatnonzero(hashes[distance:] == hashes[:-distance]) if distance < len(hashes) else np.zeros(0, int)
        if not len(at):
            break
        at = at[owners[at] != owners[at + distance]]
        lag = (frames[at + distance].astype(np.int64) - frames[at]) // _OFFSET_FRAMES + _FAR // 2
        found.append((owners[at].astype(np.int64) * len(prints) + owners[at + distance]) * _FAR + lag)
    if not found:
        return []
    keys, counts = np.unique(np.concatenate(found), return_counts=True)
    if not len(keys):
        return []
    beside = np.append(np.where(np.diff(keys) == 1, counts[1:], 0), 0)
    pairs, counts = keys // _FAR, counts + beside
    best = np.lexsort((-counts, pairs))
    best = best[np.append(True, np.diff(pairs[best]) > 0)]
    best = best[counts[best] >= FEWEST]
    best = best[np.argsort(-counts[best], kind="stable")]
    return sorted(_thinned(keys[best], len(prints)), key=lambda p: (p.first, p.second))


def _thinned(keys: np.ndarray, n: int) -> list[Proposed]:
    """Keep a pair, best first, while one of the two has not had its number."""
    had = np.zeros(n, np.int64)
    kept = []
    for key in keys.tolist():
        first, second = divmod(key // _FAR, n)
        if min(had[first], had[second]) < PROPOSED:
            had[[first, second]] += 1
            lag = (key % _FAR - _FAR // 2 + 1) * _OFFSET_FRAMES * HOP / SAMPLE_RATE
            kept.append(Proposed(first, second, lag))
    return kept


def confirm(proposed: Sequence[Proposed], load: Load, threshold: float) -> list[Pair]:
    """Return the proposed pairs whose waveforms correlate.

    Parameters
    ----------
    proposed : sequence of Proposed
    load : callable
        Place of a recording to its samples at `SAMPLE_RATE`.
    threshold : float
        Least similarity of a pair.
    """
    cached = functools.lru_cache(maxsize=64)(load)

    def judge(pair: Proposed) -> Pair:
        return Pair(pair.first, pair.second, similarity(cached(pair.first), cached(pair.second), pair.lag_s))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        judged = list(pool.map(judge, proposed))
    return [pair for pair in judged if pair.similarity >= threshold]


def similarity(first: np.ndarray, second: np.ndarray, lag_s: float) -> float:
    """Return how far the correlation of two waveforms, near a lag, stands out of that at all lags.

    Both are whitened and then clipped, so that neither a tone nor a click that they happen to share counts for much.

    Parameters
    ----------
    first, second : np.ndarray, shape (n_samples,), float32
        At `SAMPLE_RATE`.
    lag_s : float
        Time by which `second` lags (seconds).

    Returns
    -------
    float
        In root mean squares of the correlation; about 5 for different sounds, at most the square root of the number
        of samples in which the two overlap, of which 20 s are compared. 0 if they overlap in less than a quarter of a
        second.

    References
    ----------
    C. Knapp, G. Carter: The Generalized Correlation Method for Estimation of Time Delay. IEEE Transactions on
    Acoustics, Speech, and Signal Processing 24(4), 1976 (the phase transform).

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((2, SAMPLE_RATE)).astype(np.float32)
    >>> similarity(noise[0], 0.1 * noise[0], 0.0) > 50 > 10 > similarity(noise[0], noise[1], 0.0)
    True
    """
    lag = round(lag_s * SAMPLE_RATE)
    first, second = first[max(0, -lag) :], second[max(0, lag) :]
    length = min(len(first), len(second), round(_LONGEST_S * SAMPLE_RATE))
    if length < _SHORTEST_S * SAMPLE_RATE:
        return 0.0
    n = scipy.fft.next_fast_len(2 * length, real=True)
    cross = scipy.fft.rfft(_whitened(first[:length], n), n) * np.conj(scipy.fft.rfft(_whitened(second[:length], n), n))
    correlation = np.abs(scipy.fft.irfft(cross, n))
    slack = round(_SLACK_S * SAMPLE_RATE)
    near = max(correlation[: slack + 1].max(), correlation[-slack:].max())
    rms = float(np.sqrt(np.square(correlation).mean()))
    return round(float(near) / rms, 1) if rms > 0 else 0.0


def _whitened(samples: np.ndarray, n: int) -> np.ndarray:
    """Return a waveform with all frequencies of the band equally strong, clipped at twice its root mean square."""
    spectrum = scipy.fft.rfft(samples, n)
    hz = np.arange(len(spectrum)) * SAMPLE_RATE / n
    size = np.abs(spectrum)
    band = (hz > LOWEST_HZ) & (hz < HIGHEST_HZ) & (size > 0)
    white = scipy.fft.irfft(np.where(band, spectrum / np.where(size > 0, size, 1.0), 0.0), n)[: len(samples)]
    limit = 2 * float(np.sqrt(np.square(white).mean()))
    return np.clip(white, -limit, limit)
