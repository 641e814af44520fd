"""The `quantize` section of `params.yaml`."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from stages.core import plugins
from stages.core.errors import require

SCHEMES = "stages.quantize.schemes"


@dataclass(frozen=True)
class QuantizeParams:
    """How a float32 model is quantised.

    Attributes
    ----------
    calibration_clips : int
        Clips of the training split that full-integer schemes take their ranges from.
    seed : int
        Of the choice of those clips.
    options : dict
        Scheme name to that scheme's own parameters.
    """

    calibration_clips: int = 128
    seed: int = 1234
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        clips = self.calibration_clips
        require(clips >= 1, "quantize.calibration_clips", "be at least 1", clips, "128 is a good start.")
        require(self.seed >= 0, "quantize.seed", "be 0 or more", self.seed, "Any fixed whole number will do.")

    def scheme(self, name: str) -> tuple[ModuleType, Any]:
        """Return a scheme's module and its filled `Config`.

        Raises
        ------
        ParameterError
            If there is no such scheme, or its options do not fit.
        """
        return plugins.configure(SCHEMES, name, self.options, "quantize")
