"""Recordings that hold the same sound although their samples differ.

Two steps: fingerprints propose pairs, in time that grows with the number of recordings; the correlation of the
whitened waveforms decides. A copy that was made faster, slower, or higher in pitch is another sound here.
"""

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft

from stages.core.project.progress import track
from stages.pull import fingerprint
from stages.pull.fingerprint import HOP, SAMPLE_RATE, Fingerprint

FEWEST = 3
"""Triples of peaks that a proposed pair has in common at least, at one offset."""
PROPOSED = 8
"""Pairs proposed for each recording at most."""
BUCKET = 24
"""Triples with equal hashes that one is compared with at most, so that a frequent one costs no more."""
_OFFSET_FRAMES = 4
_SLACK_S = 0.15
_SHORTEST_S, _LONGEST_S = 0.15, 20.0
_FAR = 1 << 16


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


def find(prints: Sequence[Path], threshold: float) -> list[Pair]:
    """Find the pairs of recordings that hold the same sound.

    Parameters
    ----------
    prints : sequence of Path
        Fingerprints (`stages.pull.fingerprint.write`).
    threshold : float
        Least similarity of a pair.

    Returns
    -------
    list of Pair
        Sorted by place.
    """
    read = functools.lru_cache(maxsize=256)(lambda place: fingerprint.read(prints[place]))

    def judge(pair: Proposed) -> Pair:
        similar = similarity(read(pair.first).white, read(pair.second).white, pair.lag_s)
        return Pair(pair.first, pair.second, similar)

    proposed = propose([fingerprint.read(path, white=False) for path in prints])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        judged = list(track(pool.map(judge, proposed), "near-duplicates", total=len(proposed)))
    return [pair for pair in judged if pair.similarity >= threshold]


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


def similarity(first: np.ndarray, second: np.ndarray, lag_s: float) -> float:
    """Return how far the correlation of two whitened waveforms, near a lag, stands out of that at all lags.

    Parameters
    ----------
    first, second : np.ndarray, shape (n_samples,), int8
        `stages.pull.fingerprint.Fingerprint.white`.
    lag_s : float
        Time by which `second` lags (seconds).

    Returns
    -------
    float
        In root mean squares of the correlation; about 5 for different sounds, at most the square root of twice the
        number of samples in which the two overlap, of which 20 s are compared. 0 if they overlap in less than 0.15 s.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((2, SAMPLE_RATE)).astype(np.float32)
    >>> one, other = (fingerprint.fingerprint(x).white for x in noise)
    >>> similarity(one, one, 0.0) > 50 > 10 > similarity(one, other, 0.0)
    True
    """
    lag = round(lag_s * SAMPLE_RATE)
    first, second = first[max(0, -lag) :], second[max(0, lag) :]
    length = min(len(first), len(second), round(_LONGEST_S * SAMPLE_RATE))
    if length < _SHORTEST_S * SAMPLE_RATE:
        return 0.0
    n = scipy.fft.next_fast_len(2 * length, real=True)
    spectra = [scipy.fft.rfft(samples[:length].astype(np.float32), n) for samples in (first, second)]
    correlation = np.abs(scipy.fft.irfft(spectra[0] * np.conj(spectra[1]), n))
    slack = round(_SLACK_S * SAMPLE_RATE)
    near = max(correlation[: slack + 1].max(), correlation[-slack:].max())
    rms = float(np.sqrt(np.square(correlation).mean()))
    return round(float(near) / rms, 1) if rms > 0 else 0.0
