"""float32 without the zeros: each weight that is not zero takes 6 bytes, 4 for itself and 2 for where it is.

Pays from a third of zeros on; a tensor that would grow stays dense, so that of a network with few zeros this is the
float32 file. LiteRT unpacks the weights when it loads the model, so latency and memory are those of float32.
"""

from stages.quantize.schemes import _dtypes, _sparse, float32

BIT_WIDTH, NEEDS_CALIBRATION = float32.BIT_WIDTH, False
SIZE_DEPENDS_ON_WEIGHTS = True
Config = _dtypes.NoOptions
_WAYS = (_dtypes.PLAIN, _dtypes.UNPACKED)
quantize = _sparse.quantizer(float32.quantize)
verify = _sparse.verifier(_dtypes.Claim("sparse_float32", "float32", "float32", through=_WAYS))
