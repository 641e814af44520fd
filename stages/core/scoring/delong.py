"""DeLong's test of two areas under the ROC curve."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True)
class DeLong:
    """Two areas under the ROC curve of the same clips, compared.

    Attributes
    ----------
    auc_a, auc_b : float
    variance : float
        Variance of ``auc_a - auc_b``.
    p_value : float
        Two-sided, that the two areas are the same; 1 if the scores rank alike.
    """

    auc_a: float
    auc_b: float
    variance: float
    p_value: float


def delong(positive: np.ndarray, a: np.ndarray, b: np.ndarray) -> DeLong:
    """Compare two classifiers' ROC-AUC on the same clips, taken as independent of each other.

    Parameters
    ----------
    positive : np.ndarray, shape (n,), bool
        At least two clips of either class.
    a, b : np.ndarray, shape (n,)
        Scores.

    Returns
    -------
    DeLong
        Where the areas differ and no clip's part in it does, the variance is 0 and says nothing; the p-value then is
        that of a sign test over as many disjoint pairs of a positive and a negative clip as there are.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (1988); the mid-rank form is by Sun and Xu, IEEE SPL 21 (2014).

    >>> positive = np.arange(12) < 6
    >>> delong(positive, positive * 1.0, 1.0 - positive).p_value
    0.03125
    """
    positive = np.asarray(positive, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    of_positives, of_negatives = [], []  # how far each clip is ranked right, per classifier
    for scores in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)):
        x, y = scores[positive], scores[~positive]
        among_all = rankdata(np.concatenate([x, y]))
        of_positives.append((among_all[:n_positive] - rankdata(x)) / n_negative)
        of_negatives.append(1 - (among_all[n_positive:] - rankdata(y)) / n_positive)
    (auc_a, auc_b) = (float(values.mean()) for values in of_positives)
    gained_positives, gained_negatives = of_positives[0] - of_positives[1], of_negatives[0] - of_negatives[1]
    variance = float(gained_positives.var(ddof=1) / n_positive + gained_negatives.var(ddof=1) / n_negative)
    difference = abs(auc_a - auc_b)
    if variance > 1e-15:
        return DeLong(auc_a, auc_b, variance, math.erfc(difference / math.sqrt(2 * variance)))
    p_value = 1.0 if difference < 1e-12 else 2 * 0.5 ** min(n_positive, n_negative)
    return DeLong(auc_a, auc_b, variance, p_value)
