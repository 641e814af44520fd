"""No quantisation: the float32 flatbuffer as it was converted."""

from stages.quantize.schemes import _dtypes
from stages.quantize.schemes._quantizer import Calibration

BIT_WIDTH, NEEDS_CALIBRATION = 32, False
Config = _dtypes.NoOptions
_ALLOWED = frozenset({"float32", "int32", "int64", "bool"})


def quantize(_config: Config, float32: bytes, _calibration: Calibration = None) -> bytes:
    """Return the flatbuffer unchanged."""
    return float32


verify = _dtypes.verifier(_dtypes.Claim("float32", "float32", "float32", allowed=_ALLOWED))
