"""Full-integer schemes: weights and activations are integers, by ranges of activations from calibration clips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stages.core.project.errors import DataError, require
from stages.quantize import ranges
from stages.quantize.schemes import _narrow, _quantizer
from stages.quantize.schemes._narrow import Narrow
from stages.quantize.schemes._quantizer import Calibration, Quantize, Recipe

INTEGERS = frozenset({"int8", "int32", "int64", "bool"})
"""Dtypes of a file without floats whose activations have 8 bits."""
_ALL_WIDE = Narrow()


@dataclass(frozen=True)
class Config:
    """Parameters of a full-integer scheme.

    Attributes
    ----------
    calibration : {"min_max", "percentile", "mse"}
        Method that takes ranges from clips, see `stages.quantize.ranges`; by default `quantize.calibration`.
    """

    calibration: str = "min_max"

    def __post_init__(self) -> None:
        """Check the method."""
        known = self.calibration in ranges.METHODS
        require(known, "quantize.calibration", f"be one of {', '.join(ranges.METHODS)}", self.calibration)


def quantizer(
    scheme: str, recipe: Callable[[], Recipe], *, activation_bits: int, narrow: Narrow = _ALL_WIDE
) -> Quantize:
    """Return the `quantize` of a full-integer scheme; it raises `DataError` without calibration clips."""

    def quantize(config: Config, float32: bytes, calibration: Calibration) -> bytes:
        if calibration is None or not len(calibration):
            raise DataError(f"{scheme} must be given calibration clips; got none. Pass features of the training split.")
        rounded = _narrow.rounded(config, float32, calibration, narrow)
        if not isinstance(calibration, Mapping):
            method = config.calibration
            calibration = ranges.activation_ranges(rounded.float32, calibration, method=method, bits=activation_bits)
        return _quantizer.apply(recipe(), rounded.float32, calibration, rounded.largest)

    return quantize
