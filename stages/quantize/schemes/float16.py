"""Weights of convolutions and fully connected operators as float16, half the bytes; arithmetic in float32.

The interpreter widens the weights once, when it loads the model, so latency is that of float32.
"""

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes, _quantizer
from stages.quantize.schemes._quantizer import Calibration

BIT_WIDTH, NEEDS_CALIBRATION = 16, False
Config = _dtypes.NoOptions
_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "FULLY_CONNECTED")
_CAST = {
    "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
    "compute_precision": "FLOAT",
    "explicit_dequantize": True,
}
_RECIPE = [
    {"regex": ".*", "operation": operator, "algorithm_key": "float_casting", "op_config": _CAST}
    for operator in _OPERATORS
]


def quantize(_config: Config, float32: bytes, _calibration: Calibration = None) -> bytes:
    """Return the model with its weights rounded to float16."""
    return flatbuffer.without_negative_zeros(_quantizer.apply(_RECIPE, float32))  # tiny negatives round to -0.0


verify = _dtypes.verifier(_dtypes.Claim("float16", "float32", "float16", through=(_dtypes.WIDENED,)))
