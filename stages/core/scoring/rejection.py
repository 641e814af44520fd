"""Choose the limit of a rejection rule on validation, with a promise of how many known sounds are kept.

The promise is conformal: no assumption on the network or on the scores, only that the groups (speakers, devices) of the
future are drawn like those of validation. Every group counts the same, however many clips it has, and one more group,
the new one, counts as if all its clips were rejected: a clip of a new group is kept with at least the stated
probability, over the draw of all groups. That needs at least share / (1 - share) groups, 19 for 0.95. With fewer, every
clip stands for itself, and the promise holds only for clips drawn like those of validation. Of two limits each rejects
half as often, so that both together keep the promise (Bonferroni's inequality); that needs twice as many groups.

References
----------
Lee, Barber, Willett, "Distribution-free inference with hierarchical data", arXiv:2306.06342 (2023), section 3:
hierarchical conformal prediction.
Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World* (2005), chapter 2.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.core.artifacts.estimates import Threshold
from stages.core.artifacts.rejection import FittedRejection
from stages.runtime.frontend_distance import FrontEndDistance, summaries
from stages.runtime.rejection import BINARY, FRONTEND, MULTI_CLASS, Rejection, ScoreLimit, confidence

WITH_SCORES = f"{FRONTEND}_and_scores"
LEAST_BANDS = 2
MEANS_UNIT = 3.0
"""Units of a band's mean, in standard deviations: another level or microphone moves all means of a clip."""
CHOICES = ("auto", *MULTI_CLASS, *BINARY, FRONTEND, WITH_SCORES)


@dataclass(frozen=True)
class Sounds:
    """Front end's output, of which a rule may measure the distance from the training clips.

    Attributes
    ----------
    train, validation : np.ndarray, shape (n, n_steps, ...), float32
        Features; those of validation in the order of the scores.
    """

    train: np.ndarray
    validation: np.ndarray

    @cached_property
    def distance(self) -> FrontEndDistance:
        """Distance from the training clips."""
        return fit_distance(self.train)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Minus that distance of every validation clip, (n,) float64."""
        return self.distance.confidence(self.validation)


def fit(
    scores: np.ndarray,
    groups: np.ndarray,
    *,
    measure: str,
    share: float,
    threshold: Threshold = None,
    sounds: Sounds | None = None,
) -> FittedRejection:
    """Choose the limit of a rejection rule.

    Parameters
    ----------
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Scores of the validation split, all of them known sounds.
    groups : np.ndarray, shape (n,), str
    measure : str
        One of `CHOICES`. ``"frontend_distance_and_scores"``: the front end's output and the highest score of a
        multi-class task, or the distance from the threshold of a binary one, each with a limit that rejects half as
        often; a clip is unknown if either says so. ``"auto"``: the first of this, the front end's output alone and the
        scores alone whose promise is for new groups; if none is, the first that there are enough clips for.
    share : float
        Share of known sounds that is to be kept, in (0, 1).
    threshold : float, tuple or None
        Decision threshold of the task.
    sounds : Sounds or None
        What a measure of the front end's output needs; ``"auto"`` without it is by the scores.

    Returns
    -------
    FittedRejection
        Without a rule where there is none for the task, or validation is too small even by clip.
    """
    n, n_groups = len(scores), len(np.unique(groups))
    if isinstance(threshold, tuple):
        return FittedRejection(None, n, n_groups, "a multi-label task names no label where none reaches its threshold")
    suited = BINARY if scores.ndim == 1 else MULTI_CLASS
    if measure == "auto":
        tried = (WITH_SCORES, FRONTEND, suited[0]) if sounds is not None and _has_bands(sounds) else (suited[0],)
        found = [fit(scores, groups, measure=m, share=share, threshold=threshold, sounds=sounds) for m in tried]
        new = [each for each in found if each.rule is not None and each.rule.by == "group"]
        return next(iter(new or [each for each in found if each.rule is not None] or found[-1:]))
    beside = suited[0] if measure == WITH_SCORES else measure
    if beside not in (*suited, FRONTEND):
        return FittedRejection(None, n, n_groups, f"{measure} is not for this kind of task; {', '.join(suited)} are")
    distance, sure = None, []
    if measure in (FRONTEND, WITH_SCORES):
        if sounds is None:
            raise ValueError(f"{measure} needs the front end's output")
        if not _has_bands(sounds):
            return FittedRejection(None, n, n_groups, f"{measure} needs a front end with at least {LEAST_BANDS} bands")
        distance = sounds.distance
        sure.append(sounds.confidence)
    if measure != FRONTEND:
        sure.append(confidence(scores.reshape(n, -1), beside, threshold))
    part = 1 - (1 - share) / len(sure)
    limits, by = [conformal_limit(each, groups, part) for each in sure], "group"
    if limits[0] is None:
        limits, by = [conformal_limit(each, np.arange(n).astype(str), part) for each in sure], "clip"
    kept = [math.floor(limit * 1e9) / 1e9 for limit in limits if limit is not None]  # the clip that is it is kept
    if not kept:
        needed = int(np.ceil(part / (1 - part) - 1e-9))
        return FittedRejection(None, n, n_groups, f"{n} validation clips; a share of {share:g} needs {needed}")
    if distance is None:
        return FittedRejection(Rejection(beside, kept[0], share, by), n, n_groups)
    second = ScoreLimit(beside, kept[1]) if measure == WITH_SCORES else None
    return FittedRejection(Rejection(FRONTEND, kept[0], share, by, distance, second), n, n_groups)


def fit_distance(features: np.ndarray) -> FrontEndDistance:
    """Return the distance of a clip's front-end output from that of training clips; five significant digits.

    Means count for less than deviations over time (`MEANS_UNIT`), so that a clip through another microphone stays
    known.

    Parameters
    ----------
    features : np.ndarray, shape (n, n_steps, ...), float32
        Training split.

    Examples
    --------
    >>> clips = np.random.default_rng(0).normal(size=(50, 20, 2))
    >>> near, far = fit_distance(clips).confidence(np.stack([clips[0], 3 * clips[0]]))
    >>> bool(near > -2 and far < -3)
    True
    """
    blocks = np.array_split(np.arange(len(features)), max(1, len(features) // 256))
    values = np.concatenate([summaries(features[rows]) for rows in blocks])
    spread = values.std(axis=0)
    spread = np.maximum(spread, 1e-3 * spread.max()) if spread.max() > 0 else np.ones_like(spread)
    spread[: len(spread) // 2] *= MEANS_UNIT
    return FrontEndDistance(_digits(values.mean(axis=0)), _digits(spread))


def _has_bands(sounds: Sounds) -> bool:
    return summaries(sounds.train[:1]).shape[1] >= 2 * LEAST_BANDS


def _digits(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)


def conformal_limit(sure: np.ndarray, groups: np.ndarray, share: float) -> float | None:
    """Return the highest limit at which a clip of a new group is kept with probability `share` or more.

    Parameters
    ----------
    sure : np.ndarray, shape (n,)
        Confidence of every clip; a clip is kept at the limit or above.
    groups : np.ndarray, shape (n,), str
    share : float

    Returns
    -------
    float or None
        None if there are too few groups for the share.

    Examples
    --------
    >>> conformal_limit(np.arange(1.0, 20.0), np.arange(19).astype(str), 0.9)
    2.0
    >>> conformal_limit(np.arange(1.0, 9.0), np.arange(8).astype(str), 0.9) is None
    True
    """
    _, membership, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / ((len(counts) + 1) * counts[membership])
    order = np.argsort(sure, kind="stable")
    values = sure[order]
    below = 1 / (len(counts) + 1) + np.concatenate([[0.0], np.cumsum(weights[order])[:-1]])
    first = np.searchsorted(values, values, side="left")  # clips of equal confidence are kept or rejected together
    allowed = below[first] <= 1 - share + 1e-12
    return float(values[allowed].max()) if allowed.any() else None
