"""Memory that the process of a cell may need, from its network and clips."""

import math

import numpy as np

from flows.sweep.inputs import SweepInputs
from stages.core.artifacts import network as network_file
from stages.core.project.errors import DataError

FIXED = 0.9e9
"""TensorFlow, LiteRT, their libraries, traced graphs and activations, in bytes."""
PER_PARAMETER = 80
"""Weights, gradients, the optimizer's state, masks and their copies in the files of several schemes, in bytes."""


def job_bytes(inputs: SweepInputs) -> float:
    """Return the memory in bytes that one cell may need.

    Features are mapped and read clip by clip, so that it depends on the size of a clip and not on their number:
    `python -m tests.bench.growth` has the measured figures.

    Parameters
    ----------
    inputs : SweepInputs

    Raises
    ------
    DataError
        If a folder is incomplete.
    """
    path = inputs.sources.features / "features.npy"
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro features` first.")
    clip = 4 * math.prod(np.load(path, mmap_mode="r").shape[1:])
    held = max(inputs.prune.batch_norm_clips, inputs.quantize.calibration_clips) + 4 * inputs.prune.batch_size
    return FIXED + PER_PARAMETER * network_file.read(inputs.sources.baseline).n_parameters + held * clip
