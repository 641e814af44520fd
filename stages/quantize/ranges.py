"""Find the activation ranges of full-integer schemes from calibration clips.

A step of an 8-bit integer is a 255th of the range, so one rare outlier makes every other activation coarser: `min_max`
keeps the whole range, `percentile` and `mse` clip outliers.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from stages.core.project import lazy
from stages.runtime.quiet import quiet

if TYPE_CHECKING:
    from ai_edge_quantizer import calibrator as calibrators
    from ai_edge_quantizer import recipe_manager
    from ai_edge_quantizer.utils import qsv_utils
else:  # takes seconds, and schemes without calibration do not need it
    calibrators = lazy.module("ai_edge_quantizer.calibrator")
    recipe_manager = lazy.module("ai_edge_quantizer.recipe_manager")
    qsv_utils = lazy.module("ai_edge_quantizer.utils.qsv_utils")

Ranges = Mapping[str, tuple[float, float]]
"""Name of a tensor to its lowest and its highest value."""

KEPT = 0.9999
"""Fraction of the activations that `percentile` does not clip, half of the others on either side."""
BINS = 8192
SHARES = np.geomspace(0.01, 1.0, 100)
"""Fractions of the whole range that `mse` tries."""


def by_percentile(counts: np.ndarray, low: float, high: float, bits: int) -> tuple[float, float]:  # noqa: ARG001
    """Return the range that holds `KEPT` of the activations.

    Parameters
    ----------
    counts : np.ndarray, shape (n_bins,), int
        Histogram over equal bins.
    low, high : float
        Ends of the histogram.
    bits : int
        Ignored.

    Examples
    --------
    >>> counts = np.array([1, 0, 99998, 1])
    >>> by_percentile(counts, 0.0, 4.0, 8)
    (2.0, 3.0)
    """
    share = np.cumsum(counts) / counts.sum()
    width = (high - low) / len(counts)
    rest = (1 - KEPT) / 2
    first = int(np.searchsorted(share, rest + 1e-12, side="right"))  # the first bin that is not all clipped
    last = int(np.searchsorted(share, 1 - rest - 1e-12))
    return low + first * width, low + (last + 1) * width


def by_mse(counts: np.ndarray, low: float, high: float, bits: int) -> tuple[float, float]:
    """Return the share of the range, the same at both ends, that quantises with the smallest mean squared error.

    Parameters
    ----------
    counts : np.ndarray, shape (n_bins,), int
        Histogram over equal bins.
    low, high : float
        Ends of the histogram, on either side of zero.
    bits : int
        Bits of a quantised activation.

    References
    ----------
    Nagel et al., "A White Paper on Neural Network Quantization", arXiv:2106.08295 (2021), section 3.1.
    """
    x = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)

    def error(share: float) -> float:
        step = share * (high - low) / (2**bits - 1)
        zero = np.rint(-share * low / step)
        integers = np.clip(np.rint(x / step) + zero, 0, 2**bits - 1)
        return float(counts @ (x - (integers - zero) * step) ** 2)

    share = float(min(SHARES[::-1], key=error))  # of equals the widest
    return share * low, share * high


METHODS: dict[str, Callable[[np.ndarray, float, float, int], tuple[float, float]] | None] = {
    "min_max": None,
    "percentile": by_percentile,
    "mse": by_mse,
}


def activation_ranges(float32: bytes, clips: np.ndarray, *, method: str, bits: int) -> Ranges:
    """Run a float32 flatbuffer on calibration clips and return the range of every activation.

    Parameters
    ----------
    float32 : bytes
    clips : np.ndarray, shape (n, ...), float32
    method : str
        One of `METHODS`. The extremes are those over all clips; ai-edge-quantizer's own default, a moving average of
        each clip's extremes, cuts off what every second clip reaches.
    bits : int
        Bits of a quantised activation.
    """
    extremes = _extremes(float32, clips)
    clip = METHODS[method]
    if clip is None:
        return extremes
    counts = _histograms(float32, clips, extremes)
    return {
        name: clip(counts[name], *_around_zero(ends), bits) if name in counts else ends
        for name, ends in extremes.items()
    }


def _around_zero(ends: tuple[float, float]) -> tuple[float, float]:
    """Widen a range to hold zero, which LiteRT must be able to store exactly."""
    return min(ends[0], 0.0), max(ends[1], 0.0)


def _extremes(float32: bytes, clips: np.ndarray) -> dict[str, tuple[float, float]]:
    with quiet():
        ((signature, ends),) = Interpreter(model_content=float32).get_signature_list().items()
        calibrator = calibrators.Calibrator(
            float32,
            num_threads=1,
            mode=calibrators.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=qsv_utils.min_max_update,
        )
    with contextlib.redirect_stderr(io.StringIO()), quiet():  # a progress bar that cannot be turned off
        inputs = [{ends["inputs"][0]: clip[np.newaxis]} for clip in clips]
        calibrator.calibrate({signature: inputs}, recipe_manager.RecipeManager())
    found = calibrator.get_model_qsvs().items()
    return {name: (float(each["min"].item()), float(each["max"].item())) for name, each in found}


def _histograms(float32: bytes, clips: np.ndarray, extremes: Ranges) -> dict[str, np.ndarray]:
    interpreter = Interpreter(
        model_content=float32,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,  # else the space of one tensor is the next one's
    )
    with quiet():
        interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    tensors = {
        tensor["name"]: tensor["index"]
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] is np.float32 and extremes.get(tensor["name"], (0, 0)) != (0, 0)
    }
    counts = {name: np.zeros(BINS, np.int64) for name in tensors}
    for clip in clips:
        interpreter.set_tensor(source["index"], clip[np.newaxis])
        interpreter.invoke()
        for name, index in tensors.items():
            low, high = _around_zero(extremes[name])
            bins = (interpreter.get_tensor(index).ravel() - low) * (BINS / (high - low))
            counts[name] += np.bincount(np.clip(bins, 0, BINS - 1).astype(np.int64), minlength=BINS)
    return counts
