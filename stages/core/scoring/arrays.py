"""Array operations that several metrics share."""

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray, defined: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Divide where `defined` holds, and return `otherwise` elsewhere.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]), np.array([True, False])).tolist()
    [0.5, nan]
    """
    return np.where(defined, numerator / np.where(defined, denominator, 1), otherwise)


def macro(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of the values that are not NaN; NaN where all are.

    >>> macro(np.array([[0.5, np.nan], [1.0, np.nan]])).tolist()
    [0.75, nan]
    """
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0), defined.any(axis=0))


def rounded(value: float | np.ndarray) -> float | None:
    """Return a number with six decimals, or None for NaN.

    >>> rounded(0.12345678), rounded(float("nan"))
    (0.123457, None)
    """
    return None if np.isnan(value) else round(float(value), 6)
