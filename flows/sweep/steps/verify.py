"""Checks of a trained network before it is committed, and of a committed one before variants are made from it.

Not part of any key: it changes no result.
"""

from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.project.errors import DataError
from stages.evaluate import scoring
from stages.runtime.errors import RuntimeInputError

_CLIPS = 16
_TOLERANCE = 1e-3  # of a float32 file's scores; the conversion rounds, and nothing else


def fault(folder: Path, features: Path, *, simulated: bool = False) -> str:
    """Return what is wrong with a trained network's files, "" if nothing is.

    The `float32.tflite` must run, and score some validation clips as the Keras network did.

    Parameters
    ----------
    folder : Path
        Filled by `flows.sweep.steps.finetune.write` or `flows.sweep.steps.qat.write`.
    features : Path
        Folder of the features.
    simulated : bool
        Whether the stored scores are those under fake quantisation, which the float32 file need not give.
    """
    try:
        network_file.read(folder)
        with np.load(folder / "scores.npz") as stored:
            expected = stored["validation"]
        crops = dataset.read_split(features, "validation").crops[:_CLIPS]
        found = scoring.score(folder / "float32.tflite", crops)
    except (RuntimeInputError, DataError) as error:
        return str(error)
    except (OSError, ValueError, KeyError, EOFError) as error:
        return f"scores.npz cannot be read ({error})"
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return "its scores are not finite"
    difference = float(np.abs(found - expected[: len(found)].reshape(found.shape)).max())
    if difference > _TOLERANCE and not simulated:
        return f"float32.tflite scores {difference:.2g} away from the network it was made from"
    return ""
