"""EDAC's augmentation of the positive coughs of Coswara: configurations A, after Mahanta et al., and B, alternately.

In this order: time stretch, pitch shift, circular shift, trimming of silence at the ends, gain, polarity inversion. A
stretches farther and more often than B; the rest is the same. Odd copies are by A, even ones by B, all of them of the
recording itself. The released code applied B to what A had made: `augment.chained` does that. The phase vocoder is
librosa's, as it was then, and the shift has no fade, as it had none. Where the gain exceeds full scale the copy is
clipped.

S. Mahanta, D. Kaushik, H. Van Truong, S. Jain, K. Guha: COVID-19 diagnosis from cough acoustics using ConvNets and data
augmentation. ICAC 2021. EDAC: arXiv 2309.05357, appendix A.1, and its released code for the figures.
"""

from dataclasses import dataclass

from stages.augment.presets._audiomentations import audiomentations
from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """The one parameter that the publication leaves open.

    Attributes
    ----------
    trim_db : float
        Level below the peak (dB) under which the ends are cut off. The released code took audiomentations' default,
        which is 30 today.
    """

    trim_db: float = 30.0

    def __post_init__(self) -> None:
        """Check the range."""
        require(self.trim_db > 0, "augment.options.edac_coswara.trim_db", "be above 0", self.trim_db)


def compose(config: Config, number: int) -> "audiomentations.Compose":
    """Return configuration A for odd copies, B for even ones."""
    vocoder = "librosa_phase_vocoder"
    min_rate, max_rate, p_stretch = (0.7, 1.4, 0.9) if number % 2 else (0.8, 1.25, 0.5)
    return audiomentations.Compose(
        [
            audiomentations.TimeStretch(min_rate, max_rate, method=vocoder, p=p_stretch),
            audiomentations.PitchShift(-2.0, 4.0, method=vocoder, p=1.0),
            audiomentations.Shift(-0.5, 0.5, fade_duration=0.0, p=0.8),
            audiomentations.Trim(config.trim_db, p=1.0),
            audiomentations.Gain(-12.0, 12.0, p=1.0),
            audiomentations.PolarityInversion(p=0.8),
        ]
    )
