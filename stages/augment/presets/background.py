"""Mix the user's own background recordings into training clips, each excerpt at a drawn signal-to-noise ratio."""

from dataclasses import dataclass
from pathlib import Path

from stages.augment.presets._audiomentations import audiomentations
from stages.core.audio.sources import open_source, recordings_below
from stages.core.project.errors import DataError, require


@dataclass(frozen=True)
class Config:
    """Where the backgrounds are, and how loud.

    Attributes
    ----------
    folder : Path
        Folder of recordings without any event, none of those of `evaluate.stream.background`, which judge what is
        learnt from these. DVC does not watch it.
    min_snr_db, max_snr_db : float
        Signal-to-noise ratio (dB) is drawn uniformly between the two.
    p : float
        Probability that a copy has a background.
    """

    folder: Path = Path("backgrounds")
    min_snr_db: float = 0.0
    max_snr_db: float = 30.0
    p: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "augment.options.background"
        require(0 < self.p <= 1, f"{owner}.p", "be in (0, 1]", self.p)
        require(-60 <= self.min_snr_db <= self.max_snr_db <= 100, owner, "have rising ratios in [-60, 100] dB", self)


def sounds(config: Config) -> list[Path]:
    """Return the background recordings, sorted.

    Raises
    ------
    DataError
        If the folder holds none, or one cannot be read.
    """
    if not config.folder.is_dir():
        raise DataError(f"augment.options.background.folder must be a folder; {config.folder} is none.")
    found = recordings_below(config.folder)
    if not found:
        raise DataError(f"augment.options.background.folder must hold recordings; {config.folder} holds none. Add one.")
    for path in found:
        open_source(path)
    return found


def compose(config: Config, _number: int) -> "audiomentations.Compose":
    """Return the mixture alone, the same for every copy."""
    noise = audiomentations.AddBackgroundNoise(sounds(config), config.min_snr_db, config.max_snr_db, p=config.p)
    return audiomentations.Compose([noise])
