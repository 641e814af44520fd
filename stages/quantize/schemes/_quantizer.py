"""ai-edge-quantizer, called the way every scheme needs it: bytes in, bytes out, the same each time, in silence."""

import contextlib
import io
import warnings
from typing import Any

import numpy as np


def apply(recipe: list[dict[str, Any]], float32: bytes, calibration: np.ndarray | None = None) -> bytes:
    """Quantise a float32 flatbuffer.

    Activation ranges are the extremes over the calibration clips. The library's own default, a moving average of
    each clip's extremes, cuts off what every second clip reaches.

    Parameters
    ----------
    recipe : list[dict]
        As `ai_edge_quantizer.recipe` makes them.
    float32 : bytes
    calibration : np.ndarray, shape (n, ...), float32, or None
    """
    from ai_edge_quantizer.quantizer import Quantizer

    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
    ):  # a progress bar that cannot be turned off
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors", category=UserWarning)
        ranges = None if calibration is None else _ranges(recipe, float32, calibration)
        result = Quantizer(float32, recipe).quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _ranges(recipe: list[dict[str, Any]], float32: bytes, calibration: np.ndarray) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    manager = RecipeManager()
    manager.load_quantization_recipe(recipe)
    ((signature, ends),) = Interpreter(model_content=float32).get_signature_list().items()
    clips = [{ends["inputs"][0]: clip[np.newaxis]} for clip in calibration]
    calibrator = Calibrator(
        float32, num_threads=1, mode=CalibrationMode.CALIBRATION_PROFILER_BASED, qsv_update_func=min_max_update
    )
    calibrator.calibrate({signature: clips}, manager)
    return calibrator.get_model_qsvs()
