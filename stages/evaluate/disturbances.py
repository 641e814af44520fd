"""Disturbances of a waveform: noise, level, rooms, codecs, clipping, narrow bands and shifts in time.

Each keeps the number of samples, so that a disturbed recording is cut and padded like the clean one.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile
from scipy.signal import butter, correlate, oaconvolve, sosfilt

from stages.evaluate.params import Robustness
from stages.runtime.audio import resample

CLEAN = "clean"

Disturbance = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Samples, their rate (Hz) and a generator to as many samples."""

_DIRECT_TO_REVERBERANT_DB = 0.0
_FILTER_ORDER = 4
_LONGEST_DELAY_S = 0.2


@dataclass(frozen=True)
class _Codec:
    """A codec of libsndfile at the rate and bit rate of a cheap connection.

    Attributes
    ----------
    container, subtype : str
        Names of libsndfile.
    rate : int
        Sample rate that it is given (Hz).
    level : float or None
        Compression level in [0, 1], 1 the fewest bits.
    """

    container: str
    subtype: str
    rate: int
    level: float | None = None


_CODECS = {
    "alaw": _Codec("WAV", "ALAW", 8000),
    "gsm": _Codec("WAV", "GSM610", 8000),
    "mp3": _Codec("MP3", "MPEG_LAYER_III", 16_000, 0.9),
    "opus": _Codec("OGG", "OPUS", 16_000, 0.9),
}


def with_noise(snr_db: float) -> Disturbance:
    """Add white Gaussian noise of a power that lies `snr_db` below the recording's own."""

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        power = np.mean(np.square(samples, dtype=np.float64)) if len(samples) else 0.0
        noise = rng.normal(scale=np.sqrt(power * 10 ** (-snr_db / 10)), size=len(samples))
        return samples + noise.astype(np.float32)

    return disturb


def with_gain(gain_db: float) -> Disturbance:
    """Change the level; what exceeds full scale is cut off, as by a converter."""

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        return np.clip(samples * np.float32(10 ** (gain_db / 20)), -1.0, 1.0)

    return disturb


def through_rate(rate: int) -> Disturbance:
    """Resample to `rate` (Hz) and back: what lies above half of it is lost."""

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        return resample(resample(samples, sample_rate, rate), rate, sample_rate)[: len(samples)]

    return disturb


def in_room(reverberation_s: float) -> Disturbance:
    """Add the reverberation of a room: noise that decays by 60 dB in `reverberation_s`, as strong as the direct sound.

    The recording keeps its power, so that the level is not what is measured.

    References
    ----------
    Polack, "La transmission de l'energie sonore dans les salles" (1988): an exponentially decaying Gaussian noise as
    the late part of a room's impulse response.
    """

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        n = max(round(reverberation_s * sample_rate), 1)
        tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
        tail *= 10 ** (-_DIRECT_TO_REVERBERANT_DB / 20) / np.sqrt(np.sum(tail**2))
        tail[0] += 1.0
        return _as_strong(oaconvolve(samples.astype(np.float64), tail)[: len(samples)], samples)

    return disturb


def clipped(depth_db: float) -> Disturbance:
    """Cut the waveform off at `depth_db` below its peak, as an overdriven input does."""

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        limit = np.abs(samples).max(initial=0.0) * 10 ** (-depth_db / 20)
        return np.clip(samples, -limit, limit).astype(np.float32)

    return disturb


def in_band(low_hz: float, high_hz: float) -> Disturbance:
    """Keep a band, by a Butterworth filter of order 4 on each side; a high end above half the rate is none."""

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        kind, ends = ("bandpass", [low_hz, high_hz]) if high_hz < sample_rate / 2 else ("highpass", low_hz)
        if low_hz >= sample_rate / 2:
            return np.zeros_like(samples)
        sections = butter(_FILTER_ORDER, ends, kind, fs=sample_rate, output="sos")
        return np.asarray(sosfilt(sections, samples.astype(np.float64))).astype(np.float32)

    return disturb


def shifted(seconds: float) -> Disturbance:
    """Move the recording later by `seconds`, or earlier if negative; silence fills what is left."""

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        n = max(-len(samples), min(len(samples), round(seconds * sample_rate)))
        moved = np.zeros_like(samples)
        if n >= 0:
            moved[n:] = samples[: len(samples) - n]
        else:
            moved[:n] = samples[-n:]
        return moved

    return disturb


def through_codec(name: str) -> Disturbance:
    """Encode and decode the recording.

    Parameters
    ----------
    name : {"alaw", "gsm", "mp3", "opus"}
        A-law and GSM full rate at 8 kHz; MP3 and Opus at 16 kHz and about their lowest bit rate.
    """
    codec = _CODECS[name]

    def disturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
        peak = max(float(np.abs(samples).max()), 1.0)  # a codec cuts off beyond full scale
        given = resample(samples, sample_rate, codec.rate) / np.float32(peak)
        held = io.BytesIO()
        soundfile.write(
            held, given, codec.rate, format=codec.container, subtype=codec.subtype, compression_level=codec.level
        )
        held.seek(0)
        decoded = soundfile.read(held, dtype="float32")[0]
        decoded = decoded[_delay(decoded, given, round(_LONGEST_DELAY_S * codec.rate)) :]
        back = resample(decoded * np.float32(peak), codec.rate, sample_rate)[: len(samples)]
        return np.pad(back, (0, len(samples) - len(back)))

    return disturb


def conditions(chosen: Robustness) -> dict[str, Disturbance]:
    """Return every disturbance of the waveform by its name, with none as the first; {} if `chosen` names nothing.

    >>> list(conditions(Robustness(gain_db=(-6,), codecs=("opus",))))
    ['clean', 'gain_-6db', 'codec_opus']
    """
    found = {f"noise_{snr:g}db": with_noise(snr) for snr in chosen.noise_snr_db}
    found |= {f"gain_{gain:+g}db": with_gain(gain) for gain in chosen.gain_db}
    found |= {f"rate_{rate}hz": through_rate(rate) for rate in chosen.sample_rates}
    found |= {f"room_{seconds:g}s": in_room(seconds) for seconds in chosen.reverberation_s}
    found |= {f"codec_{name}": through_codec(name) for name in chosen.codecs}
    found |= {f"clipped_{depth:g}db": clipped(depth) for depth in chosen.clip_db}
    found |= {f"band_{low:g}_{high:g}hz": in_band(low, high) for low, high in chosen.bands_hz}
    found |= {f"shift_{seconds:+g}s": shifted(seconds) for seconds in chosen.shift_s}
    return {CLEAN: lambda samples, *_: samples} | found if found or chosen.attacks else {}


def _delay(decoded: np.ndarray, given: np.ndarray, longest: int) -> int:
    """Return by how many samples a decoded waveform lags behind: where the two correlate best."""
    if len(decoded) <= len(given):
        return 0
    lags = correlate(decoded, given, "full", "fft")[len(given) - 1 :]
    return int(np.argmax(lags[: min(longest, len(decoded) - len(given)) + 1]))


def _as_strong(changed: np.ndarray, samples: np.ndarray) -> np.ndarray:
    before, after = (np.sqrt(np.mean(np.square(each, dtype=np.float64))) for each in (samples, changed))
    return (changed * (before / after if after > 0 else 1.0)).astype(np.float32)
