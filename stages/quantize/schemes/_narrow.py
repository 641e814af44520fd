"""Weights of fewer than 8 bits: which operators have them, how they are equalised, and rounded after training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.project.errors import DataError
from stages.quantize import equalisation, post_training, weight_layers
from stages.quantize.post_training import PostTraining, Rounded
from stages.quantize.schemes._quantizer import Calibration
from stages.quantize.weight_layers import Layer


@dataclass(frozen=True)
class Narrow:
    """Weights of fewer than 8 bits.

    Attributes
    ----------
    bits : int
    operators : tuple[str, ...]
        Operators whose weights have so many bits; all others have 8.
    """

    bits: int = 8
    operators: tuple[str, ...] = ()


def equalised(config: PostTraining, float32: bytes, clips: np.ndarray | None) -> bytes:
    """Equalise a float32 file as a scheme's config asks."""
    if config.equalisation == "none":
        return float32
    return equalisation.equalise(float32, clips if config.equalisation == "activations" else None)


def rounded(
    config: Any,
    float32: bytes,
    calibration: Calibration,
    narrow: Narrow,
    is_wide: Callable[[Layer], bool] = lambda _: False,
) -> Rounded:
    """Equalise and round narrow weights as a scheme's config asks, if it is a `PostTraining`.

    Parameters
    ----------
    config : Config
    float32 : bytes
    calibration : np.ndarray, Ranges or None
        Ranges in place of clips come with weights that quantisation-aware training has found: rounding each to the
        nearest is left to the quantiser then.
    narrow : Narrow
    is_wide : callable
        Whether a layer of such an operator has 8 bits all the same.

    Raises
    ------
    DataError
        Without clips, if the config needs them.
    """
    if not isinstance(config, PostTraining) or isinstance(calibration, Mapping):
        return Rounded(float32, {})
    if config.needs_clips and (calibration is None or not len(calibration)):
        raise DataError(
            "quantize.weight_rounding, bias_correction and equalisation must be given calibration clips; got none. "
            "Pass features of the training split."
        )
    float32 = equalised(config, float32, calibration)
    if not config.rounds_by_clips:
        return Rounded(float32, {})
    found = weight_layers.find(float32)
    bits = {layer.kernel: narrow.bits for layer in found if layer.operator in narrow.operators and not is_wide(layer)}
    return post_training.round_weights(float32, np.asarray(calibration), bits, config)
