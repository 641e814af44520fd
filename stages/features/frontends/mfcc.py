"""Mel-frequency cepstral coefficients as librosa computes them; the defaults are EDAC's.

A Hann window of `n_fft`, frames centred with silence beyond the ends, the power spectrum, 128 Slaney mel bands up to
half the sample rate, decibels within 80 dB of the clip's peak, the orthonormal DCT.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stages.core.nn.keras import tf
from stages.core.project.errors import require
from stages.features import ranges, spectral

ALIGN = "start"
_OWNER = "features.options.mfcc"
_FLOOR = 1e-10
_TOP_DB = 80.0


@dataclass(frozen=True)
class Config:
    """Parameters of the front end.

    Attributes
    ----------
    sample_rate : int
        Hz.
    clip_samples : int
        Length of a clip; a recording is cut or padded at its end.
    n_fft : int
        Samples of a frame, a power of two.
    hop_length : int
        Samples from frame to frame.
    n_mels : int
    n_mfcc : int
        Coefficients kept, from the zeroth.
    """

    sample_rate: int = 22050
    clip_samples: int = 154350
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    n_mfcc: int = 15

    def __post_init__(self) -> None:
        """Check the ranges."""
        rate, n_fft = self.sample_rate, self.n_fft
        ranges.Stft(rate, self.clip_samples, n_fft, self.hop_length).require(_OWNER)
        ranges.Mel(rate, n_fft, self.n_mels, fmin=0.0, fmax=rate / 2).require(_OWNER)
        rule = f"be in 1..n_mels ({self.n_mels})"
        require(1 <= self.n_mfcc <= self.n_mels, f"{_OWNER}.n_mfcc", rule, self.n_mfcc, "13 to 40 are usual.")


def feature_shape(config: Config) -> tuple[int, ...]:
    """Return (n_frames, n_mfcc, 1).

    Examples
    --------
    >>> feature_shape(Config())
    (302, 15, 1)
    """
    frames = spectral.n_frames(config.clip_samples, config.n_fft, config.hop_length, center=True)
    return frames, config.n_mfcc, 1


def graph(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to coefficients (n, n_frames, n_mfcc, 1), both float32."""
    return spectral.compose(levels(config), finish(config))


def levels(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to levels in dB (n, n_frames, n_mels), both float32."""
    window = spectral.hann(config.n_fft, config.n_fft)
    filterbank = spectral.mel_filterbank(config.sample_rate, config.n_fft, config.n_mels, 0.0, config.sample_rate / 2)

    def log_mel(waveforms: "tf.Tensor") -> "tf.Tensor":
        bands = spectral.mel_spectrogram(waveforms, window, filterbank, config.hop_length, center=True)
        return spectral.decibels(bands, _FLOOR, _TOP_DB)

    return log_mel


def finish(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from levels (n, n_frames, n_mels) to coefficients (n, n_frames, n_mfcc, 1), both float32."""
    return lambda level: spectral.cepstrum(level, config.n_mfcc)[..., None]
