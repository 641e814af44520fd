"""The waveform itself, with silence at both ends, for networks that learn their own filters from crops of it.

A network hears `crop_samples` at once: in training a random crop; when it is judged, and on a device, `crops` equally
spaced ones, over which its scores are averaged.

References
----------
Tokozume, Ushiku, Harada, "Learning from Between-class Examples for Deep Sound Recognition", ICLR 2018, section 4.1.
Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern Recognition 133 (2023), section 3,
whose 30,225 samples at 20 kHz, half of them as silence at either end and ten crops are the defaults.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stages.core.nn.keras import tf
from stages.core.project.errors import require
from stages.features import ranges

ALIGN = "start"
_OWNER = "features.options.raw"


@dataclass(frozen=True)
class Config:
    """Parameters of the front end.

    Attributes
    ----------
    sample_rate : int
        Hz.
    clip_samples : int
        Length of a clip; a recording is cut or padded at its end.
    crop_samples : int
        Length of the network's input.
    crops : int
        Number of crops over which scores are averaged.
    pad_samples : int
        Silence added at either end.
    """

    sample_rate: int = 20000
    clip_samples: int = 100000
    crop_samples: int = 30225
    crops: int = 10
    pad_samples: int = 15112

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("sample_rate", "clip_samples"):
            require(getattr(self, name) >= 1, f"{_OWNER}.{name}", "be at least 1", getattr(self, name))
        require(self.pad_samples >= 0, f"{_OWNER}.pad_samples", "be 0 or more", self.pad_samples)
        n_samples = self.clip_samples + 2 * self.pad_samples
        ranges.Crops(self.crops, self.crop_samples, n_samples).require(_OWNER, "crop_samples")


def feature_shape(config: Config) -> tuple[int, ...]:
    """Return (n_samples, 1).

    Examples
    --------
    >>> feature_shape(Config())
    (130224, 1)
    """
    return config.clip_samples + 2 * config.pad_samples, 1


def crops(config: Config) -> tuple[int, int]:
    """Return how many crops there are and how many samples each has."""
    return config.crops, config.crop_samples


def bands(_config: Config) -> tuple[float, ...]:
    """Return no band: the features are the waveform."""
    return ()


def graph(config: Config) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from waveforms (n, clip_samples) to padded ones (n, n_samples, 1), both float32."""

    def padded(waveforms: "tf.Tensor") -> "tf.Tensor":
        silence = [[0, 0], [config.pad_samples, config.pad_samples]]
        return tf.pad(waveforms, silence)[..., None]

    return padded
