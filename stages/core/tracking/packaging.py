"""Write MLflow's form of a model: its files, the code that runs it, and its signature."""

import importlib.metadata
import shutil
import warnings
from pathlib import Path

from stages.core.tracking import environment  # noqa: F401  before MLflow reads it

# isort: split

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from stages.core.artifacts import frontend
from stages.core.project import provenance

_NEEDED = ("mlflow", "numpy", "ai-edge-litert")  # by a registered model


def save_pyfunc(folder: Path, release: Path, *, example: np.ndarray, n_outputs: int) -> None:
    """Write ``folder/model``: MLflow's form of a model, with all of our code that it imports."""
    package = folder / "stages"
    source = provenance.source_file("stages").parent
    shutil.copytree(source / "runtime", package / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(source / "__init__.py", package / "__init__.py")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # MLflow's advice to say more than the signature says
        mlflow.pyfunc.save_model(
            path=folder / "model",
            python_model=str(provenance.source_file("stages.core.tracking.pyfunc")),
            artifacts={name: str(release / f"{name}.tflite") for name in ("model", "frontend")},
            model_config={"crops": frontend.read(release).crops},
            code_paths=[str(package)],
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, example.shape[1]))]),
                outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, n_outputs))]),
            ),
            input_example=example,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _NEEDED],
        )
