"""A registered model, as MLflow loads it: waveforms in, scores out, through LiteRT and without TensorFlow.

MLflow copies this file into the model ("models from code") and runs it where the model is loaded, with
`stages.runtime` beside it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from stages.runtime.litert import Model


class Classifier(PythonModel):
    """The front end and the model, one after the other."""

    def load_context(self, context: Any) -> None:
        """Open the files that were registered; the configuration holds the crops per clip."""
        self.frontend = Model(Path(context.artifacts["frontend"]))
        self.model = Model(Path(context.artifacts["model"]))
        self.n_crops = int(context.model_config["crops"])

    def predict(self, context: Any, model_input: np.ndarray, params: object = None) -> np.ndarray:  # noqa: ARG002
        """Return the scores of waveforms.

        Parameters
        ----------
        context : Any
        model_input : np.ndarray, shape (n, clip_samples), float32
            Mono, in [-1, 1], at the front end's sample rate.
        params : None

        Returns
        -------
        np.ndarray, shape (n, 1) for a binary task, else (n, n_classes), float32
        """
        features = self.frontend.run(np.asarray(model_input, np.float32))
        return self.model.mean_over_crops(features, self.n_crops)


set_model(Classifier())
