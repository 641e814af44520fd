"""Mel spectrograms as small colour pictures, the input of EDAC's CNN-LSTM, after Hamdi et al.

Levels in dB below the clip's peak, at most 80, are stretched over matplotlib's viridis from the picture's own lowest to
its own highest, and the colours are resized linearly. The first row is the lowest band, as `imshow` draws a matrix that
it is given: rows are bands and columns time, so that `time_shift` has no meaning here. matplotlib gives the colours
when the graph is made; the graph looks them up in a table and needs nothing else on a device.

The published pictures went through a PNG of a figure and were divided by 225 instead of 255; these are in [0, 1]. With
128 bands up to 8 kHz and 512 samples to a transform, the lowest bands are narrower than a bin and some hold none: they
are empty here as in the publication.

References
----------
EDAC: arXiv 2309.05357, appendix A.2. Its table 1 has a hop of 128 samples; its code has 512, which gives the 305 frames
that suit a picture of 39 x 88. Hamdi et al., Journal of Intelligent Information Systems 59 (2022), section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.core.nn.keras import tf
from stages.core.project import lazy
from stages.core.project.errors import require
from stages.features import ranges, spectral

if TYPE_CHECKING:
    import matplotlib
else:
    matplotlib = lazy.module("matplotlib")

ALIGN = "middle"
_OWNER = "features.options.mel_image"
_FLOOR = 1e-10
_TOP_DB = 80.0
N_COLOURS = 256


@dataclass(frozen=True)
class Config:
    """Parameters of the front end; the defaults are EDAC's.

    Attributes
    ----------
    sample_rate : int
        Hz.
    clip_samples : int
        Length of a clip; a recording is cut or padded at both ends.
    n_fft : int
        Samples of a frame, a power of two.
    hop_length : int
        Samples from frame to frame.
    n_mels : int
    fmax : float
        Outer edge of the last band (Hz).
    height, width : int
        Size of the picture (pixels).
    """

    sample_rate: int = 22050
    clip_samples: int = 156027
    n_fft: int = 512
    hop_length: int = 512
    n_mels: int = 128
    fmax: float = 8000.0
    height: int = 39
    width: int = 88

    def __post_init__(self) -> None:
        """Check the ranges."""
        rate, n_fft = self.sample_rate, self.n_fft
        ranges.Stft(rate, self.clip_samples, n_fft, self.hop_length).require(_OWNER)
        ranges.Mel(rate, n_fft, self.n_mels, fmin=0.0, fmax=self.fmax, may_be_empty=True).require(_OWNER)
        for name in ("height", "width"):
            require(getattr(self, name) >= 1, f"{_OWNER}.{name}", "be at least 1 pixel", getattr(self, name))


def feature_shape(config: Config) -> tuple[int, ...]:
    """Return (height, width, 3).

    Examples
    --------
    >>> feature_shape(Config())
    (39, 88, 3)
    """
    return config.height, config.width, 3


def graph(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to pictures (n, height, width, 3) in [0, 1]; float32."""
    return spectral.compose(levels(config), finish(config))


def levels(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to dB below the peak (n, n_frames, n_mels), both float32."""
    window = spectral.hann(config.n_fft, config.n_fft)
    filterbank = spectral.mel_filterbank(config.sample_rate, config.n_fft, config.n_mels, 0.0, config.fmax)

    def log_mel(waveforms: "tf.Tensor") -> "tf.Tensor":
        bands = spectral.mel_spectrogram(waveforms, window, filterbank, config.hop_length, center=True)
        level = spectral.decibels(bands, _FLOOR, _TOP_DB)
        return level - tf.reduce_max(level, axis=[1, 2], keepdims=True)

    return log_mel


def finish(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from levels (n, n_frames, n_mels) to pictures (n, height, width, 3) in [0, 1]."""
    colours = viridis()

    def picture(level: "tf.Tensor") -> "tf.Tensor":
        lowest = tf.reduce_min(level, axis=[1, 2], keepdims=True)
        span = tf.reduce_max(level, axis=[1, 2], keepdims=True) - lowest
        share = (level - lowest) / tf.maximum(span, np.float32(1e-6))  # of a flat picture, 0 as in matplotlib
        index = tf.cast(tf.minimum(share * N_COLOURS, np.float32(N_COLOURS - 1)), tf.int32)
        painted = tf.gather(colours, tf.transpose(index, [0, 2, 1]))
        return tf.image.resize(painted, (config.height, config.width), method="bilinear")

    return picture


def viridis() -> np.ndarray:
    """Return matplotlib's colour map: shape (256, 3), float32, red, green and blue in [0, 1]."""
    return matplotlib.colormaps["viridis"](np.arange(N_COLOURS))[:, :3].astype(np.float32)
