"""ai-edge-quantizer, called the way every scheme needs it: bytes in, bytes out, the same each time, no output.

Its files keep large constants behind the flatbuffer; they are moved inside, where every runtime reads them.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from stages.core.litert import buffers
from stages.core.project.errors import DataError
from stages.quantize import ranges


def apply(recipe: list[dict[str, Any]], float32: bytes, activations: ranges.Ranges = MappingProxyType({})) -> bytes:
    """Quantise a float32 flatbuffer.

    Parameters
    ----------
    recipe : list[dict]
        As `ai_edge_quantizer.recipe` makes them.
    float32 : bytes
    activations : Ranges
        What a static recipe needs.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    statistics = {name: {"min": np.array([low]), "max": np.array([high])} for name, (low, high) in activations.items()}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
    ):  # a progress bar that cannot be turned off
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors", category=UserWarning)
        result = Quantizer(float32, recipe).quantize(
            statistics or None, enable_progress_bar=False, enable_progress_report=False
        )
    return buffers.inside(bytes(result.quantized_model))


def static(
    scheme: str,
    recipe: list[dict[str, Any]],
    float32: bytes,
    calibration: np.ndarray | ranges.Ranges | None,
    *,
    method: str,
    bits: int,
) -> bytes:
    """Quantise a float32 flatbuffer, activations included.

    Parameters
    ----------
    scheme : str
        For the message.
    recipe : list[dict]
    float32 : bytes
    calibration : np.ndarray, shape (n, ...), float32, or Ranges, or None
        Features of training clips, or the ranges themselves.
    method : str
        Of `stages.quantize.ranges.METHODS`.
    bits : int
        Of an activation.

    Raises
    ------
    DataError
        If there are no calibration clips.
    """
    if calibration is None or not len(calibration):
        raise DataError(f"{scheme} must be given calibration clips; got none. Pass features of the training split.")
    if isinstance(calibration, Mapping):
        return apply(recipe, float32, calibration)
    return apply(recipe, float32, ranges.activation_ranges(float32, calibration, method=method, bits=bits))
