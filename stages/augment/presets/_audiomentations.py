"""The package audiomentations, loaded on first use: half a second, and `edac check` needs a preset's Config alone."""

from typing import TYPE_CHECKING

from stages.core.project import lazy

if TYPE_CHECKING:
    import audiomentations
else:
    audiomentations = lazy.module("audiomentations")

__all__ = ["audiomentations"]
