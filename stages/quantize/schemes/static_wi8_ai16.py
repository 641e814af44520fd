"""Full integer with finer activations: int8 weights per channel, int16 activations, int16 input and output.

For networks that lose too much in 8 bits: activations are 256 times finer, weights and bytes are those of
static_wi8_ai8. It is slow: XNNPACK has no kernels for it and LiteRT's plain ones take over, 50 times slower than int8
on the EDAC CNN (`python -m tests.bench.schemes`).
"""

from stages.quantize.schemes import _dtypes, _quantizer, _static

BIT_WIDTH, NEEDS_CALIBRATION = 8, True
Config = _static.Config
quantize = _static.quantizer("static_wi8_ai16", _quantizer.published("static_wi8_ai16"), activation_bits=16)
verify = _dtypes.verifier(_dtypes.Claim("static_wi8_ai16", "int16", "int8", allowed=_static.INTEGERS | {"int16"}))
