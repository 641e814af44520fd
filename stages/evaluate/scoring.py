"""Score clips with a model file through LiteRT, and summarise the scores as metrics."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.core.artifacts.dataset import Split, read_split
from stages.core.artifacts.estimates import SplitMetrics, Threshold
from stages.core.artifacts.rejection import NO_REJECTION, FittedRejection
from stages.core.project import params as core_params
from stages.core.scoring.rejection import WITH_SCORES, Sounds
from stages.core.scoring.rejection import fit as fit_rejection
from stages.core.scoring.summary import summarise
from stages.core.scoring.thresholds import class_thresholds, threshold_for
from stages.evaluate.params import Decisions, EvaluateParams
from stages.runtime.litert import Model
from stages.runtime.rejection import FRONTEND


def score(model: Path | bytes, x: np.ndarray, *, threads: int = 1) -> np.ndarray:
    """Run a model file on clips; a clip's score is the mean over its crops.

    Parameters
    ----------
    model : Path or bytes
        A `.tflite`, or its content.
    x : np.ndarray, shape (n, n_crops, *input_shape), float32
        As `Split.crops` gives them.
    threads : int

    Returns
    -------
    np.ndarray, float32
        Probability of the positive class, shape (n,), from a binary model; else shape (n, n_classes).
    """
    loaded = Model(model, threads=threads)
    scores = np.stack([loaded.mean(clip) for clip in x])
    return scores[:, 0] if scores.shape[1:] == (1,) else scores


def rejection(
    scores: np.ndarray, validation: Split, params: Decisions, threshold: Threshold, features: Path
) -> FittedRejection:
    """Choose when a file says "unknown", on validation.

    Parameters
    ----------
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Scores of the validation split, from `score`.
    validation : Split
    params : Decisions
    threshold : float, tuple or None
        The file's decision threshold.
    features : Path
        Features folder; its training clips are read if the rule measures the front end's output.
    """
    if params.known_share is None:
        return NO_REJECTION
    share, measure = params.known_share, params.reject_by
    by_sound = measure in ("auto", FRONTEND, WITH_SCORES) and not isinstance(threshold, tuple)
    sounds = _sounds(features, (features / "features.npy").stat().st_mtime_ns) if by_sound else None
    return fit_rejection(scores, validation.groups, measure=measure, share=share, threshold=threshold, sounds=sounds)


@functools.lru_cache(maxsize=1)
def _sounds(features: Path, _written_ns: int) -> Sounds:
    """Return the front end's output; its distance is computed once in a process for the variants of a cell."""
    return Sounds(read_split(features, "train").x, read_split(features, "validation").x)


def metrics(
    scores: Mapping[str, np.ndarray], splits: Mapping[str, Split], params: EvaluateParams
) -> dict[str, SplitMetrics]:
    """Summarise the scores of every split, with thresholds chosen on validation alone.

    A binary task has one, a multi-label and a multi-class task one for each class; a multi-class task's are for events.
    On validation itself, each clip is decided by a
    threshold chosen on other groups.

    Parameters
    ----------
    scores : Mapping
        Split name to what `score` returned; ``"validation"`` among them.
    splits : Mapping
        Split name to the split.
    params : EvaluateParams

    Returns
    -------
    dict[str, SplitMetrics]
    """
    truth = splits["validation"]
    decides = truth.multi_label or len(truth.labels) == 2
    given = params.decisions.threshold
    threshold = threshold_for(truth.y, scores["validation"], given) if decides else None
    limits = None if decides else class_thresholds(truth.y, scores["validation"], given)
    summaries = {
        name: summarise(
            split,
            scores[name],
            labels=split.labels,
            params=params.metrics,
            threshold=threshold,
            chosen_here=name == "validation",
        )
        for name, split in splits.items()
    }
    found = {name: core_params.load(SplitMetrics, summary, name) for name, summary in summaries.items()}
    return {name: replace(each, class_thresholds=limits) for name, each in found.items()}
