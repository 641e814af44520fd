"""Export a front end's graph as `frontend.tflite`, which makes the training features and runs on the device."""

from types import ModuleType
from typing import Any

from stages.core.litert.convert import convert
from stages.core.project.errors import ModelError
from stages.runtime.litert import Model


def export(frontend: ModuleType, config: Any) -> bytes:
    """Convert a front end to a LiteRT model of builtin operators.

    Parameters
    ----------
    frontend : ModuleType
        A file of `stages/features/frontends/`.
    config : Config
        Parameters of that front end.

    Returns
    -------
    bytes
        A `.tflite` with signature ``waveform -> features``: (1, clip_samples) to (1, *feature_shape), float32. The
        bytes depend on the graph alone.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart, or the features have another shape than the front end states.
    """
    owner, stated = f"The front end {frontend.__name__}", tuple(frontend.feature_shape(config))
    signature = ("waveform", "features")
    content = convert(frontend.graph(config), (config.clip_samples,), signature=signature, owner=owner)
    shape = Model(content).output_shape
    if shape != stated:
        raise ModelError(f"{owner} must make features of shape {stated}; got {shape}. Correct its feature_shape.")
    return content


def export_halves(frontend: ModuleType, config: Any) -> tuple[bytes, bytes]:
    """Convert the two functions that a front end is composed of, so that masks can be applied between them.

    Returns
    -------
    levels : bytes
        A `.tflite` with signature ``waveform -> levels``: (1, clip_samples) to (1, n_frames, n_bands), float32, in dB.
    finish : bytes
        ``levels -> features``.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart.
    """
    owner = f"The front end {frontend.__name__}"
    first = convert(frontend.levels(config), (config.clip_samples,), signature=("waveform", "levels"), owner=owner)
    shape = Model(first).output_shape
    return first, convert(frontend.finish(config), shape, signature=("levels", "features"), owner=owner)
