"""Dynamic range: int8 weights per channel, activations float32 in the file and quantised as each clip passes.

Depthwise convolutions and those with one input channel have weights that are widened on loading, which is faster:
see `stages/quantize/schemes/_dynamic.py`.
"""

from stages.quantize.schemes import _dynamic
from stages.quantize.schemes._dtypes import NoOptions
from stages.quantize.schemes._narrow import Narrow

BIT_WIDTH, NEEDS_CALIBRATION = 8, False
Config = NoOptions
quantize = _dynamic.quantizer(Narrow())
verify = _dynamic.verifier("dynamic_wi8_afp32", Narrow())
