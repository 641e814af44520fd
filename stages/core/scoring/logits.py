"""Fit a scale and a shift of the logits on validation, so that scores are probabilities.

For a sigmoid it is Platt's scaling: a positive scale and a shift, so that ranks stay. For a softmax it is one
temperature for all classes, so that the order of a clip's classes stays; a shift per class is optional, and may change
which class wins. Where a clip's score is the mean of its crops, the mean is what is fitted.

Targets are Platt's, a little inside 0 and 1, so that scores that separate the clips perfectly give no infinite scale. A
fit is refused where validation is too small, or where its log loss on groups that it was not fitted on does not fall.

References
----------
Platt, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin Classifiers (1999), section 2.2.
Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2: temperature and vector scaling.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from stages.core.artifacts.network import ScoreCalibration

METHODS = ("temperature", "temperature_and_bias", "none")
MIN_GROUPS = 5
MIN_GROUPS_OF_CLASS = 3
FOLDS = 10
_FEW_BITS = 2.0**-16
"""Steps from which on scores are multiples of it, those near 0 too."""
_REACH = float(np.log(1000.0))  # of the logarithm of the scale


@dataclass(frozen=True)
class Logits:
    """Logits of labelled clips.

    Attributes
    ----------
    values : np.ndarray, shape (n, n_crops, n_outputs)
        One output for a binary task.
    y : np.ndarray, shape (n,) or, for a multi-label task, (n, n_outputs), int
    groups : np.ndarray, shape (n,), str
    """

    values: np.ndarray
    y: np.ndarray
    groups: np.ndarray

    @property
    def sigmoid(self) -> bool:
        """Whether every output is a probability of its own."""
        return self.values.shape[-1] == 1 or self.y.ndim == 2


def fit(logits: Logits, method: str) -> ScoreCalibration:
    """Fit a scale and a shift, or say why not.

    Parameters
    ----------
    logits : Logits
        Logits of the validation split.
    method : {"temperature", "temperature_and_bias", "none"}

    Returns
    -------
    ScoreCalibration
        Without effect (scales 1, shifts 0) where it was refused; `reason` says why. In a multi-label task every class
        is fitted or refused on its own.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(400, 1, 1))
    >>> y = (rng.random(400) < 1 / (1 + np.exp(-2 * z[:, 0, 0] - 1))).astype(int)
    >>> found = fit(Logits(z, y, np.arange(400).astype(str)), "temperature")
    >>> [round(x) for x in (*found.scale, *found.shift)]
    [2, 1]
    """
    n_outputs = logits.values.shape[-1]
    if method == "none":
        return _identity(n_outputs, "evaluate.decisions.calibration is none")
    values = np.asarray(logits.values, np.float64)
    if not logits.sigmoid:
        return _fit_one(values, logits.y, logits.groups, shifts=method == "temperature_and_bias")
    truths = [logits.y] if logits.y.ndim == 1 else list(logits.y.T)
    parts = [
        _fit_one(_against_zero(values[..., i]), truth, logits.groups, shifts=True) for i, truth in enumerate(truths)
    ]
    refused = [f"output {i}: {part.reason}" for i, part in enumerate(parts) if part.reason]
    return ScoreCalibration(
        scale=tuple(part.scale[-1] for part in parts),
        shift=tuple(part.shift[-1] for part in parts),
        n=len(values),
        groups=len(np.unique(logits.groups)),
        log_loss_before=round(float(np.mean([part.log_loss_before for part in parts])), 6),
        log_loss_after=round(float(np.mean([part.log_loss_after for part in parts])), 6),
        reason=parts[0].reason if len(parts) == 1 else "; ".join(refused),
    )


def scores(calibration: ScoreCalibration, logits: np.ndarray, *, sigmoid: bool) -> np.ndarray:
    """Return the calibrated scores of logits.

    Parameters
    ----------
    calibration : ScoreCalibration
    logits : np.ndarray, shape (n, n_crops, n_outputs)
    sigmoid : bool
        Else a softmax.

    Returns
    -------
    np.ndarray, shape (n, n_outputs)
        Means over crops.
    """
    z = np.asarray(calibration.scale) * logits + np.asarray(calibration.shift)
    found = _softmax(_against_zero(z))[..., 1] if sigmoid else _softmax(z)
    return np.asarray(found.mean(axis=1))


def resolution(scores: np.ndarray) -> float:
    """Return the step of scores near 1: that of 8 or 16 bits if all are multiples of it, else of their own type.

    Examples
    --------
    >>> resolution(np.array([0.5, 1.0, 3 / 256], np.float32))
    0.00390625
    >>> resolution(np.array([0.1, 1.0], np.float32)) == 2.0**-24
    True
    """
    for bits in (8, 15, 16):
        if np.array_equal(np.rint(scores * 2.0**bits), scores * 2.0**bits):
            return 2.0**-bits
    return float(np.finfo(scores.dtype).epsneg)


def before(
    calibration: ScoreCalibration, scores: np.ndarray, *, multi_label: bool, step: float | None = None
) -> np.ndarray:
    """Return the scores that a file would have given without its calibration, from those that it gives.

    Exact but for rounding where a clip has one crop.

    Parameters
    ----------
    calibration : ScoreCalibration
    scores : np.ndarray, shape (n,) or (n, n_classes)
        Calibrated. Scores of 0 and 1 count as half a step from them.
    multi_label : bool
        Whether every column is a probability of its own.
    step : float or None
        Step of the scores; None takes their `resolution`. Two files are compared by the larger of theirs.

    Examples
    --------
    >>> doubled = ScoreCalibration(scale=(2.0,), shift=(0.0,))
    >>> before(doubled, np.array([0.5, 0.8]), multi_label=False).round(3).tolist()
    [0.5, 0.667]
    """
    p = np.asarray(scores, np.float64)
    if not calibration.changes_scores:
        return p
    scale, shift = np.asarray(calibration.scale), np.asarray(calibration.shift)
    step = resolution(np.asarray(scores)) if step is None else step
    least = step / 2 if step >= _FEW_BITS else np.finfo(np.float32).tiny
    p = np.clip(p, least, 1 - step / 2)
    if p.ndim == 1 or multi_label:
        z = (np.log(p) - np.log1p(-p) - (shift[0] if p.ndim == 1 else shift)) / (scale[0] if p.ndim == 1 else scale)
        return np.asarray(1 / (1 + np.exp(-z)))
    return _softmax((np.log(p) - shift) / scale)


def _identity(n_outputs: int, reason: str, n: int = 0, groups: int = 0) -> ScoreCalibration:
    return ScoreCalibration(scale=(1.0,) * n_outputs, shift=(0.0,) * n_outputs, n=n, groups=groups, reason=reason)


def _fit_one(z: np.ndarray, y: np.ndarray, groups: np.ndarray, *, shifts: bool) -> ScoreCalibration:
    """Fit one softmax; a sigmoid is that of (0, logit)."""
    n, _, n_classes = z.shape
    names, membership = np.unique(groups, return_inverse=True)
    refused = _too_small(y, membership, len(names), n_classes)
    if refused:
        return _identity(n_classes, refused, n, len(names))
    part_of = membership % min(FOLDS, len(names))
    untouched, apart = _log_loss(z, y, np.ones(n_classes), np.zeros(n_classes)), np.empty(n)
    for part in np.unique(part_of):
        left_out = part_of == part
        scale, shift = _optimum(z[~left_out], y[~left_out], shifts=shifts)
        apart[left_out] = _log_loss(z[left_out], y[left_out], scale, shift)
    figures = (round(float(untouched.mean()), 6), round(float(apart.mean()), 6))
    if not figures[1] < figures[0]:
        reason = f"the log loss on groups left out does not fall ({figures[0]:.4f} to {figures[1]:.4f})"
        return _identity(n_classes, reason, n, len(names))
    scales, shifts_found = (tuple(float(f"{x:.6g}") for x in found) for found in _optimum(z, y, shifts=shifts))
    return ScoreCalibration(scales, shifts_found, n, len(names), *figures)


def _too_small(y: np.ndarray, membership: np.ndarray, n_groups: int, n_classes: int) -> str:
    if n_groups < MIN_GROUPS:
        return f"validation has {n_groups} groups; calibration needs {MIN_GROUPS}"
    if n_classes == 2:
        rarest = min(len(np.unique(membership[y == kind])) for kind in (0, 1))
        if rarest < MIN_GROUPS_OF_CLASS:
            return f"validation has {rarest} groups of a class; calibration needs {MIN_GROUPS_OF_CLASS}"
    return ""


def _optimum(z: np.ndarray, y: np.ndarray, *, shifts: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales and shifts, (n_classes,) each, of the lowest log loss with Platt's targets."""
    n, n_crops, n_classes = z.shape
    counts = np.bincount(y, minlength=n_classes)
    right = (counts + 1) / (counts + 2)
    targets = np.repeat(((1 - right) / (n_classes - 1))[y, np.newaxis], n_classes, axis=1)
    targets[np.arange(n), y] = right[y]

    # Standardised, so that a few steps suffice whatever the logits' spread is.
    centre = z.mean(axis=(0, 1)) if shifts else np.zeros(n_classes)
    spread = float((z - centre).std()) or 1.0
    x = (z - centre) / spread

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shift = np.exp(theta[0]), np.concatenate([[0.0], theta[1:]]) if shifts else np.zeros(n_classes)
        s = _softmax(scale * x + shift)
        p = np.maximum(s.mean(axis=1), 1e-300)
        slope = (-targets / p / n_crops)[:, np.newaxis]
        by_logit = s * (slope - (slope * s).sum(axis=-1, keepdims=True))
        gradient = [scale * (by_logit * x).sum(), *(by_logit.sum(axis=(0, 1))[1:] if shifts else ())]
        return float(-(targets * np.log(p)).sum()) / n, np.array(gradient) / n

    start = np.zeros(n_classes if shifts else 1)
    reach = np.log(spread) - _REACH, np.log(spread) + _REACH
    bounds = [reach] + [(None, None)] * (len(start) - 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "gtol": 1e-8}).x
    scale = float(np.exp(found[0])) / spread
    shift = np.concatenate([[0.0], found[1:]]) - scale * centre if shifts else np.zeros(n_classes)
    return np.full(n_classes, scale), shift - shift[0]


def _log_loss(z: np.ndarray, y: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    p = _softmax(scale * z + shift).mean(axis=1)
    return np.asarray(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-300)))


def _against_zero(z: np.ndarray) -> np.ndarray:
    """Return the logits whose softmax is (1 - p, p) of a sigmoid's p, on a new last axis."""
    return np.stack([np.zeros_like(z), z], axis=-1)


def _softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
