"""Keras and TensorFlow, loaded on first use: the only place that imports either.

It chooses legacy Keras 2 (`tf_keras`), which tfmot and the converter understand. ``from stages.core.nn.keras import
keras, tf`` costs nothing; the first attribute of either loads both, which takes seconds. `load` does so at once.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its kernels pick their order of summation by the load

import numpy as np

from stages.core.project import files
from stages.core.project.errors import ModelError

__all__ = ["keras", "load", "load_weights", "make_deterministic", "save_weights", "tf"]


class _Lazy(ModuleType):
    """A module that is imported when one of its attributes is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__internal__", "__version__"):
            raise AttributeError(name)  # introspection loads nothing
        load()
        value = getattr(sys.modules[self.__name__], name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras
else:
    tf, keras = _Lazy("tensorflow"), _Lazy("tf_keras")


@functools.cache
def load() -> None:
    """Import TensorFlow and Keras now, if they are not imported yet."""
    with _quiet():
        import tensorflow  # noqa: F401
        import tf_keras

    # Dropout draws from generators, which can be set to a known state.
    tf_keras.backend.experimental.enable_tf_random_generator()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard what native code writes to stderr meanwhile: TensorFlow complains of absent GPUs at once."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


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
