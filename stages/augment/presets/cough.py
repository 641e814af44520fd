"""What EDAC did to positive coughs (its configuration A, after Mahanta et al.), two copies of each.

In this order: time stretch, pitch shift, circular shift, trimming of silence at the ends, gain, polarity inversion.
`min_rate: 0.8, max_rate: 1.25, p_stretch: 0.5` is configuration B. The phase vocoder is librosa's, as it was then, and
the shift has no fade, as it had none. Where the gain exceeds full scale the copy is clipped.

S. Mahanta, D. Kaushik, H. Van Truong, S. Jain, K. Guha: COVID-19 diagnosis from cough acoustics using ConvNets and data
augmentation. ICAC 2021. EDAC: arXiv 2309.05357, section on data.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.core.errors import require

if TYPE_CHECKING:
    import audiomentations


@dataclass(frozen=True)
class Config:
    """Ranges and probabilities.

    Attributes
    ----------
    min_rate, max_rate : float
        Of the time stretch; above 1 is faster. The length stays.
    p_stretch : float
        Its probability.
    min_semitones, max_semitones : float
        Of the pitch shift, always applied.
    max_shift : float
        Fraction of the length, either way, with probability 0.8.
    trim_db : float
        Below the peak: quieter ends are cut off.
    gain_db : float
        Either way.
    """

    min_rate: float = 0.7
    max_rate: float = 1.4
    p_stretch: float = 0.9
    min_semitones: float = -2.0
    max_semitones: float = 4.0
    max_shift: float = 0.5
    trim_db: float = 30.0
    gain_db: float = 12.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "augment.options.cough"
        require(
            0.1 <= self.min_rate <= self.max_rate <= 10, f"{owner}.min_rate", "be in [0.1, max_rate]", self.min_rate
        )
        require(0 <= self.p_stretch <= 1, f"{owner}.p_stretch", "be in [0, 1]", self.p_stretch)
        rule = "be in [-24, max_semitones], and that at most 24"
        require(
            -24 <= self.min_semitones <= self.max_semitones <= 24, f"{owner}.min_semitones", rule, self.min_semitones
        )
        require(0 <= self.max_shift <= 1, f"{owner}.max_shift", "be in [0, 1]", self.max_shift)
        require(self.trim_db > 0, f"{owner}.trim_db", "be above 0", self.trim_db)
        require(self.gain_db >= 0, f"{owner}.gain_db", "be 0 or more", self.gain_db)


def compose(config: Config) -> "audiomentations.Compose":
    """Return the chain of transforms."""
    import audiomentations  # half a second, and `edac check` needs the Config alone

    vocoder = "librosa_phase_vocoder"
    return audiomentations.Compose(
        [
            audiomentations.TimeStretch(config.min_rate, config.max_rate, method=vocoder, p=config.p_stretch),
            audiomentations.PitchShift(config.min_semitones, config.max_semitones, method=vocoder, p=1.0),
            audiomentations.Shift(-config.max_shift, config.max_shift, fade_duration=0.0, p=0.8),
            audiomentations.Trim(config.trim_db, p=1.0),
            audiomentations.Gain(-config.gain_db, config.gain_db, p=1.0),
            audiomentations.PolarityInversion(p=0.8),
        ]
    )
