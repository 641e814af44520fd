"""Make no augmented copies."""

from dataclasses import dataclass

from stages.augment.presets._audiomentations import audiomentations


@dataclass(frozen=True)
class Config:
    """No parameters."""


def compose(_config: Config, _number: int) -> "audiomentations.Compose":
    """Return the transform that changes nothing."""
    return audiomentations.Compose([])
