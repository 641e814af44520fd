"""Recordings to one channel of float32 at the front end's rate and length, the same on a device as at home."""

import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import DEFAULT, Hearing, Listener
from stages.runtime.hidden import is_hidden
from stages.runtime.wav import open_wav

ZERO_CROSSINGS = 32
KAISER_BETA = 8.0
ROLLOFF = 0.92
_BLOCK = 64
_LONGEST_TABLE = 8192  # of a ratio in lowest terms: 4 MiB of taps
_RESOLUTION = 1024  # of a zero crossing, where the table would be longer
ALIGNMENTS = ("start", "middle")


@functools.lru_cache(maxsize=4)
def lowpass(up: int, down: int) -> np.ndarray:
    """Return the Kaiser-windowed sinc that `resample` filters with.

    Passes up to 0.84 of the lower rate's Nyquist frequency and is 80 dB down at that frequency itself.

    Parameters
    ----------
    up, down : int
        The ratio of the rates in lowest terms.

    Returns
    -------
    np.ndarray, shape (2 * ZERO_CROSSINGS * max(up, down) + 1,), float64
        Symmetric taps at `up` times the input rate, with unit gain at 0 Hz.

    References
    ----------
    Oppenheim, Schafer: Discrete-Time Signal Processing, 3rd ed., section 7.5.3 (Kaiser window).
    """
    longest = max(up, down)
    half = ZERO_CROSSINGS * longest
    taps = np.sinc(np.arange(-half, half + 1) * (ROLLOFF / longest)) * np.kaiser(2 * half + 1, KAISER_BETA)
    return taps / taps.sum()


@functools.lru_cache(maxsize=1)
def _half_of_lowpass() -> np.ndarray:
    """Return `lowpass` between its taps, from its middle on, with unit integral: _RESOLUTION values a zero crossing."""
    offsets = np.arange(ZERO_CROSSINGS * _RESOLUTION + 1) / _RESOLUTION
    inside = np.sqrt(1 - (offsets / ZERO_CROSSINGS) ** 2)
    values = np.sinc(offsets * ROLLOFF) * np.i0(KAISER_BETA * inside) / np.i0(KAISER_BETA)
    integral = (2 * values.sum() - values[0]) / _RESOLUTION
    return np.append(values, 0.0) / integral


def _resample_uneven(samples: np.ndarray, up: int, down: int, wanted: range) -> np.ndarray:
    """Return a range of `resample`'s outputs for a ratio whose table of taps would be long; within 2e-6."""
    table, longest = _half_of_lowpass(), max(up, down)
    reach = ZERO_CROSSINGS * longest // up + 1
    padded = np.pad(samples, (reach, reach + 1))
    output = np.empty(len(wanted), np.float32)
    lags = np.arange(-reach, reach + 1)
    at_once = max(1, (1 << 18) // len(lags))
    for first in range(0, len(wanted), at_once):
        n = np.arange(wanted.start + first, min(wanted.start + first + at_once, wanted.stop))
        nearest, rest = np.divmod(n * down, up)
        offsets = np.abs(rest[:, np.newaxis] - lags * up) * (_RESOLUTION / longest)
        low = np.minimum(offsets, ZERO_CROSSINGS * _RESOLUTION).astype(np.int64)
        kernel = table[low] + (table[low + 1] - table[low]) * (offsets - low)
        kernel[offsets > ZERO_CROSSINGS * _RESOLUTION] = 0.0
        windows = padded[nearest[:, np.newaxis] + lags + reach]
        output[first : first + len(n)] = np.einsum("ij,ij->i", windows, kernel) * (up / longest)
    return output


def resample(samples: np.ndarray, rate_from: int, rate_to: int) -> np.ndarray:
    """Resample a waveform by a rational factor with a polyphase windowed-sinc filter.

    The output's sample n lies at the time of n / `rate_to`; beyond its ends the input counts as silence.

    Parameters
    ----------
    samples : np.ndarray, shape (n_samples,), float32
    rate_from, rate_to : int
        Sample rates (Hz).

    Returns
    -------
    np.ndarray, shape (ceil(n_samples * rate_to / rate_from),), float32
        `samples` itself if the rates are equal.

    Raises
    ------
    RuntimeInputError
        If a rate is not positive.
    """
    if rate_from < 1 or rate_to < 1:
        raise RuntimeInputError(f"A sample rate must be at least 1 Hz; got {rate_from} and {rate_to}.")
    samples = np.asarray(samples, np.float32)
    if rate_from == rate_to:
        return samples
    divisor = math.gcd(rate_from, rate_to)
    up, down = rate_to // divisor, rate_from // divisor
    n_out = -(-len(samples) * up // down)
    if max(up, down) > _LONGEST_TABLE:
        return _resample_uneven(samples, up, down, range(n_out))
    taps = lowpass(up, down) * up
    half = len(taps) // 2

    # The filter's phases return after `period` outputs, which take `step` inputs. A matrix product of windows `step`
    # apart gives one run of up to _BLOCK neighbouring outputs in every period at once.
    repeats = -(-_BLOCK // up)
    period, step = up * repeats, down * repeats
    n_periods = max(1, -(-n_out // period))
    margin = half // up + 1
    padded = np.pad(samples, (margin, n_periods * step + margin - len(samples)))
    output = np.empty((n_periods, period), np.float32)
    for first in range(0, period, _BLOCK):
        n = np.arange(first, min(first + _BLOCK, period))
        i = np.arange(-((half - n[0] * down) // up), (n[-1] * down + half) // up + 1)
        tap = half + n * down - i[:, np.newaxis] * up
        inside = (tap >= 0) & (tap < len(taps))
        kernel = np.where(inside, taps[np.where(inside, tap, 0)], 0.0).astype(np.float32)
        windows = sliding_window_view(padded, len(i))[margin + i[0] :: step][:n_periods]
        output[:, n] = np.ascontiguousarray(windows) @ kernel
    return output.ravel()[:n_out]


class Resampler:
    """`resample` for a stream: what it returns, joined, is the whole resampled at once.

    Parameters
    ----------
    rate_from, rate_to : int
        Sample rates (Hz).
    """

    def __init__(self, rate_from: int, rate_to: int) -> None:
        self._rates = rate_from, rate_to
        divisor = math.gcd(rate_from, rate_to)
        self._up, self._down = rate_to // divisor, rate_from // divisor
        self._half = ZERO_CROSSINGS * max(self._up, self._down) if rate_from != rate_to else 0
        self._held = np.zeros(0, np.float32)
        self._first = 0  # input sample that `_held` begins with; a multiple of `_down`, where an output falls on it
        self._n_out = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples; return what they complete: shape (n,), float32."""
        self._held = np.concatenate([self._held, np.asarray(samples, np.float32)])
        heard = self._first + len(self._held)
        return self._emit((heard * self._up - self._half - 1) // self._down + 1 if heard else 0)

    def finish(self) -> np.ndarray:
        """Return the rest, with silence beyond the end: shape (n,), float32."""
        return self._emit(-(-(self._first + len(self._held)) * self._up // self._down))

    def _emit(self, n_out: int) -> np.ndarray:
        if n_out <= self._n_out:
            return np.zeros(0, np.float32)
        skipped = self._first // self._down * self._up
        fresh = range(self._n_out - skipped, n_out - skipped)
        if max(self._up, self._down) > _LONGEST_TABLE:
            samples = _resample_uneven(self._held, self._up, self._down, fresh)
        else:
            samples = resample(self._held, *self._rates)[fresh.start : fresh.stop]
        self._n_out = n_out
        # Of the past, the filter reaches back this far from the next output.
        needed = (n_out * self._down - self._half) // self._up
        first = max(self._first, needed // self._down * self._down)
        self._held, self._first = self._held[first - self._first :], first
        return samples


def fit_length(samples: np.ndarray, n_samples: int, align: str = "start") -> np.ndarray:
    """Cut a waveform, or pad it with silence, to exactly `n_samples`.

    Parameters
    ----------
    samples : np.ndarray, shape (n,)
    n_samples : int
    align : {"start", "middle"}
        Cut or pad at the end alone, or as much at both ends; of an odd number, one sample more at the end.

    Returns
    -------
    np.ndarray, shape (n_samples,), float32
    """
    missing = n_samples - len(samples)
    before = 0 if align == "start" else abs(missing) // 2
    if missing < 0:
        return np.asarray(samples[before : before + n_samples], np.float32)
    samples = np.asarray(samples, np.float32)
    return np.pad(samples, (before, missing - before)) if missing else samples


def clip_start(samples: np.ndarray, n_samples: int, align: str = "start", hearing: Hearing = DEFAULT) -> int:
    """Return where in a waveform its clip begins; 0 if the clip holds all of it.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
    n_samples : int
        Length of the clip.
    align : {"start", "middle"}
        Placement rule of the front end.
    hearing : Hearing
        With `place` loudest the clip is the part with the most energy about its mean, of those that begin at a multiple
        of an eighth of the clip, and the last one.

    Examples
    --------
    >>> clip_start(np.arange(10), 4, "middle")
    3
    """
    spare = len(samples) - n_samples
    if spare <= 0 or (hearing.place == "aligned" and align == "start"):
        return 0
    if hearing.place == "aligned":
        return spare // 2
    starts = [*range(0, spare, loudest_hop(n_samples)), spare]
    loudest = Loudest()
    for start in starts:
        loudest.add(start, samples[start : start + n_samples])
    return loudest.start


def loudest_hop(n_samples: int) -> int:
    """Return from one candidate for the loudest clip to the next, in samples: an eighth of the clip."""
    return max(1, n_samples // 8)


class Loudest:
    """The loudest of several windows, the earliest of those that are equal but for rounding.

    Attributes
    ----------
    start : int
        First sample of that window.
    """

    def __init__(self) -> None:
        self.start, self._energy = 0, -1.0

    def add(self, start: int, window: np.ndarray) -> None:
        """Compare one more window."""
        values = window.astype(np.float64)
        energy = float(np.square(values - values.mean()).sum())
        if energy > self._energy * (1 + 1e-6) + 1e-12:
            self.start, self._energy = start, energy


def clip(samples: np.ndarray, n_samples: int, align: str = "start", hearing: Hearing = DEFAULT) -> np.ndarray:
    """Return what the front end is given of a waveform: placed, without its mean if so wanted, and of a clip's length.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
    n_samples, align, hearing
        As of `clip_start`; what is shorter is padded as by `fit_length`, or with `short` repeat, repeated.

    Returns
    -------
    np.ndarray, shape (n_samples,), float32

    Examples
    --------
    >>> clip(np.array([1, 3], np.float32), 3, hearing=Hearing(remove_dc=True)).tolist()
    [-1.0, 1.0, 0.0]
    >>> clip(np.array([1, 3], np.float32), 5, hearing=Hearing(short="repeat")).tolist()
    [1.0, 3.0, 1.0, 3.0, 1.0]
    """
    start = clip_start(samples, n_samples, align, hearing)
    part = np.asarray(samples[start : start + n_samples], np.float32)
    if hearing.remove_dc and len(part):
        part = part - np.float32(part.mean(dtype=np.float64))
    if hearing.short == "repeat" and 0 < len(part) < n_samples:
        return np.resize(part, n_samples)
    return fit_length(part, n_samples, align)


def read_part(listener: Listener, rate: int, start: int, stop: int) -> np.ndarray:
    """Read part of a recording and resample it, to what resampling all of it gives there.

    Parameters
    ----------
    listener : Listener
    rate : int
        Hz.
    start, stop : int
        First sample at `rate`, and the one after the last.

    Returns
    -------
    np.ndarray, shape (stop - start,) or shorter at the recording's end, float32
    """
    divisor = math.gcd(listener.sample_rate, rate)
    up, down = rate // divisor, listener.sample_rate // divisor
    margin = 0 if up == down else ZERO_CROSSINGS * max(up, down) // up + 1
    periods = max(0, (start * down // up - margin) // down)  # where an output falls on an input
    blocks = listener.blocks(periods * down, stop * down // up + margin + 1)
    samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    return resample(samples, listener.sample_rate, rate)[start - periods * up : stop - periods * up]


def resampled_length(n_samples: int, rate_from: int, rate_to: int) -> int:
    """Return how many samples `resample` gives.

    Examples
    --------
    >>> resampled_length(3, 48000, 16000)
    1
    """
    return -(-n_samples * rate_to // rate_from)


SUFFIXES = (".wav", ".wave", ".bwf", ".rf64", ".w64")


def wav_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are named, and of folders every WAV file within, sorted, except for hidden ones.

    Raises
    ------
    RuntimeInputError
        If a folder holds none.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        inside = [p for p in inside if not is_hidden(p.relative_to(path))]
        if not inside:
            raise RuntimeInputError(f"{path} holds no WAV file. Name another folder.")
        yield from inside


def read_wav(path: Path, hearing: Hearing = DEFAULT) -> tuple[np.ndarray, int]:
    """Read a whole WAV file as a task hears it; `stages.runtime.wav` says which files are read.

    Parameters
    ----------
    path : Path
    hearing : Hearing
        Rules of channel, level and cut files.

    Returns
    -------
    samples : np.ndarray, shape (n_samples,), float32
        One channel; full scale is 1.
    sample_rate : int
        The file's own rate (Hz).

    Raises
    ------
    RuntimeInputError
        If the file is missing, is not a WAV file that is read, holds no samples, or is excluded by the rules.
    """
    listener = Listener(open_wav(path), hearing)
    return np.concatenate(list(listener.blocks())), listener.sample_rate


def _int16(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<i2").astype(np.float32) / 2**15


def _float32(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<f4").astype(np.float32)


PCM_FORMATS = {"s16le": (16, _int16), "f32le": (32, _float32)}
