"""Train plain classifiers on the recordings of the training split, choose one on validation, and measure it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import label_errors as label_errors_file
from stages.core.artifacts import naive as naive_file
from stages.core.artifacts.dataset import indicators
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.naive import Figures, Naive
from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SPLITS, SplitName
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import MetricParams, measure
from stages.core.scoring.summary import summarise
from stages.core.scoring.thresholds import threshold_for
from stages.naive import classifiers, label_errors, spectra
from stages.runtime.hearing import DEFAULT, Hearing

CHANCE = ("accuracy", "balanced_accuracy", "roc_auc", "pr_auc")
"""Metrics that have a level of chance."""


@dataclass(frozen=True)
class Side:
    """Descriptions and labels of the recordings on one side of the split."""

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    sites: np.ndarray


@dataclass(frozen=True)
class Task:
    """Recordings, the split of each, the labels in output order, and how recordings are heard."""

    recordings: Sequence[Recording]
    splits: Mapping[str, SplitName]
    labels: tuple[str, ...]
    hearing: Hearing = DEFAULT


def naive(task: Task, target: Path, shown: MetricParams, *, workers: int) -> Naive:
    """Compute the naive reference, and which labels it doubts, and write both.

    Parameters
    ----------
    task : Task
    target : Path
        Folder to write.
    shown : MetricParams
        How metrics and intervals are computed.
    workers : int
        Processes that decode.

    Returns
    -------
    Naive

    Raises
    ------
    DataError
        If a recording is missing, or a class has no training recording.
    """
    labels = task.labels
    x = spectra.describe_all([(r.path, r.span) for r in task.recordings], task.hearing, workers=workers)
    sides = _sides(task, x)
    train = sides["train"]
    held = indicators(train.y, len(labels)).sum(axis=0)
    if not held.all():
        raise DataError(f"the training split has no recording of {labels[int(held.argmin())]}. Run `dvc repro split`.")
    metric = "pr_auc" if train.y.ndim == 2 else "roc_auc" if len(labels) == 2 else "accuracy"
    tried: dict[str, float] = {}
    found: dict[str, list[np.ndarray]] = {}
    for name, make in classifiers.classifiers(balanced=held.max() > 1.5 * held.min()).items():
        found[name] = classifiers.scores(make, train.x, train.y, [sides["validation"].x, sides["test"].x])
        value = _value(sides["validation"].y, found[name][0], metric)
        tried[name] = round(value, 6)
    best = max(tried, key=lambda name: tried[name])
    decides = train.y.ndim == 2 or len(labels) == 2
    threshold: Any = threshold_for(sides["validation"].y, found[best][0]) if decides else None
    summaries = {
        side: _figures(
            summarise(
                sides[side],
                scores,
                labels=labels,
                params=shown,
                threshold=threshold,
                chosen_here=decides and side == "validation",
            )
        )
        for side, scores in zip(("validation", "test"), found[best], strict=True)
    }
    result = Naive(
        classifier=best,
        metric=metric,
        tried=tried,
        n_features=train.x.shape[1],
        validation=summaries["validation"],
        test=summaries["test"],
        chance={side: chance(train.y, sides[side].y, len(labels)) for side in ("validation", "test")},
    )
    target.mkdir(parents=True, exist_ok=True)
    naive_file.write(target, result)
    label_errors_file.write(target, label_errors.rank(task.recordings, x, labels, workers=workers))
    return result


def chance(train: np.ndarray, y: np.ndarray, n_classes: int) -> dict[str, float]:
    """Return what is reached without listening.

    Parameters
    ----------
    train, y : np.ndarray, shape (n,) or (n, n_classes)
        Classes of the training split and of the split that is judged.
    n_classes : int

    Returns
    -------
    dict of str to float
        Accuracy of the training split's most frequent class (of a multi-label task, of the more frequent answer for
        each class), balanced accuracy, ROC-AUC and average precision of random scores.

    Examples
    --------
    >>> chance(np.array([0, 0, 1]), np.array([0, 1, 1, 1]), 2)["accuracy"]
    0.25
    """
    held = indicators(y, n_classes).mean(axis=0)
    usual = indicators(train, n_classes).mean(axis=0)
    if train.ndim == 2:
        accuracy = float(np.where(usual > 0.5, held, 1 - held).mean())
    else:
        accuracy = float(held[int(usual.argmax())])
    prevalence = float(held[-1]) if n_classes == 2 and train.ndim == 1 else float(held.mean())
    balanced = 0.5 if train.ndim == 2 else 1 / n_classes
    found = {"accuracy": accuracy, "balanced_accuracy": balanced, "roc_auc": 0.5, "pr_auc": prevalence}
    return {name: round(value, 6) for name, value in found.items()}


def _sides(task: Task, x: np.ndarray) -> dict[str, Side]:
    recordings, labels = task.recordings, task.labels
    held = np.array([[label in recording.labels for label in labels] for recording in recordings], np.int64)
    y = held if (held.sum(axis=1) > 1).any() else held.argmax(axis=1)
    groups, sites = (np.array([getattr(r, name) for r in recordings], str) for name in ("group", "site"))
    of = np.array([task.splits[r.recording_id] for r in recordings], str)
    return {side: Side(x[of == side], y[of == side], groups[of == side], sites[of == side]) for side in SPLITS}


def _value(y: np.ndarray, scores: np.ndarray, metric: str) -> float:
    value = float(measure(metric, y, scores))
    return value if np.isfinite(value) else float("-inf")


def _figures(summary: Mapping[str, Any]) -> Figures:
    ends = ("value", "low", "high", "reason")
    pooled = {
        name: Estimate(**{end: estimate.get(end) for end in ends})
        for name, estimate in summary["pooled"].items()
        if name in CHANCE
    }
    return Figures(summary["n"], summary["groups"], pooled)
