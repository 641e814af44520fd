"""The interval of a mean difference over cross-validation folds, whose training sets overlap."""

import math

import numpy as np
from scipy.stats import t as student


def corrected_interval(differences: np.ndarray, *, test_to_train: float, confidence: float) -> tuple[float, float]:
    """Return Nadeau and Bengio's interval of the mean difference.

    Two folds share most of their training clips, so that their differences are no independent draws; the variance of
    the mean is larger by the ratio of test to training clips.

    Parameters
    ----------
    differences : np.ndarray, shape (n_folds,)
        Difference of each fold, the mean over its seeds: seeds of one fold share its clips and count once.
    test_to_train : float
        Ratio of test clips to training clips; 0 where nothing overlaps.
    confidence : float

    Returns
    -------
    (low, high) : tuple[float, float]
        NaN for a single fold.

    References
    ----------
    Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52 (2003), section 3.

    >>> low, high = corrected_interval(np.array([0.01, 0.03, 0.02, 0.0, 0.04]), test_to_train=0.25, confidence=0.95)
    >>> round(low, 3), round(high, 3)
    (-0.009, 0.049)
    """
    n = len(differences)
    if n < 2:
        return float("nan"), float("nan")
    mean = float(differences.mean())
    error = math.sqrt((1 / n + test_to_train) * float(differences.var(ddof=1)))
    reach = float(student.ppf((1 + confidence) / 2, n - 1)) * error
    return mean - reach, mean + reach
