"""Batches of a training step: crops, on-the-fly augmentation, and blends of two clips with their targets.

Every draw comes from the generator that is passed in, so that a step can be repeated.
"""

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.project.errors import ParameterError
from stages.core.training.params import BetweenClass, FitParams, SpectrogramAugment
from stages.core.training.surroundings import surrounded

LOWEST_DB = -80.0  # of a frequency's weight and of a frame's loudness


def batch(
    split: Split, targets: np.ndarray, rows: np.ndarray, params: FitParams, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features and targets of one training step.

    Parameters
    ----------
    split : Split
    targets : np.ndarray, shape (len(split), k), float32
        Targets of every clip: a column per label, then columns that are blended in the same way.
    rows : np.ndarray, shape (n,), int
        Clips of the step.
    params : FitParams
    rng : np.random.Generator

    Returns
    -------
    x : np.ndarray, shape (n, *split.input_shape), float32
    targets : np.ndarray, shape (n, k), float32

    Raises
    ------
    ParameterError
        If the features are neither waveforms nor levels in dB and `between_class` is set, or if they are not levels in
        dB and `vary` is set.
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
        x = np.stack([augmented(clip, params.vary, rng) for clip in x])
        if params.vary.has_surroundings:
            heard = split.of_label(params.vary.background, "train.vary.background")
            others = split.x[heard[np.sort(rng.integers(len(heard), size=len(x)))]][:, :length]
            x = surrounded(x, others, params.vary, rng)
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
    sets = split.label_sets
    for i, row in enumerate(rows):
        other = sets.other(row, int(rng.integers(sets.n_others(row))))
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


def augmented(clip: np.ndarray, rule: SpectrogramAugment, rng: np.random.Generator) -> np.ndarray:
    """Return a randomly augmented copy of a clip.

    Parameters
    ----------
    clip : np.ndarray, shape (n_steps, n_bands, ...), float32
        Levels in dB of the density of power.
    rule : SpectrogramAugment
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, same shape, float32
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
        Number of steps to return.
    rng : np.random.Generator
    silence : float
        Value to pad with.

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
    """Blend two waveforms so that the first has a share of the perceived loudness.

    Parameters
    ----------
    pair : list of two np.ndarray, shape (n_samples, ...), float32
    share : float
        Share of the first, in [0, 1].
    sample_rate : int
        Sample rate (Hz).
    window_s : float
        Length of a frame (seconds), as in `BetweenClass`.

    Returns
    -------
    np.ndarray, shape (n_samples, ...), float32
    """
    n_fft = 2 ** round(np.log2(window_s * sample_rate))
    p = _weight(share, *(loudness(sound.ravel(), sample_rate, n_fft) for sound in pair))
    return np.asarray((p * pair[0] + (1 - p) * pair[1]) / np.hypot(p, 1 - p), np.float32)


def blend_levels(pair: list[np.ndarray], share: float, bands: tuple[float, ...]) -> np.ndarray:
    """Blend two spectrograms in dB as `blend` does waveforms; uncorrelated sounds add in power.

    Parameters
    ----------
    pair : list of two np.ndarray, shape (n_frames, n_bands, ...), float32
        Levels in dB of the density of power.
    share : float
        Share of the first, in [0, 1].
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
    """Return the factor of the first waveform, 1 minus that of the second (Tokozume et al., equation 2)."""
    amplitude = 10 ** ((first_db - second_db) / 20)
    return share / (share + amplitude * (1 - share))
