"""Augment environmental sounds: shift, gain, time stretch, pitch shift and Gaussian noise, each with probability p."""

from dataclasses import dataclass

from stages.augment.presets._audiomentations import audiomentations
from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """Ranges; every transform is applied with probability `p`.

    Attributes
    ----------
    p : float
    max_shift : float
        Largest circular shift, as a fraction of the length.
    gain_db : float
        Largest change of level (dB), up or down.
    max_rate : float
        Largest rate of the time stretch; the smallest is its inverse. The length is kept.
    semitones : float
        Largest pitch shift, up or down.
    min_snr_db, max_snr_db : float
        Signal-to-noise ratio of the added white noise.
    """

    p: float = 0.5
    max_shift: float = 0.5
    gain_db: float = 6.0
    max_rate: float = 1.2
    semitones: float = 2.0
    min_snr_db: float = 10.0
    max_snr_db: float = 40.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "augment.options.environment"
        require(0 <= self.p <= 1, f"{owner}.p", "be in [0, 1]", self.p)
        require(0 <= self.max_shift <= 1, f"{owner}.max_shift", "be in [0, 1]", self.max_shift)
        require(self.gain_db >= 0, f"{owner}.gain_db", "be 0 or more", self.gain_db)
        require(1 <= self.max_rate <= 10, f"{owner}.max_rate", "be in [1, 10]", self.max_rate)
        require(0 <= self.semitones <= 24, f"{owner}.semitones", "be in [0, 24]", self.semitones)
        require(self.min_snr_db <= self.max_snr_db, f"{owner}.min_snr_db", "be at most max_snr_db", self.min_snr_db)


def compose(config: Config, _number: int) -> "audiomentations.Compose":
    """Return the chain of transforms, the same for every copy."""
    return audiomentations.Compose(
        [
            audiomentations.Shift(-config.max_shift, config.max_shift, p=config.p),
            audiomentations.TimeStretch(1 / config.max_rate, config.max_rate, p=config.p),
            audiomentations.PitchShift(-config.semitones, config.semitones, p=config.p),
            audiomentations.AddGaussianSNR(config.min_snr_db, config.max_snr_db, p=config.p),
            audiomentations.Gain(-config.gain_db, config.gain_db, p=config.p),
        ]
    )
