"""float16 without the zeros: each weight that is not zero takes 4 bytes, 2 for itself and 2 for where it is.

Pays from a half of zeros on; a tensor that would grow stays dense. LiteRT unpacks and widens the weights when it loads
the model, so latency and memory are those of float32.
"""

from stages.quantize.schemes import _dtypes, _sparse, float16

BIT_WIDTH, NEEDS_CALIBRATION = float16.BIT_WIDTH, False
SIZE_DEPENDS_ON_WEIGHTS = True
Config = _dtypes.NoOptions
_WAYS = (_dtypes.WIDENED, _dtypes.UNPACKED + _dtypes.WIDENED)
quantize = _sparse.quantizer(float16.quantize)
verify = _sparse.verifier(_dtypes.Claim("sparse_float16", "float32", "float16", through=_WAYS))
