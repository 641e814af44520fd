"""Weights as int8 without the zeros: each that is not zero takes 3 bytes, 1 for itself and 2 for where it is.

Pays from two thirds of zeros on; a tensor that would grow stays dense. LiteRT unpacks and widens the weights when it
loads the model, so latency and memory are those of float32.
"""

from stages.quantize.schemes import _dtypes, _sparse, weight_only_wi8_afp32

BIT_WIDTH, NEEDS_CALIBRATION = weight_only_wi8_afp32.BIT_WIDTH, False
SIZE_DEPENDS_ON_WEIGHTS = True
Config = _dtypes.NoOptions
_WAYS = (_dtypes.WIDENED, _dtypes.UNPACKED + _dtypes.WIDENED)
quantize = _sparse.quantizer(weight_only_wi8_afp32.quantize)
verify = _sparse.verifier(_dtypes.Claim("sparse_weight_only_wi8_afp32", "float32", "int8", through=_WAYS))
