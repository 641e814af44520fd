"""Measure recordings: lengths, rates, channels, levels and the frequencies that they hold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flows.start.fields import Span
from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.core.project.progress import track

Place = tuple[str, Span | None]
MEASURED = 400
"""Recordings that are decoded, spread evenly over all."""
_FRAME = 1024
_HELD = 0.99  # of a recording's energy, after +6 dB per octave, up to the frequency that counts as its bandwidth
_SILENT = 1e-3


@dataclass(frozen=True)
class Survey:
    """Measurements of a sample of recordings.

    Attributes
    ----------
    n : int
        Recordings measured.
    seconds : np.ndarray, shape (n,)
        Lengths.
    rates : Counter of int
        Sample rate (Hz) to recordings.
    by_label : dict of str to Counter of int
        The same for each label.
    peaks_db : np.ndarray, shape (n,)
        Peak levels (dB relative to full scale).
    bandwidth_hz : np.ndarray, shape (n,)
        Frequencies below which nearly all energy lies.
    failed : tuple of str
        Paths that cannot be decoded.
    silent : int
        Recordings without any sound.
    labels : tuple of str
        Label of each recording measured; empty if none matters.
    """

    n: int
    seconds: np.ndarray
    rates: Counter[int]
    by_label: dict[str, Counter[int]]
    peaks_db: np.ndarray
    bandwidth_hz: np.ndarray
    failed: tuple[str, ...]
    silent: int
    labels: tuple[str, ...] = ()

    def without(self, label: str | None) -> "Survey":
        """Return the survey with the lengths of the recordings of all other labels; the same for None."""
        others = [i for i, each in enumerate(self.labels) if each != label]
        return replace(self, seconds=self.seconds[others]) if label is not None and others else self

    def quantile(self, q: float) -> float:
        """Return a quantile of the lengths (seconds)."""
        return float(np.quantile(self.seconds, q))

    def much_shorter(self, seconds: float) -> float:
        """Return the fraction of recordings that are shorter than half of a clip of so many seconds."""
        return float((self.seconds < 0.5 * seconds).mean())

    def clips(self, seconds: float) -> float:
        """Return the mean number of clips of so many seconds that a recording is cut into."""
        return float(np.ceil(self.seconds / seconds - 0.01).clip(1).mean())


def survey(root: Path, places: Sequence[Place], labels: Sequence[str]) -> Survey:
    """Decode a sample of recordings, or of parts of them, and measure them.

    Parameters
    ----------
    root : Path
    places : sequence of tuple
        Path, relative to `root`, and start and end of the part (seconds), or None for all of it.
    labels : sequence of str
        Label of each.

    Returns
    -------
    Survey

    Raises
    ------
    DataError
        If none of the sample holds sound.
    """
    order = np.random.default_rng(0).permutation(len(places))[:MEASURED]
    rates: Counter[int] = Counter()
    by_label: dict[str, Counter[int]] = {}
    rows, measured, failed, silent = [], [], [], 0
    for i in track(sorted(order), "recordings", total=len(order)):
        path, span = places[i]
        try:
            samples, rate = decode.decode(root / path, span=span)
        except DataError:
            failed.append(path)
            continue
        peak = float(np.abs(samples).max(initial=0.0))
        if not len(samples) or not np.isfinite(peak) or peak < _SILENT:
            silent += 1
            continue
        rates[rate] += 1
        by_label.setdefault(labels[i], Counter())[rate] += 1
        measured.append(labels[i])
        rows.append((len(samples) / rate, 20 * np.log10(peak), bandwidth(samples, rate)))
    if not rows:
        raise DataError(
            f"the recordings below {root} must hold sound; of {len(order)}, {len(failed)} cannot be decoded and "
            f"{silent} are silent. Check one with a player."
        )
    seconds, peaks, bands = np.array(rows).T
    return Survey(len(rows), seconds, rates, by_label, peaks, bands, tuple(failed), silent, tuple(measured))


def bandwidth(samples: np.ndarray, rate: int) -> float:
    """Return the frequency below which nearly all of a recording's energy lies, after 6 dB more per octave.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
    rate : int
        Hz.

    Returns
    -------
    float
        Hz.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    >>> 950 < bandwidth(tone, 16000) < 1100
    True
    """
    padded = np.pad(samples, (0, max(0, _FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[:: _FRAME // 2][:2000]
    power = (np.abs(np.fft.rfft(frames * np.hanning(_FRAME))) ** 2).mean(axis=0)
    hz = np.arange(len(power)) * rate / _FRAME
    held = np.cumsum(power * hz**2)
    return float(hz[np.searchsorted(held, _HELD * held[-1])])
