"""Short-time spectra in TensorFlow ops that LiteRT has built in, with librosa's conventions.

The constants are made with NumPy in float64 and stored as float32; RFFT2D works in float64 inside.
"""

from typing import TYPE_CHECKING

import numpy as np

from stages.core.errors import require

if TYPE_CHECKING:
    import tensorflow as tf


def require_stft(
    owner: str, *, sample_rate: int, clip_samples: int, n_fft: int, win_length: int, hop_length: int, center: bool
) -> None:
    """Check the parameters of a short-time Fourier transform.

    Raises
    ------
    ParameterError
        Named ``owner.parameter``.
    """
    require(sample_rate >= 1, f"{owner}.sample_rate", "be at least 1 Hz", sample_rate)
    require(clip_samples >= 1, f"{owner}.clip_samples", "be at least 1", clip_samples)
    near = 2 ** max(1, round(np.log2(max(n_fft, 2))))
    is_power = n_fft >= 2 and n_fft & (n_fft - 1) == 0
    require(is_power, f"{owner}.n_fft", "be a power of two, for LiteRT's RFFT2D", n_fft, f"Write {near}.")
    in_window = "Longer hops skip samples; 512 with an n_fft of 2048 is usual."
    require(1 <= hop_length <= n_fft, f"{owner}.hop_length", f"be in 1..n_fft ({n_fft})", hop_length, in_window)
    shorter = "Lower it or raise n_fft."
    require(1 <= win_length <= n_fft, f"{owner}.win_length", f"be in 1..n_fft ({n_fft})", win_length, shorter)
    too_short = "Raise it, or set center to true."
    enough = center or clip_samples >= n_fft
    require(enough, f"{owner}.clip_samples", f"be at least n_fft ({n_fft}) without center", clip_samples, too_short)


def require_mel(owner: str, *, sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> None:
    """Check the parameters of a mel filterbank, and that each of its filters catches at least one bin.

    Raises
    ------
    ParameterError
        Named ``owner.parameter``.
    """
    nyquist = sample_rate / 2
    require(fmax <= nyquist, f"{owner}.fmax", f"be at most sample_rate / 2 ({nyquist:g} Hz)", fmax, "Lower it.")
    require(0 <= fmin < fmax, f"{owner}.fmin", f"be in [0, fmax), here [0, {fmax:g}) Hz", fmin, "Lower it.")
    require(n_mels >= 1, f"{owner}.n_mels", "be at least 1", n_mels)
    empty = np.flatnonzero(mel_filterbank(sample_rate, n_fft, n_mels, fmin, fmax).max(axis=1) == 0)
    advice = f"Filter {empty[0]} lies between two bins: lower n_mels or raise n_fft." if len(empty) else ""
    require(
        len(empty) == 0, f"{owner}.n_mels", f"be so few that each filter holds a bin of n_fft {n_fft}", n_mels, advice
    )


def n_frames(n_samples: int, n_fft: int, hop_length: int, center: bool) -> int:
    """Return how many frames of `n_fft` samples, `hop_length` apart, a clip has."""
    return 1 + (n_samples if center else n_samples - n_fft) // hop_length


def hann(win_length: int, n_fft: int) -> np.ndarray:
    """Return a periodic Hann window of `win_length` amid `n_fft` samples: shape (n_fft,), float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    before = (n_fft - win_length) // 2
    return np.pad(window, (before, n_fft - win_length - before))


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Return triangular filters, equally spaced on Slaney's mel scale and each of unit area.

    Parameters
    ----------
    sample_rate : int
        Hz.
    n_fft, n_mels : int
    fmin, fmax : float
        Outer edges of the first and the last filter (Hz).

    Returns
    -------
    np.ndarray, shape (n_mels, 1 + n_fft // 2), float64

    References
    ----------
    Slaney: Auditory Toolbox (1998), technical report 1998-010, function mfcc.
    """
    edges = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), n_mels + 2))
    frequencies = np.arange(1 + n_fft // 2) * sample_rate / n_fft
    widths = np.diff(edges)[:, np.newaxis]
    rising = (frequencies - edges[:-2, np.newaxis]) / widths[:-1]
    falling = (edges[2:, np.newaxis] - frequencies) / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, np.newaxis]


def dct(n_in: int, n_out: int) -> np.ndarray:
    """Return the first `n_out` rows of the orthonormal type-II DCT of length `n_in`: shape (n_out, n_in), float64."""
    rows = np.cos(np.pi / n_in * np.arange(n_out)[:, np.newaxis] * (np.arange(n_in) + 0.5)) * np.sqrt(2 / n_in)
    rows[0] /= np.sqrt(2)
    return rows


def spectrogram(
    waveforms: "tf.Tensor", window: np.ndarray, hop_length: int, *, center: bool, power: float
) -> "tf.Tensor":
    """Return the magnitudes of a short-time Fourier transform, raised to `power`.

    Parameters
    ----------
    waveforms : tf.Tensor, shape (n, n_samples), float32
    window : np.ndarray, shape (n_fft,)
    hop_length : int
        Samples.
    center : bool
        Frame t is centred on sample t * `hop_length`, with silence beyond the clip's ends; or begins there.
    power : float

    Returns
    -------
    tf.Tensor, shape (n, n_frames, 1 + n_fft // 2), float32
    """
    from stages.core.keras import tf

    n_fft, n_samples = len(window), waveforms.shape[-1]
    frames = n_frames(n_samples, n_fft, hop_length, center)
    # Frames overlap: cut into runs of one hop, of which each frame takes the next few.
    runs = -(-n_fft // hop_length)
    before = n_fft // 2 if center else 0
    length = (frames + runs - 1) * hop_length
    waveforms = tf.pad(waveforms[:, : length - before], [[0, 0], [before, max(0, length - before - n_samples)]])
    hops = tf.reshape(waveforms, [-1, frames + runs - 1, hop_length])
    framed = tf.concat([hops[:, i : i + frames] for i in range(runs)], axis=-1)[:, :, :n_fft]
    spectrum = tf.signal.rfft(framed * window.astype(np.float32))
    squared = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    return squared if power == 2 else tf.pow(squared, power / 2)


def mel_bands(spectra: "tf.Tensor", filterbank: np.ndarray) -> "tf.Tensor":
    """Sum spectra (n, n_frames, n_bins) within each filter: (n, n_frames, n_mels)."""
    from stages.core.keras import tf

    return tf.matmul(spectra, filterbank.T.astype(np.float32))


def cepstrum(level: "tf.Tensor", n_mfcc: int) -> "tf.Tensor":
    """Return the first `n_mfcc` coefficients of the orthonormal DCT of each frame of `level` (n, n_frames, n_mels).

    The clip's lowest level is transformed apart: silence then sums zeros, not the rounding of a hundred equal terms.
    """
    from stages.core.keras import tf

    rows = dct(level.shape[-1], n_mfcc)
    lowest = tf.reduce_min(level, axis=[1, 2], keepdims=True)
    return tf.matmul(level - lowest, rows.T.astype(np.float32)) + lowest * rows.sum(axis=1).astype(np.float32)


def decibels(power: "tf.Tensor", floor: float, top_db: float | None) -> "tf.Tensor":
    """Return 10 log10 of `power` (n, n_frames, n_mels), at least that of `floor` and the clip's peak less `top_db`."""
    from stages.core.keras import tf

    level = tf.math.log(tf.maximum(power, floor)) * np.float32(10 / np.log(10))
    if top_db is None:
        return level
    return tf.maximum(level, tf.reduce_max(level, axis=[1, 2], keepdims=True) - top_db)


def _hz_to_mel(hz: float) -> float:
    linear = 3 * hz / 200
    return linear if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mels: np.ndarray) -> np.ndarray:
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.log(6.4) * (mels - 15) / 27))
