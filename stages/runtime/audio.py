"""WAV files to mono float32 at the front end's rate and length, the same on a device as at home."""

import functools
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stages.runtime.errors import RuntimeInputError
from stages.runtime.hidden import is_hidden

ZERO_CROSSINGS = 32
KAISER_BETA = 8.0
ROLLOFF = 0.92
_BLOCK = 64
ALIGNMENTS = ("start", "middle")

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


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
    taps = lowpass(up, down) * up
    half = len(taps) // 2
    n_out = -(-len(samples) * up // down)

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
        samples = resample(self._held, *self._rates)[self._n_out - skipped : n_out - skipped]
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


def wav_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are named, and of folders every WAV file within that is not hidden, sorted.

    Raises
    ------
    RuntimeInputError
        If a folder holds none.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".wav" and p.is_file())
        inside = [p for p in inside if not is_hidden(p.relative_to(path))]
        if not inside:
            raise RuntimeInputError(f"{path} holds no WAV file. Name another folder.")
        yield from inside


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read a WAV file: PCM of 8, 16, 24 or 32 bits, or floating point of 32 or 64.

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
    RuntimeInputError
        If the file is missing, is not a WAV file, is cut short, is empty or has another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). Check the path.") from None
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise RuntimeInputError(f"{path} is not a WAV file. Convert it to WAV.")
    chunks = dict(_chunks(content, path))
    form, data = chunks.get(b"fmt "), chunks.get(b"data")
    if form is None or len(form) < 16 or data is None:
        raise RuntimeInputError(f"{path} is a WAV file without a complete format and data chunk. Record it again.")
    encoding, n_channels, sample_rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if encoding == _EXTENSIBLE and len(form) >= 26:
        (encoding,) = struct.unpack("<H", form[24:26])
    if n_channels < 1 or sample_rate < 1 or (encoding, bits) not in _DECODERS:
        raise RuntimeInputError(
            f"{path} must be PCM of 8, 16, 24 or 32 bits or floating point of 32 or 64; got encoding {encoding}, "
            f"{bits} bits, {n_channels} channels, {sample_rate} Hz. Convert it."
        )
    frame_bytes = n_channels * bits // 8
    n_frames = len(data) // frame_bytes
    if n_frames == 0:
        raise RuntimeInputError(f"{path} holds no samples. Record it again.")
    frames = _DECODERS[encoding, bits](data[: n_frames * frame_bytes]).reshape(n_frames, n_channels)
    if not np.isfinite(frames).all():
        raise RuntimeInputError(f"{path} holds samples that are not finite numbers. Record it again.")
    return frames.mean(axis=1, dtype=np.float32), sample_rate


def _chunks(content: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        body = content[position + 8 : position + 8 + size]
        if len(body) < size:
            kind = name.decode("latin-1").strip()
            raise RuntimeInputError(
                f"{path} is cut short: its {kind!r} chunk claims {size} bytes and has {len(body)}. Record it again."
            )
        yield name, body
        position += 8 + size + size % 2


def _pcm8(data: bytes) -> np.ndarray:
    return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128


def _pcm16(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2").astype(np.float32) / 2**15


def _pcm24(data: bytes) -> np.ndarray:
    high_bytes = np.zeros((len(data) // 3, 4), np.uint8)
    high_bytes[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return high_bytes.view("<i4")[:, 0].astype(np.float32) / 2**31


def _pcm32(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i4").astype(np.float32) / 2**31


def _float32(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4").astype(np.float32)


def _float64(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f8").astype(np.float32)


_DECODERS = {
    (_PCM, 8): _pcm8,
    (_PCM, 16): _pcm16,
    (_PCM, 24): _pcm24,
    (_PCM, 32): _pcm32,
    (_FLOAT, 32): _float32,
    (_FLOAT, 64): _float64,
}

PCM_FORMATS = {"s16le": (16, _pcm16), "f32le": (32, _float32)}
