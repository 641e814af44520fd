"""Short-time spectra in TensorFlow ops that LiteRT has built in, with librosa's conventions.

The constants are made with NumPy in float64 and stored as float32. There are two Fourier transforms: `spectrogram` is
exact, as LiteRT's RFFT2D works in float64 inside; `mel_spectrogram` is four times as fast, and its float32 rounding
is 0.002 dB in a band 80 dB below a pure tone.
"""

import functools
from collections.abc import Callable

import numpy as np
import scipy.signal

from stages.core.nn.keras import tf

FILTER_GROUPS = 6  # the quickest
FRAMES_AT_ONCE = 128  # the quickest: a step finds in the cache what the one before it left


def compose(
    first: Callable[["tf.Tensor"], "tf.Tensor"], then: Callable[["tf.Tensor"], "tf.Tensor"]
) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the composition of two functions, `then(first(tensor))`."""
    return lambda tensor: then(first(tensor))


def n_frames(n_samples: int, n_fft: int, hop_length: int, center: bool) -> int:
    """Return how many frames of `n_fft` samples, `hop_length` apart, a clip has.

    Examples
    --------
    >>> n_frames(16000, n_fft=512, hop_length=256, center=True)
    63
    """
    return 1 + (n_samples if center else n_samples - n_fft) // hop_length


def hann(win_length: int, n_fft: int) -> np.ndarray:
    """Return a periodic Hann window of `win_length` amid `n_fft` samples: shape (n_fft,), float64.

    Examples
    --------
    >>> hann(4, 6).tolist()
    [0.0, 0.0, 0.5, 1.0, 0.5, 0.0]
    """
    window = scipy.signal.windows.hann(win_length, sym=False)
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
    edges = mel_edges(n_mels, fmin, fmax)
    frequencies = np.arange(1 + n_fft // 2) * sample_rate / n_fft
    widths = np.diff(edges)[:, np.newaxis]
    rising = (frequencies - edges[:-2, np.newaxis]) / widths[:-1]
    falling = (edges[2:, np.newaxis] - frequencies) / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, np.newaxis]


def mel_edges(n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Return where the filters of `mel_filterbank` begin, peak and end (Hz): shape (n_mels + 2,), float64.

    Examples
    --------
    >>> mel_edges(2, 0.0, 600.0).round().tolist()
    [0.0, 200.0, 400.0, 600.0]
    """
    return _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), n_mels + 2))


def dct(n_in: int, n_out: int) -> np.ndarray:
    """Return the first `n_out` rows of the orthonormal type-II DCT of length `n_in`: shape (n_out, n_in), float64.

    Examples
    --------
    >>> dct(4, 2).round(3).tolist()
    [[0.5, 0.5, 0.5, 0.5], [0.653, 0.271, -0.271, -0.653]]
    """
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
    n_fft = len(window)
    hops, frames = _hops(waveforms, n_fft, hop_length, center=center)
    runs = [hops[:, i : i + frames, : n_fft - i * hop_length] for i in range(hops.shape[1] - frames + 1)]
    framed = tf.concat(runs, axis=-1)
    spectrum = tf.signal.rfft(framed * window.astype(np.float32))
    squared = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    return squared if power == 2 else tf.pow(squared, power / 2)


def mel_bands(spectra: "tf.Tensor", filterbank: np.ndarray) -> "tf.Tensor":
    """Sum spectra (n, n_frames, n_bins) within each filter: (n, n_frames, n_mels)."""
    return tf.matmul(spectra, filterbank.T.astype(np.float32))


@functools.lru_cache(maxsize=4)
def fourier_factors(n_fft: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Factor the Fourier transform of a real signal into matrices that are applied in turn.

    A transform of length A B at the frequencies (k + theta) / (A B) is one of length A, over every B-th sample, at
    phi = (p + theta) / A, and then for each p one of length B at (q + phi) / B: the twiddle factors of the textbook are
    shifts of the frequencies. Halving the real signal first, into sums and differences, leaves two real sequences of
    n_fft / 2 samples at theta = 0 and 1/2, which travel as one complex sequence, the first of each step. A complex
    number is two rows, real and imaginary part.

    Parameters
    ----------
    n_fft : int
        A power of two, at least 4.

    Returns
    -------
    factors : tuple of np.ndarray, shape (n_sequences, 2 * radix, 2 * radix), float64
        `n_sequences` is the product of the radices before.
    bins : np.ndarray, shape (n_fft // 2 // radix, radix), int
        Which bin each complex number of the last product is. Bins 0 and n_fft // 2, both real, are the two parts of
        the one called 0. With the last radix, columns 2 i and 2 i + 1 are those in [i, i + 1) n_fft / radix.

    References
    ----------
    Cooley, Tukey: An algorithm for the machine calculation of complex Fourier series, Math. Comp. 19 (1965).
    """
    bits = n_fft.bit_length() - 2
    factors: list[np.ndarray] = []
    theta = np.zeros(0)  # of the complex sequences, all but the first
    for part in reversed(np.array_split(np.arange(bits), -(-bits // 4))):  # the last radix is 16 where it can be
        radix = 2 ** len(part)
        a = np.arange(radix)
        phi = np.vstack([a / 2, a + theta[:, np.newaxis]]) / radix
        phi = np.take_along_axis(phi, np.argsort(np.minimum(phi, 1 - phi), axis=1, kind="stable"), axis=1)
        waves = np.exp(-2j * np.pi * phi[..., np.newaxis] * a)
        factor = np.stack([waves, 1j * waves], axis=2)  # (n_sequences, radix, 2, radix), complex
        factor[0] = 0
        factor[0, 0::2, 0], factor[0, 1::2, 1] = waves[0, 0::2], waves[0, 1::2]
        factor[0, 0, 0] = 1 + 1j * (-1.0) ** a
        factors.append(np.stack([factor.real, factor.imag], axis=2).reshape(-1, 2 * radix, 2 * radix))
        theta = phi.ravel()[1:]
    factors[0] = factors[0] @ np.kron([[1, 1], [1, -1]], np.eye(factors[0].shape[1] // 2))
    bins = np.rint(phi * n_fft).astype(int)
    return tuple(factors), np.minimum(bins, n_fft - bins)


def mel_spectrogram(
    waveforms: "tf.Tensor", window: np.ndarray, filterbank: np.ndarray, hop_length: int, *, center: bool
) -> "tf.Tensor":
    """Return the power of a short-time Fourier transform, summed within each filter.

    Time is the last axis, so that each factor of the transform is one matrix product and nothing is transposed between
    them. The filters are taken in a few groups, each of which sees only the bins that it needs, and the frames in runs
    of `FRAMES_AT_ONCE`.

    Parameters
    ----------
    waveforms : tf.Tensor, shape (n, n_samples), float32
    window : np.ndarray, shape (n_fft,)
    filterbank : np.ndarray, shape (n_mels, 1 + n_fft // 2)
        Without weight in the first and the last bin, as triangles have none.
    hop_length : int
        Samples.
    center : bool
        As in `spectrogram`.

    Returns
    -------
    tf.Tensor, shape (n, n_frames, n_mels), float32
    """
    hops, frames = _hops(waveforms, len(window), hop_length, center=center)
    more = hops.shape[1] - frames
    starts = range(0, frames, FRAMES_AT_ONCE)
    parts = [hops[:, first : min(first + FRAMES_AT_ONCE, frames) + more] for first in starts]
    return tf.concat([_mel_frames(part, part.shape[1] - more, window, filterbank) for part in parts], axis=1)


def _mel_frames(hops: "tf.Tensor", frames: int, window: np.ndarray, filterbank: np.ndarray) -> "tf.Tensor":
    """Return the mel bands (n, frames, n_mels) of the first `frames` frames of `hops` (n, n_runs, hop_length)."""
    n_fft, hop_length = len(window), hops.shape[2]
    hops = tf.transpose(hops, [0, 2, 1])
    runs = [hops[:, : n_fft - i * hop_length, i : i + frames] for i in range(hops.shape[2] - frames + 1)]
    values = tf.concat(runs, axis=1) * window[:, np.newaxis].astype(np.float32)
    factors, bins = fourier_factors(n_fft)
    for factor in factors:
        sequences, size, _ = factor.shape
        values = tf.reshape(values, [-1, sequences, size, n_fft // sequences // size * frames])
        values = tf.matmul(factor[np.newaxis].astype(np.float32), values)
    power = tf.reduce_sum(tf.square(tf.reshape(values, [-1, *bins.shape, 2, frames])), axis=3)

    bands = []
    for filters in np.array_split(filterbank, min(FILTER_GROUPS, len(filterbank))):
        columns = np.flatnonzero(filters[:, bins].any(axis=(0, 1)))
        used = slice(columns[0], columns[-1] + 1)
        weights = filters[:, bins[:, used].ravel()].astype(np.float32)
        heard = tf.reshape(power[:, :, used], [-1, weights.shape[1], frames])
        bands.append(tf.matmul(weights[np.newaxis], heard))
    return tf.transpose(tf.concat(bands, axis=1), [0, 2, 1])


def cepstrum(level: "tf.Tensor", n_mfcc: int) -> "tf.Tensor":
    """Return the first `n_mfcc` coefficients of the orthonormal DCT of each frame of `level` (n, n_frames, n_mels).

    The clip's lowest level is transformed apart: silence then sums zeros, not the rounding of a hundred equal terms.
    """
    rows = dct(level.shape[-1], n_mfcc)
    lowest = tf.reduce_min(level, axis=[1, 2], keepdims=True)
    return tf.matmul(level - lowest, rows.T.astype(np.float32)) + lowest * rows.sum(axis=1).astype(np.float32)


def zero_crossings(waveforms: "tf.Tensor", n_fft: int, hop_length: int, *, center: bool) -> "tf.Tensor":
    """Return the zero-crossing rate of each frame, in per cent of its samples.

    Samples within 1e-10 of 0 count as positive, as in librosa.

    Parameters
    ----------
    waveforms : tf.Tensor, shape (n, clip_samples), float32
    n_fft, hop_length : int
    center : bool
        As for `spectrogram`.

    Returns
    -------
    tf.Tensor, shape (n, n_frames), float32
    """
    frames = n_frames(waveforms.shape[1], n_fft, hop_length, center)
    if center:
        waveforms = tf.pad(waveforms, [[0, 0], [n_fft // 2, n_fft // 2]])
    negative = tf.cast(waveforms < -1e-10, tf.float32)
    until = tf.pad(tf.cumsum(tf.abs(negative[:, 1:] - negative[:, :-1]), axis=1), [[0, 0], [1, 0]])
    within = until[:, n_fft - 1 :: hop_length][:, :frames] - until[:, ::hop_length][:, :frames]
    return within * np.float32(100 / n_fft)


def decibels(power: "tf.Tensor", floor: float, top_db: float | None) -> "tf.Tensor":
    """Return 10 log10 of `power` (n, n_frames, n_mels), at least that of `floor` and the clip's peak less `top_db`."""
    level = tf.math.log(tf.maximum(power, floor)) * np.float32(10 / np.log(10))
    if top_db is None:
        return level
    return tf.maximum(level, tf.reduce_max(level, axis=[1, 2], keepdims=True) - top_db)


def _hops(waveforms: "tf.Tensor", n_fft: int, hop_length: int, *, center: bool) -> tuple["tf.Tensor", int]:
    """Cut waveforms into runs of one hop, (n, n_runs, hop_length), of which each of `frames` takes the next few."""
    n_samples = waveforms.shape[-1]
    frames = n_frames(n_samples, n_fft, hop_length, center)
    n_runs = frames - 1 + -(-n_fft // hop_length)
    before = n_fft // 2 if center else 0
    length = n_runs * hop_length
    if n_samples > length - before:
        waveforms = waveforms[:, : length - before]
    waveforms = tf.pad(waveforms, [[0, 0], [before, max(0, length - before - n_samples)]])
    return tf.reshape(waveforms, [-1, n_runs, hop_length]), frames


def _hz_to_mel(hz: float) -> float:
    linear = 3 * hz / 200
    return linear if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mels: np.ndarray) -> np.ndarray:
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.log(6.4) * (mels - 15) / 27))
