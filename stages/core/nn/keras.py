"""Keras and TensorFlow, loaded on first use: the only place that imports either.

It chooses legacy Keras 2 (`tf_keras`), which tfmot and the converter understand. ``from stages.core.nn.keras import
keras, tf`` costs nothing; the first attribute of either loads both, which takes seconds. `load` does so at once.
"""

import functools
import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels pick their order of summation by the load
os.environ.setdefault("AUTOGRAPH_STRICT_CONVERSION", "1")  # else a full TMPDIR silently changes what is computed

import numpy as np

from stages.core.project import files, lazy
from stages.core.project.errors import ModelError
from stages.runtime.quiet import quiet

__all__ = ["keras", "load", "load_weights", "make_deterministic", "save_weights", "tf"]


@functools.cache
def load() -> tuple[ModuleType, ModuleType]:
    """Import TensorFlow and Keras now, if they are not imported yet, and return both."""
    with quiet():  # TensorFlow complains of absent GPUs at once
        both = importlib.import_module("tensorflow"), importlib.import_module("tf_keras")
    # Dropout draws from generators, which can be set to a known state.
    both[1].backend.experimental.enable_tf_random_generator()
    return both


if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras
else:
    tf = lazy.LazyModule("tensorflow", lambda: load()[0])
    keras = lazy.LazyModule("tf_keras", lambda: load()[1])


def make_deterministic(seed: int, threads: int) -> None:
    """Seed Python, NumPy and TensorFlow and fix the number of threads, so that a run can be repeated exactly.

    Parameters
    ----------
    seed : int
    threads : int
        Threads of one operator. Set once per process, before the first operator runs: the count is part of the result.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def save_weights(model: "keras.Model", path: Path) -> None:
    """Write a model's weights as an `.npz` whose bytes depend on the weights alone."""
    with files.atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{f"{i:03d}": w for i, w in enumerate(model.get_weights())})


def load_weights(model: "keras.Model", path: Path) -> None:
    """Read weights written by `save_weights` into a model of the same architecture.

    Raises
    ------
    ModelError
        If the shapes differ.
    """
    with np.load(path) as stored:
        weights = [stored[name] for name in sorted(stored.files)]
    expected = [tuple(w.shape) for w in model.weights]
    if [w.shape for w in weights] != expected:
        raise ModelError(f"{path} does not fit the architecture in params.yaml. Run `dvc repro train` again.")
    model.set_weights(weights)
