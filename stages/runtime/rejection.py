"""When a classifier says "unknown": its output vector, the confidence that it stands for, and the limit of that.

max_probability  the highest score (multi-class)
margin           the highest score minus the second highest (multi-class)
entropy          minus the entropy of the scores, in nats (multi-class)
distance         distance of the positive score from the decision threshold, both as logits (binary)
frontend_distance  minus the distance of the front end's output from that of the training clips (both;
                 `stages.runtime.frontend_distance`)

Scores count as at least 1e-6 and at most 1 - 1e-6. A confidence below the limit is "unknown". A rule by the front end's
output may have a second limit, of a measure of the scores; a clip is then unknown if either says so.

References
----------
Hendrycks, Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR
2017: the highest softmax probability.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stages.runtime import frontend_distance
from stages.runtime.frontend_distance import FrontEndDistance

MULTI_CLASS, BINARY = ("max_probability", "margin", "entropy"), ("distance",)
FRONTEND = "frontend_distance"
MEASURES = (*MULTI_CLASS, *BINARY, FRONTEND)
PROMISES = ("group", "clip")
_LEAST = 1e-6


@dataclass(frozen=True)
class ScoreLimit:
    """Limit of a measure of the scores, beside one of the front end's output.

    Attributes
    ----------
    measure : str
        One of `MULTI_CLASS` or `BINARY`.
    limit : float
        A lower confidence is unknown.
    """

    measure: str
    limit: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.measure not in (*MULTI_CLASS, *BINARY) or not abs(self.limit) <= sys.float_info.max:
            raise ValueError(f"must have scores with a measure of scores and a finite limit; got {asdict(self)!r}")


@dataclass(frozen=True)
class Rejection:
    """A rule by which a classifier says "unknown".

    Attributes
    ----------
    measure : str
        One of `MEASURES`.
    limit : float
        A lower confidence is unknown.
    kept : float
        Share of known sounds that is promised to be kept, in (0, 1); by both limits together, if there are two.
    by : {"group", "clip"}
        Whether the promise is for a clip of a new group (speaker, device), or only for a clip like those of validation.
    frontend : FrontEndDistance or None
        What ``"frontend_distance"`` measures; None for every other measure.
    scores : ScoreLimit or None
        Second limit, of the scores; only with ``"frontend_distance"``.

    Raises
    ------
    ValueError
        If a value is out of range; the message completes "reject ...".
    """

    measure: str
    limit: float
    kept: float
    by: str = "group"
    frontend: FrontEndDistance | None = None
    scores: ScoreLimit | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.measure not in MEASURES or self.by not in PROMISES:
            raise ValueError(
                f"must have measure {', '.join(MEASURES)} and by group or clip; got {self.measure!r} and {self.by!r}"
            )
        if not abs(self.limit) <= sys.float_info.max or not 0 < self.kept < 1:
            raise ValueError(f"must have a finite limit and kept in (0, 1); got {self.limit!r} and {self.kept!r}")
        if (self.measure == FRONTEND) != (self.frontend is not None) or (self.scores and not self.frontend):
            raise ValueError(f"must have frontend if measure is {FRONTEND}, and only then frontend or scores")

    def plain(self) -> dict[str, object]:
        """Return the rule as JSON has it."""
        found: dict[str, object] = {key: getattr(self, key) for key in ("measure", "limit", "kept", "by")}
        if self.frontend is not None:
            found["frontend"] = frontend_distance.plain(self.frontend)
        if self.scores is not None:
            found["scores"] = asdict(self.scores)
        return found

    def sound(self, features: np.ndarray) -> np.ndarray | None:
        """Return how sure the rule is of front-end features by themselves: (n,) float64; None if it needs none.

        Parameters
        ----------
        features : np.ndarray, shape (n, n_steps, ...), float32
        """
        return None if self.frontend is None else self.frontend.confidence(features)

    def excess(
        self, outputs: np.ndarray, sound: np.ndarray | None = None, threshold: float | None = None
    ) -> np.ndarray:
        """Return how far clips lie above the limit: (...) float64; below 0 is unknown. Of two limits, the smaller one.

        Parameters
        ----------
        outputs : np.ndarray, shape (..., n_outputs)
            See `confidence`.
        sound : np.ndarray or None, shape (...)
            What `sound` returned for the same clips.
        threshold : float or None
            Decision threshold of a binary task.

        Examples
        --------
        >>> Rejection("margin", 0.25, 0.9).excess(np.array([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]])).round(3).tolist()
        [-0.25, 0.25]
        """
        if self.frontend is None:
            return confidence(outputs, self.measure, threshold) - self.limit
        if sound is None:
            raise ValueError("a rule by the front end's output needs its confidence")
        above = np.asarray(sound - self.limit)
        if self.scores is None:
            return above
        return np.minimum(above, confidence(outputs, self.scores.measure, threshold) - self.scores.limit)

    def condition(self) -> str:
        """Return when a clip is unknown, as a clause.

        >>> Rejection("max_probability", 0.4, 0.9).condition()
        'its max probability is below 0.4'
        """
        if self.frontend is None:
            return f"its {self.measure.replace('_', ' ')} is below {self.limit:.4g}"
        text = f"its distance from the training clips in the front end's output is above {-self.limit:.4g}"
        if self.scores is None:
            return text
        return f"{text}, or its {self.scores.measure.replace('_', ' ')} is below {self.scores.limit:.4g}"


def parse(values: Any, *, binary: bool) -> Rejection:
    """Return the rule of plain values, as JSON gives them.

    Parameters
    ----------
    values : Any
    binary : bool
        Whether the task is binary, which decides the measures that fit.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is of another type or out of range.

    Examples
    --------
    >>> parse({"measure": "margin", "limit": 0.2, "kept": 0.95}, binary=False).by
    'group'
    """
    needed, more = {"measure", "limit", "kept"}, {"by", "frontend", "scores"}
    if not isinstance(values, Mapping) or not needed <= set(values) <= needed | more:
        raise ValueError(f"must be an object of measure, limit, kept and by; got {values!r}")
    _require_numbers(values, ("limit", "kept"))
    suited = BINARY if binary else MULTI_CLASS
    if values["measure"] not in (*suited, FRONTEND):
        raise ValueError(f"must have a measure of its kind of task; got {values['measure']!r}")
    beside = None
    if "scores" in values:
        beside = values["scores"]
        if not isinstance(beside, Mapping) or set(beside) != {"measure", "limit"} or beside["measure"] not in suited:
            raise ValueError(
                f"must have scores as an object of measure, of its kind of task, and limit; got {beside!r}"
            )
        _require_numbers(beside, ("limit",))
    return Rejection(
        values["measure"],
        float(values["limit"]),
        float(values["kept"]),
        values.get("by", "group"),
        frontend_distance.parse(values["frontend"]) if "frontend" in values else None,
        None if beside is None else ScoreLimit(beside["measure"], float(beside["limit"])),
    )


def _require_numbers(values: Mapping[str, Any], names: tuple[str, ...]) -> None:
    numbers = [values[name] for name in names]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e300 for v in numbers):
        raise ValueError(f"must have numbers as {' and '.join(names)}; got {numbers!r}")


def confidence(outputs: np.ndarray, measure: str, threshold: float | None = None) -> np.ndarray:
    """Return how sure output vectors are, by a measure.

    Parameters
    ----------
    outputs : np.ndarray, shape (..., n_outputs)
        One output for a binary task: the positive score.
    measure : str
    threshold : float or None
        Decision threshold of a binary task.

    Returns
    -------
    np.ndarray, shape (...), float64

    Examples
    --------
    >>> float(confidence(np.array([0.7, 0.2, 0.1]), "margin").round(3))
    0.5
    >>> float(confidence(np.array([0.5]), "distance", 0.5))
    0.0
    """
    p = np.clip(np.asarray(outputs, np.float64), _LEAST, 1 - _LEAST)
    if measure == "distance":
        t = min(max(0.5 if threshold is None else threshold, _LEAST), 1 - _LEAST)
        return np.asarray(np.abs(np.log(p / (1 - p)) - np.log(t / (1 - t)))[..., 0])
    if measure == "entropy":
        return np.asarray((p * np.log(p)).sum(axis=-1))
    ordered = np.sort(p, axis=-1)
    return np.asarray(ordered[..., -1] - (ordered[..., -2] if measure == "margin" else 0.0))
