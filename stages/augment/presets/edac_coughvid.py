"""EDAC's augmentation of the positive coughs of COUGHVID before spectrogram masks: four semitones lower.

Nothing is drawn, so that one copy of a recording is all there is to make. The phase vocoder is librosa's. The masks
that followed are `augment.masks`.

EDAC: arXiv 2309.05357, appendix A.2, after Hamdi et al., Journal of Intelligent Information Systems 59 (2022).
"""

from dataclasses import dataclass

from stages.augment.presets._audiomentations import audiomentations
from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """Parameters of the pitch shift.

    Attributes
    ----------
    semitones : float
        Shift in [-24, 24]; negative is lower.
    """

    semitones: float = -4.0

    def __post_init__(self) -> None:
        """Check the range."""
        owner = "augment.options.edac_coughvid.semitones"
        require(-24 <= self.semitones <= 24, owner, "be in [-24, 24]", self.semitones)


def compose(config: Config, _number: int) -> "audiomentations.Compose":
    """Return the pitch shift, the same for every copy."""
    shift = config.semitones
    return audiomentations.Compose([audiomentations.PitchShift(shift, shift, method="librosa_phase_vocoder", p=1.0)])
