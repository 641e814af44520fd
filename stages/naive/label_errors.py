"""Labels that a classifier of the naive reference doubts, by scores of recordings that it was not trained on.

References
----------
C. Northcutt, L. Jiang, I. Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels. Journal of Artificial
Intelligence Research 70, 2021. The ranking and the count are those of the library cleanlab.
"""

from collections.abc import Sequence

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.multilabel_classification import filter as several_filter
from cleanlab.multilabel_classification import rank as several_rank
from cleanlab.rank import get_label_quality_scores
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GroupKFold

from stages.core.artifacts.label_errors import LabelErrors, Suspect
from stages.core.artifacts.recordings import Recording

PARTS = 5
TREES = 300
LISTED = 0.1
"""Share of the ranking that is listed."""
SEED = 1234


def rank(recordings: Sequence[Recording], x: np.ndarray, labels: Sequence[str], *, workers: int) -> LabelErrors:
    """Rank recordings by how little their labels are supported.

    Parameters
    ----------
    recordings : sequence of Recording
    x : np.ndarray, shape (n, n_features)
        Their descriptions (`stages.naive.spectra`).
    labels : sequence of str
        In output order.
    workers : int
        Threads.

    Returns
    -------
    LabelErrors
        Without suspects if there are fewer than two groups.
    """
    held = np.array([[label in recording.labels for label in labels] for recording in recordings], np.int64)
    groups = np.array([recording.group for recording in recordings], str)
    several = bool((held.sum(axis=1) > 1).any())
    n_groups = len(set(groups))
    if n_groups < 2:
        return LabelErrors(len(recordings), n_groups, 0, 0.0, 0, ())
    parts = min(PARTS, n_groups)
    scores = out_of_fold(x, held, groups, parts, workers=workers)
    quality, suspected = _judge(held, scores, several=several)
    order = np.argsort(quality, kind="stable")[: max(1, round(LISTED * len(quality)))]
    right = (scores >= 0.5) == held.astype(bool) if several else scores.argmax(1) == held.argmax(1)

    def likely(row: np.ndarray) -> str:
        best = np.flatnonzero(row >= 0.5).tolist() if several else [int(row.argmax())]
        return "|".join(labels[i] for i in best)

    return LabelErrors(
        n=len(recordings),
        groups=n_groups,
        parts=parts,
        accuracy=round(float(right.mean()), 4),
        suspected=int(suspected.sum()),
        suspects=tuple(
            Suspect(
                recording_id=recordings[i].recording_id,
                label=recordings[i].label,
                likely=likely(scores[i]),
                quality=round(float(quality[i]), 4),
                suspected=bool(suspected[i]),
            )
            for i in order
        ),
    )


def out_of_fold(x: np.ndarray, held: np.ndarray, groups: np.ndarray, parts: int, *, workers: int) -> np.ndarray:
    """Return the scores of every recording by trees that saw no recording of its group.

    Parameters
    ----------
    x : np.ndarray, shape (n, n_features)
    held : np.ndarray, shape (n, n_classes)
        1 where a recording has a label.
    groups : np.ndarray of str, shape (n,)
    parts : int
        At most the number of groups.
    workers : int
        Threads.

    Returns
    -------
    np.ndarray, shape (n, n_classes), float64
    """
    # One question with an answer for each class, or for several labels one question for each class.
    several = bool((held.sum(axis=1) > 1).any())
    asked = [held[:, i] for i in range(held.shape[1])] if several else [held.argmax(axis=1)]
    scores = np.zeros(held.shape)
    for train, other in GroupKFold(parts, shuffle=True, random_state=SEED).split(x, groups=groups):
        for i, y in enumerate(asked):
            trees = ExtraTreesClassifier(TREES, n_jobs=workers, class_weight="balanced", random_state=SEED)
            trees.fit(x[train], y[train])
            found = np.zeros((len(other), 2 if several else held.shape[1]))
            found[:, trees.classes_] = trees.predict_proba(x[other])
            if several:
                scores[other, i] = found[:, 1]
            else:
                scores[other] = found
    return scores


def _judge(held: np.ndarray, scores: np.ndarray, *, several: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the support of each recording's labels, and whether confident learning counts them as wrong."""
    if several:
        given = [np.flatnonzero(row).tolist() for row in held]
        suspected = several_filter.find_label_issues(given, scores, n_jobs=1)
        return several_rank.get_label_quality_scores(given, scores), np.asarray(suspected)
    scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-9)
    label = held.argmax(axis=1)
    return get_label_quality_scores(label, scores), np.asarray(find_label_issues(label, scores, n_jobs=1))
