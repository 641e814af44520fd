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
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from stages.core.artifacts import frontend
from stages.core.project import provenance
from stages.core.tracking.records import Registration

_NEEDED = ("mlflow", "numpy", "ai-edge-litert")  # by a registered model


def save_pyfunc(folder: Path, new: Registration) -> None:
    """Write ``folder/model``: MLflow's form of a model, with all of our code that it imports."""
    release, example, threshold = new.release, new.example, new.threshold
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
            model_config={
                "crops": frontend.read(release).crops,
                "labels": list(new.labels),
                "threshold": list(threshold) if isinstance(threshold, tuple) else threshold,
                "reject": new.reject.plain() if new.reject else None,
            },
            code_paths=[str(package)],
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, example.shape[1]))]),
                outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, new.n_outputs))]),
                params=ParamSchema([ParamSpec("decisions", DataType.boolean, default=False)]),
            ),
            input_example=example,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _NEEDED],
        )
