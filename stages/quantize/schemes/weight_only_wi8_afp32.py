"""Weights as int8 per channel, a quarter of the bytes; arithmetic in float32.

Only the rounding of the weights costs accuracy. The interpreter widens them once, when it loads the model, so latency
and memory are those of float32.
"""

from stages.quantize.schemes import _dtypes, _quantizer

BIT_WIDTH, NEEDS_CALIBRATION = 8, False
Config = _dtypes.NoOptions
quantize = _quantizer.weights_only(_quantizer.published("weight_only_wi8_afp32"))
verify = _dtypes.verifier(_dtypes.Claim("weight_only_wi8_afp32", "float32", "int8", through=(_dtypes.WIDENED,)))
