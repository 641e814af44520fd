"""A registered model, as MLflow loads it: waveforms in, scores out, through LiteRT and without TensorFlow.

MLflow copies this file into the model ("models from code") and runs it where the model is loaded, with
`stages.runtime` beside it.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

import stages

# MLflow puts the model's own code first in sys.path; a `stages` that is imported already would hide it.
_own = next((Path(each, "stages").resolve() for each in sys.path if Path(each, "stages/runtime").is_dir()), None)
if _own is not None and str(_own) not in stages.__path__:
    stages.__path__.insert(0, str(_own))

from stages.runtime import rejection  # noqa: E402
from stages.runtime.litert import Model  # noqa: E402


class Classifier(PythonModel):
    """The front end and the model, one after the other."""

    def load_context(self, context: Any) -> None:
        """Open the files that were registered; the configuration holds the crops per clip and how it decides."""
        self.frontend = Model(Path(context.artifacts["frontend"]))
        self.model = Model(Path(context.artifacts["model"]))
        given = context.model_config
        self.n_crops, self.labels, self.threshold = int(given["crops"]), given["labels"], given["threshold"]
        binary = isinstance(self.threshold, float)
        self.reject = rejection.parse(given["reject"], binary=binary) if given["reject"] else None

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:  # noqa: ARG002
        """Return the scores of waveforms, or with the parameter `decisions` what they mean.

        Parameters
        ----------
        context : Any
        model_input : np.ndarray, shape (n, clip_samples), float32
            Mono, in [-1, 1], at the front end's sample rate.
        params : dict or None
            ``decisions``: whether to return labels.

        Returns
        -------
        np.ndarray
            Scores, shape (n, 1) for a binary task, else (n, n_classes), float32. Decisions, shape (n,), str:
            ``"unknown"`` where the model rejects; of a multi-label task all its labels, joined by ``|``.
        """
        features = self.frontend.run(np.asarray(model_input, np.float32))
        scores = self.model.mean_over_crops(features, self.n_crops)
        return self.decide(scores, features) if (params or {}).get("decisions") else scores

    def decide(self, scores: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the decisions that scores mean, with the front end's output beside: (n,) str."""
        threshold = self.threshold
        if isinstance(threshold, list):
            held = ([n for n, s, t in zip(self.labels, row, threshold, strict=True) if s >= t] for row in scores)
            return np.array(["|".join(names) for names in held])
        best = scores.argmax(axis=1) if threshold is None else (scores[:, 0] >= threshold).astype(int)
        labels = np.array(self.labels, dtype=object)[best]
        if self.reject is not None:
            labels[self.reject.excess(scores, self.reject.sound(features), threshold) < 0] = "unknown"
        return labels.astype(str)


set_model(Classifier())
