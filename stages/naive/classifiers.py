"""Plain classifiers of scikit-learn on standardised descriptions, each with scores in [0, 1]."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

SEED = 1234


def classifiers(*, balanced: bool) -> dict[str, Callable[[], Any]]:
    """Return the classifiers that are tried, by name, each to be made anew.

    Parameters
    ----------
    balanced : bool
        Weight clips inversely to the frequency of their class.
    """
    weight = "balanced" if balanced else None
    return {
        "logistic regression, C 0.01": lambda: LogisticRegression(C=0.01, max_iter=2000, class_weight=weight),
        "logistic regression, C 1": lambda: LogisticRegression(C=1.0, max_iter=2000, class_weight=weight),
        "support vectors, C 3": lambda: SVC(C=3.0, gamma="scale", class_weight=weight, random_state=SEED),
        "extra trees, 300": lambda: ExtraTreesClassifier(300, n_jobs=1, class_weight=weight, random_state=SEED),
    }


def scores(make: Callable[[], Any], x: np.ndarray, y: np.ndarray, others: list[np.ndarray]) -> list[np.ndarray]:
    """Train a classifier and return its scores of other descriptions.

    Parameters
    ----------
    make : callable
        Returns an untrained classifier.
    x : np.ndarray, shape (n, n_features)
    y : np.ndarray, shape (n,) or, for a multi-label task, (n, n_classes)
        Every class occurs.
    others : list of np.ndarray

    Returns
    -------
    list of np.ndarray, float64
        For each of `others`: (m,) for two classes, the score of the second; else (m, n_classes).
    """
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(make()) if y.ndim == 2 else make())
    model.fit(x, y)
    return [_scores(model, each, multi_label=y.ndim == 2) for each in others]


def _scores(model: Any, x: np.ndarray, *, multi_label: bool) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        found = np.asarray(model.predict_proba(x), np.float64)
        return found[:, 1] if not multi_label and found.shape[1] == 2 else found
    decisions = np.asarray(model.decision_function(x), np.float64)
    if multi_label or decisions.ndim == 1:
        return np.asarray(scipy.special.expit(decisions))
    return np.asarray(scipy.special.softmax(decisions, axis=1))
