"""Weights of convolutions and fully connected operators as float16, half the bytes; arithmetic in float32.

The interpreter widens the weights once, when it loads the model, so latency is that of float32.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.quantize.schemes import _dtypes, _quantizer

BIT_WIDTH = 16
NEEDS_CALIBRATION = False
_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the model with its weights rounded to float16."""
    recipe = [
        {
            "regex": ".*",
            "operation": operator,
            "algorithm_key": "float_casting",
            "op_config": {
                "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
                "compute_precision": "FLOAT",
                "explicit_dequantize": True,
            },
        }
        for operator in _OPERATORS
    ]
    return flatbuffer.without_negative_zeros(_quantizer.apply(recipe, float32))  # tiny negatives round to -0.0


def verify(config: Config, model: bytes) -> None:  # noqa: ARG001
    """Require float32 at both ends and float16 weights.

    Raises
    ------
    ModelError
    """
    _dtypes.require(
        flatbuffer.read(model), scheme="float16", ends="float32", weights="float16", through=[("DEQUANTIZE",)]
    )
