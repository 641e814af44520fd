"""Full integer: int8 weights per channel, int8 activations, int8 input and output; ranges from training clips.

Probabilities leave as int8 with scale 1/256 and zero point -128, the form LiteRT fixes for sigmoid and softmax.
"""

from stages.quantize.schemes import _dtypes, _quantizer, _static

BIT_WIDTH, NEEDS_CALIBRATION = 8, True
Config = _static.Config
quantize = _static.quantizer("static_wi8_ai8", _quantizer.published("static_wi8_ai8"), activation_bits=8)
verify = _dtypes.verifier(_dtypes.Claim("static_wi8_ai8", "int8", "int8", allowed=_static.INTEGERS))
