"""The `pull` section of params.yaml."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from stages.core.project import plugins
from stages.core.project.errors import require

SOURCES = "stages.pull.sources"


@dataclass(frozen=True)
class PullParams:
    """Which recordings to work on.

    Attributes
    ----------
    source : str
        A file of `stages/pull/sources/`.
    mirror : str or None
        Folder that holds the publisher's files, read instead of the network; the environment variable
        EDAC_MIRROR does the same. What comes from it is checked like what comes from the network.
    silence_dbfs : float
        A recording whose peak stays below this level, relative to full scale, is silent and excluded.
    options : dict
        Source name to that source's `Config`.
    """

    source: str = "demo"
    mirror: str | None = None
    silence_dbfs: float = -60.0
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        advice = "0 is full scale; 16-bit recordings reach down to -90."
        require(-120 <= self.silence_dbfs < 0, "pull.silence_dbfs", "be in [-120, 0) dB", self.silence_dbfs, advice)

    def configure(self) -> tuple[ModuleType, Any]:
        """Return the source's module and its filled `Config`."""
        return plugins.configure(SOURCES, self.source, self.options, "pull")
