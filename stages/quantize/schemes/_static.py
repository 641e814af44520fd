"""The parameters that static schemes share."""

from dataclasses import dataclass

from stages.core.project.errors import require
from stages.quantize import ranges


@dataclass(frozen=True)
class StaticConfig:
    """How a static scheme finds the ranges of activations.

    Attributes
    ----------
    calibration : str
        `quantize.calibration`, unless the scheme's own options say otherwise: ``"min_max"``, ``"percentile"`` or
        ``"mse"``, see `stages.quantize.ranges`.
    """

    calibration: str = "min_max"

    def __post_init__(self) -> None:
        """Check the method."""
        known = self.calibration in ranges.METHODS
        require(known, "quantize.calibration", f"be one of {', '.join(ranges.METHODS)}", self.calibration)
