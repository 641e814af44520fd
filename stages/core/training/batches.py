"""What a training step sees of the clips: crops, shifts, variations, and blends of two clips with their targets.

Every draw comes from the generator that is given, so that a step can be repeated.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.project.errors import ParameterError, require

if TYPE_CHECKING:
    from stages.core.training.loop import FitParams

LOWEST_DB = -80.0  # of a frequency's weight and of a frame's loudness


@dataclass(frozen=True)
class BetweenClass:
    """Between-class learning: every clip is a blend of two of different classes, and the target says how much of each.

    Each is stretched along time and cropped, or padded if it became too short; then they are blended so that each is
    heard, A-weighted, as loud as its share of the target. The loss is the cross-entropy, whose gradients are those of
    the published Kullback-Leibler divergence: they differ by the targets' entropy, which no weight changes.

    Attributes
    ----------
    stretch : float
        By a factor from 1 / stretch to stretch, uniform in its logarithm; 1 is off.
    gain_db : float
        Of the blend, by a gain from -gain_db to gain_db (dB).
    window_s : float
        Of the frames whose loudest counts, rounded to a power of two of samples; of waveforms only.

    References
    ----------
    Tokozume, Ushiku, Harada, "Learning from Between-class Examples for Deep Sound Recognition", ICLR 2018, section 3.2.
    The stretch and the gain are those of the code published with it and of ACDNet's.
    """

    stretch: float = 1.25
    gain_db: float = 6.0
    window_s: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "between_class"
        require(1 <= self.stretch <= 4, f"{owner}.stretch", "be in [1, 4]", self.stretch, "1 leaves the time as it is.")
        require(0 <= self.gain_db <= 40, f"{owner}.gain_db", "be in [0, 40] dB", self.gain_db)
        require(0 < self.window_s <= 10, f"{owner}.window_s", "be above 0 and at most 10 s", self.window_s)


@dataclass(frozen=True)
class Vary:
    """How a clip could have sounded too: its levels in dB changed anew at every step, each way with chance `p`.

    Attributes
    ----------
    p : float
    stretch : float
        Of time, by a factor from 1 / stretch to stretch, uniform in its logarithm; 1 is off.
    bands : float
        Shift along frequency by at most this many bands either way, which on a mel scale is nearly a change of pitch;
        0 is off.
    gain_db : float
        By a gain from -gain_db to gain_db (dB).
    noise_db : tuple[float, float] or None
        White noise this far below the clip's peak (dB): the least and the most; None is off.
    """

    p: float = 0.7
    stretch: float = 1.25
    bands: float = 4.0
    gain_db: float = 6.0
    noise_db: tuple[float, float] | None = (20.0, 60.0)

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "vary"
        require(0 <= self.p <= 1, f"{owner}.p", "be in [0, 1]", self.p)
        require(1 <= self.stretch <= 4, f"{owner}.stretch", "be in [1, 4]", self.stretch, "1 leaves the time as it is.")
        require(0 <= self.bands <= 64, f"{owner}.bands", "be in [0, 64]", self.bands, "0 leaves the pitch as it is.")
        require(0 <= self.gain_db <= 40, f"{owner}.gain_db", "be in [0, 40] dB", self.gain_db)
        noise = self.noise_db
        rises = noise is None or (len(noise) == 2 and 0 <= noise[0] <= noise[1])
        require(rises, f"{owner}.noise_db", "be the least and the most dB below the peak", noise, "Write [20, 60].")


def batch(
    split: Split, targets: np.ndarray, rows: np.ndarray, params: "FitParams", rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a step learns from.

    Parameters
    ----------
    split : Split
    targets : np.ndarray, shape (len(split), k), float32
        Of every clip: a column per label, and whatever else is to be blended as they are.
    rows : np.ndarray, shape (n,), int
        The step's clips.
    params : FitParams
    rng : np.random.Generator

    Returns
    -------
    x : np.ndarray, shape (n, *split.input_shape), float32
    targets : np.ndarray, shape (n, k), float32

    Raises
    ------
    ParameterError
        If between-class learning is asked for and the features are neither waveforms nor levels in dB; or variations,
        and they are not the latter.
    """
    if params.between_class is not None:
        return _between_classes(split, targets, rows, params.between_class, rng)
    x, t = split.x[rows], targets[rows]
    length = split.input_shape[0]
    if length < x.shape[1]:
        starts = rng.integers(x.shape[1] - length + 1, size=len(x))
        x = np.stack([clip[start : start + length] for clip, start in zip(x, starts, strict=True)])
    if params.vary is not None:
        if not split.bands:
            raise ParameterError(
                "train.vary needs features that are levels in dB; got others. Choose another features.frontend, such "
                "as log_mel, or leave vary out."
            )
        x = np.stack([varied(clip, params.vary, rng) for clip in x])
    if params.time_shift:
        most = round(params.time_shift * x.shape[1])
        x = np.stack(
            [np.roll(clip, shift, axis=0) for clip, shift in zip(x, rng.integers(-most, most + 1, len(x)), strict=True)]
        )
    if params.mixup:
        share = rng.beta(params.mixup, params.mixup, len(x)).astype(np.float32)
        other = rng.permutation(len(x))
        wide = share.reshape(-1, *[1] * (x.ndim - 1))
        x = wide * x + (1 - wide) * x[other]
        t = share[:, None] * t + (1 - share[:, None]) * t[other]
    return x, t


def _between_classes(
    split: Split, targets: np.ndarray, rows: np.ndarray, rule: BetweenClass, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    bands = split.bands
    if bands is None:
        raise ParameterError(
            "train.between_class needs features that are waveforms or levels in dB; got others. Choose another "
            "features.frontend, such as raw or log_mel, or leave between_class out."
        )
    length = split.input_shape[0]
    x = np.empty((len(rows), *split.input_shape), np.float32)
    t = np.empty((len(rows), targets.shape[1]), np.float32)
    hard = targets[:, : len(split.labels)]
    for i, row in enumerate(rows):
        other = rng.choice(np.flatnonzero((hard != hard[row]).any(axis=1)))
        pair = [
            stretched(split.x[j], rule.stretch ** rng.uniform(-1, 1), length, rng, silence=_silence(split.x[j], bands))
            for j in (row, other)
        ]
        share, gain = rng.uniform(), rng.uniform(-rule.gain_db, rule.gain_db)
        x[i] = blend_levels(pair, share, bands) if bands else blend(pair, share, split.sample_rate, rule.window_s)
        x[i] = x[i] + gain if bands else x[i] * 10 ** (gain / 20)
        t[i] = share * targets[row] + (1 - share) * targets[other]
    return x, t


def _silence(clip: np.ndarray, bands: tuple[float, ...]) -> float:
    return float(clip.min()) if bands else 0.0


def varied(clip: np.ndarray, rule: Vary, rng: np.random.Generator) -> np.ndarray:
    """Return a clip as it could have sounded too.

    Parameters
    ----------
    clip : np.ndarray, shape (n_steps, n_bands, ...), float32
        Levels in dB of the density of power.
    rule : Vary
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, float32
        Of the same shape.
    """
    if rng.uniform() < rule.p:
        clip = stretched(clip, rule.stretch ** rng.uniform(-1, 1), len(clip), rng, silence=float(clip.min()))
    if rng.uniform() < rule.p:
        clip = shifted(clip, rng.uniform(-rule.bands, rule.bands))
    if rule.noise_db is not None and rng.uniform() < rule.p:
        level = clip.max() - rng.uniform(*rule.noise_db)
        noise = rng.exponential(size=clip.shape)  # as the power of a Gaussian's Fourier coefficients is
        clip = 10 * np.log10(10.0 ** (clip / 10) + 10.0 ** (level / 10) * noise)
    if rng.uniform() < rule.p:
        clip = clip + rng.uniform(-rule.gain_db, rule.gain_db)
    return np.asarray(clip, np.float32)


def shifted(clip: np.ndarray, bands: float) -> np.ndarray:
    """Shift a spectrogram, (n_steps, n_bands, ...), up by a number of bands, linearly interpolated; edges repeat."""
    at = np.clip(np.arange(clip.shape[1]) - bands, 0, clip.shape[1] - 1)
    below = at.astype(int)
    above = np.minimum(below + 1, clip.shape[1] - 1)
    part = (at - below).reshape(-1, *[1] * (clip.ndim - 2)).astype(np.float32)
    return np.asarray(clip[:, below] * (1 - part) + clip[:, above] * part, np.float32)


def stretched(
    clip: np.ndarray, factor: float, length: int, rng: np.random.Generator, *, silence: float = 0.0
) -> np.ndarray:
    """Stretch a clip along time, linearly interpolated, and crop it at random, or pad it at random if it is too short.

    Parameters
    ----------
    clip : np.ndarray, shape (n_steps, ...)
    factor : float
    length : int
        Steps to return.
    rng : np.random.Generator
    silence : float
        To pad with.

    Returns
    -------
    np.ndarray, shape (length, ...), float32
    """
    spare = int(len(clip) * factor) - length
    start = rng.integers(min(spare, 0), max(spare, 0) + 1)
    steps = (start + np.arange(length)) / factor
    inside = (steps >= 0) & (steps <= len(clip) - 1)
    steps = np.clip(steps, 0, len(clip) - 1)
    before = steps.astype(int)
    after = np.minimum(before + 1, len(clip) - 1)
    shape = (-1, *[1] * (clip.ndim - 1))
    part = (steps - before).reshape(shape).astype(np.float32)
    return np.where(inside.reshape(shape), clip[before] * (1 - part) + clip[after] * part, np.float32(silence))


def blend(pair: list[np.ndarray], share: float, sample_rate: int, window_s: float) -> np.ndarray:
    """Blend two waveforms so that the first is heard as `share` of both.

    Parameters
    ----------
    pair : list of two np.ndarray, shape (n_samples, ...), float32
    share : float
        Of the first, in [0, 1].
    sample_rate : int
        Hz.
    window_s : float
        As in `BetweenClass`.

    Returns
    -------
    np.ndarray, shape (n_samples, ...), float32
    """
    n_fft = 2 ** round(np.log2(window_s * sample_rate))
    p = _weight(share, *(loudness(sound.ravel(), sample_rate, n_fft) for sound in pair))
    return np.asarray((p * pair[0] + (1 - p) * pair[1]) / np.hypot(p, 1 - p), np.float32)


def blend_levels(pair: list[np.ndarray], share: float, bands: tuple[float, ...]) -> np.ndarray:
    """Blend two spectrograms in dB as `blend` would their waveforms: what is not correlated adds up in power.

    Parameters
    ----------
    pair : list of two np.ndarray, shape (n_frames, n_bands, ...), float32
        dB of the density of power.
    share : float
        Of the first, in [0, 1].
    bands : tuple[float, ...]
        Centre frequencies (Hz).

    Returns
    -------
    np.ndarray, shape (n_frames, n_bands, ...), float32
    """
    hz = np.array(bands)
    weights = 10 ** (a_weighting(hz) / 10) * np.gradient(hz)
    powers = [10.0 ** (level.astype(np.float64) / 10) for level in pair]
    totals = [power.reshape(len(power), len(hz), -1).mean(axis=2) @ weights for power in powers]
    p = _weight(share, *(_loudest(total) for total in totals))
    mixed = (p**2 * powers[0] + (1 - p) ** 2 * powers[1]) / (p**2 + (1 - p) ** 2)
    return np.asarray(10 * np.log10(mixed), np.float32)


def loudness(samples: np.ndarray, sample_rate: int, n_fft: int) -> float:
    """Return the A-weighted level (dB) of the loudest of a waveform's Hann-windowed frames, half a frame apart."""
    if len(samples) < n_fft:
        samples = np.pad(samples, (0, n_fft - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[:: n_fft // 2]
    window = np.hanning(n_fft + 1)[:-1]
    powers = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return _loudest(powers @ 10 ** (a_weighting(np.fft.rfftfreq(n_fft, 1 / sample_rate)) / 10))


def a_weighting(hz: np.ndarray) -> np.ndarray:
    """Return the A-weighting of frequencies in dB, at least -80 (IEC 61672-1:2013, annex E)."""
    f2 = np.maximum(np.asarray(hz, np.float64), 1.0) ** 2
    ratio = 12194.0**2 * f2**2 / (f2 + 20.6**2) / (f2 + 12194.0**2) / np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
    return np.asarray(np.maximum(2.0 + 20 * np.log10(ratio), LOWEST_DB))


def _loudest(powers: np.ndarray) -> float:
    return 10 * float(np.log10(max(powers.max(), 10 ** (LOWEST_DB / 10))))


def _weight(share: float, first_db: float, second_db: float) -> float:
    """Return the factor of the first waveform, that of the second being the rest (Tokozume et al., equation 2)."""
    amplitude = 10 ** ((first_db - second_db) / 20)
    return share / (share + amplitude * (1 - share))
