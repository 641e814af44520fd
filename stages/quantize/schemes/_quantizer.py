"""Call ai-edge-quantizer as every scheme needs it: bytes in, bytes out, the same each time, no output.

Its files keep large constants behind the flatbuffer; they are moved inside, where every runtime reads them.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.litert import buffers
from stages.core.project import lazy
from stages.quantize import ranges
from stages.runtime.quiet import quiet

if TYPE_CHECKING:
    from ai_edge_quantizer import quantizer as quantizers
    from ai_edge_quantizer import recipe as recipes
else:
    quantizers, recipes = lazy.module("ai_edge_quantizer.quantizer"), lazy.module("ai_edge_quantizer.recipe")

Recipe = list[dict[str, Any]]
Calibration = np.ndarray | ranges.Ranges | None
"""Features of training clips, (n, ...) float32; or ranges of activations; or none."""
Quantize = Callable[[Any, bytes, Calibration], bytes]


def published(name: str) -> Callable[[], Recipe]:
    """Return the function that makes ai-edge-quantizer's own recipe of this name."""

    def make() -> Recipe:
        return getattr(recipes, name)()

    return make


def weights_only(recipe: Callable[[], Recipe]) -> Quantize:
    """Return the `quantize` of a scheme that quantises weights by a recipe and needs no calibration."""

    def quantize(config: Any, float32: bytes, calibration: Calibration = None) -> bytes:  # noqa: ARG001
        return apply(recipe(), float32)

    return quantize


def apply(
    recipe: Recipe,
    float32: bytes,
    activations: ranges.Ranges = MappingProxyType({}),
    weights: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> bytes:
    """Quantise a float32 flatbuffer.

    Parameters
    ----------
    recipe : Recipe
        As `ai_edge_quantizer.recipe` makes it.
    float32 : bytes
    activations : Ranges
        Ranges that a static recipe needs.
    weights : Mapping[str, np.ndarray]
        Name of a kernel to the largest magnitude of its grid for each filter, of the kernel's rank; by default the
        largest weight's.
    """
    statistics = {name: {"min": np.array([low]), "max": np.array([high])} for name, (low, high) in activations.items()}
    statistics |= {name: {"min": -largest, "max": largest} for name, largest in weights.items()}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        quiet(),
    ):  # a progress bar that cannot be turned off
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors", category=UserWarning)
        result = quantizers.Quantizer(float32, recipe).quantize(
            statistics or None, enable_progress_bar=False, enable_progress_report=False
        )
    return buffers.inside(bytes(result.quantized_model))
