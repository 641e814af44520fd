"""No copies at all: the recordings as they are."""

from dataclasses import dataclass

import audiomentations


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


def compose(_config: Config) -> audiomentations.Compose:
    """Return the transform that changes nothing."""
    return audiomentations.Compose([])
