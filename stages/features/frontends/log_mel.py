"""Log-mel spectrograms as librosa computes them, with every choice a parameter.

Levels agree with librosa's to 1e-3 dB down to 100 dB below the clip's peak. Farther down, which only a `top_db` above
100 or of null shows, the float32 rounding of the windowed frame itself is heard: up to 0.04 dB beside a loud pure tone.

With `crop_frames` a network hears a part of the clip at once, as with `raw`: a random one in training, equally spaced
ones elsewhere. The range of `top_db` is still that below the peak of the whole clip.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stages.core.nn.keras import tf
from stages.core.project.errors import require
from stages.features import ranges, spectral

ALIGN = "start"
_OWNER = "features.options.log_mel"


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
        Samples of a Fourier transform, a power of two.
    win_length : int or None
        Samples of the Hann window amid them; None means `n_fft`.
    hop_length : int
        Samples from frame to frame.
    n_mels : int
    fmin, fmax : float
        Outer edges of the first and the last band (Hz); `fmax` of None means half the sample rate.
    power : float
        Exponent of the magnitudes before the bands are summed: 2 for power, 1 for amplitude.
    floor : float
        Smallest value whose logarithm is taken.
    top_db : float or None
        Dynamic range below the clip's peak (dB); None for no limit but `floor`.
    center : bool
        Frame t is centred on sample t * `hop_length`, with silence beyond the clip's ends; or begins there.
    zero_crossing_rate : bool
        Append a column with the zero-crossing rate, in per cent of a frame's samples: on this scale it keeps its
        resolution among decibels in full-integer models.
    pad_samples : int
        Silence added at either end.
    crop_frames : int or None
        Frames that the network takes at once; None takes all of the clip.
    crops : int
        Number of crops over which scores are averaged.
    """

    sample_rate: int = 22050
    clip_samples: int = 110250
    n_fft: int = 1024
    win_length: int | None = None
    hop_length: int = 512
    n_mels: int = 64
    fmin: float = 0.0
    fmax: float | None = None
    power: float = 2.0
    floor: float = 1e-10
    top_db: float | None = 80.0
    center: bool = True
    zero_crossing_rate: bool = False
    pad_samples: int = 0
    crop_frames: int | None = None
    crops: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.pad_samples >= 0, f"{_OWNER}.pad_samples", "be 0 or more", self.pad_samples)
        ranges.Stft(
            sample_rate=self.sample_rate,
            clip_samples=self.clip_samples,
            n_fft=self.n_fft,
            win_length=_win_length(self),
            hop_length=self.hop_length,
            center=self.center,
        ).require(_OWNER)
        ranges.Mel(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            fmin=self.fmin,
            fmax=_fmax(self),
        ).require(_OWNER)
        require(self.power > 0, f"{_OWNER}.power", "be greater than 0", self.power, "Write 2 for the power spectrum.")
        require(self.floor > 0, f"{_OWNER}.floor", "be greater than 0", self.floor, "Write 1.0e-10.")
        if self.top_db is not None:
            require(self.top_db > 0, f"{_OWNER}.top_db", "be greater than 0 dB", self.top_db, "Write 80, or null.")
        whole = self.crop_frames is None and self.crops > 1
        require(not whole, f"{_OWNER}.crops", "be 1 without crop_frames", self.crops, "Write both.")
        n_frames = _n_frames(self)
        length = n_frames if self.crop_frames is None else self.crop_frames
        ranges.Crops(self.crops, length, n_frames).require(_OWNER, "crop_frames")


def feature_shape(config: Config) -> tuple[int, ...]:
    """Return (n_frames, n_mels, 1), with the zero-crossing rate one column more.

    Examples
    --------
    >>> feature_shape(Config())
    (216, 64, 1)
    """
    return _n_frames(config), config.n_mels + config.zero_crossing_rate, 1


def crops(config: Config) -> tuple[int, int | None]:
    """Return how many crops there are and how many frames each has; None of all.

    Examples
    --------
    >>> crops(Config(crop_frames=65, crops=10))
    (10, 65)
    """
    return config.crops, config.crop_frames


def bands(config: Config) -> tuple[float, ...] | None:
    """Return the bands' centre frequencies (Hz), if the features are the levels of a power spectrum and no more."""
    if config.power != 2 or config.zero_crossing_rate:
        return None
    return tuple(spectral.mel_edges(config.n_mels, config.fmin, _fmax(config))[1:-1].tolist())


def graph(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to levels in dB (n, n_frames, n_mels, 1), both float32."""
    return spectral.compose(levels(config), finish(config))


def levels(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to levels in dB (n, n_frames, n_mels), both float32.

    The zero-crossing rate is one band more.
    """
    window = spectral.hann(_win_length(config), config.n_fft)
    filterbank = spectral.mel_filterbank(config.sample_rate, config.n_fft, config.n_mels, config.fmin, _fmax(config))

    silence = [[0, 0], [config.pad_samples, config.pad_samples]]

    def padded(waveforms: "tf.Tensor") -> "tf.Tensor":
        return tf.pad(waveforms, silence) if config.pad_samples else waveforms

    def log_mel(waveforms: "tf.Tensor") -> "tf.Tensor":
        spectra = spectral.spectrogram(waveforms, window, config.hop_length, center=config.center, power=config.power)
        return spectral.decibels(spectral.mel_bands(spectra, filterbank), config.floor, config.top_db)

    def with_crossings(waveforms: "tf.Tensor") -> "tf.Tensor":
        crossings = spectral.zero_crossings(waveforms, config.n_fft, config.hop_length, center=config.center)
        return tf.concat([log_mel(waveforms), crossings[..., None]], axis=2)

    return spectral.compose(padded, with_crossings if config.zero_crossing_rate else log_mel)


def finish(_config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from levels (n, n_frames, n_mels) to features (n, n_frames, n_mels, 1)."""
    return lambda level: level[..., None]


def _n_frames(config: Config) -> int:
    n_samples = config.clip_samples + 2 * config.pad_samples
    return spectral.n_frames(n_samples, config.n_fft, config.hop_length, config.center)


def _win_length(config: Config) -> int:
    return config.n_fft if config.win_length is None else config.win_length


def _fmax(config: Config) -> float:
    return config.sample_rate / 2 if config.fmax is None else config.fmax
