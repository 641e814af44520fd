"""When a classifier says "unknown": its output vector, the confidence that it stands for, and the limit of that.

max_probability  the highest score (multi-class)
margin           the highest score minus the second highest (multi-class)
entropy          minus the entropy of the scores, in nats (multi-class)
distance         distance of the positive score from the decision threshold, both as logits (binary)

Scores count as at least 1e-6 and at most 1 - 1e-6. A confidence below the limit is "unknown".

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

MULTI_CLASS, BINARY = ("max_probability", "margin", "entropy"), ("distance",)
MEASURES = (*MULTI_CLASS, *BINARY)
PROMISES = ("group", "clip")
_LEAST = 1e-6


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
        Share of known sounds that is promised to be kept, in (0, 1).
    by : {"group", "clip"}
        Whether the promise is for a clip of a new group (speaker, device), or only for a clip like those of validation.

    Raises
    ------
    ValueError
        If a value is out of range; the message completes "reject ...".
    """

    measure: str
    limit: float
    kept: float
    by: str = "group"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.measure not in MEASURES or self.by not in PROMISES:
            raise ValueError(
                f"must have measure {', '.join(MEASURES)} and by group or clip; got {self.measure!r} and {self.by!r}"
            )
        if not abs(self.limit) <= sys.float_info.max or not 0 < self.kept < 1:
            raise ValueError(f"must have a finite limit and kept in (0, 1); got {self.limit!r} and {self.kept!r}")

    def plain(self) -> dict[str, object]:
        """Return the rule as JSON has it."""
        return asdict(self)


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
    keys = {"measure", "limit", "kept", "by"}
    if not isinstance(values, Mapping) or not keys - {"by"} <= set(values) <= keys:
        raise ValueError(f"must be an object of measure, limit, kept and by; got {values!r}")
    numbers = [values[name] for name in ("limit", "kept")]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e300 for v in numbers):
        raise ValueError(f"must have numbers as limit and kept; got {numbers!r}")
    if values["measure"] not in (BINARY if binary else MULTI_CLASS):
        raise ValueError(f"must have a measure of its kind of task; got {values['measure']!r}")
    return Rejection(values["measure"], float(numbers[0]), float(numbers[1]), values.get("by", "group"))


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
