"""Predictive values of a binary decision: what a positive and a negative answer are worth at a given prevalence."""

PREVALENCES = (0.01, 0.1, 0.5)
"""Prevalences for which predictive values are stated, beside that of the test split."""


def rates(*, n: int, positives: int, accuracy: float, f1: float) -> tuple[float, float]:
    """Return sensitivity and specificity of the decisions whose accuracy and F1 score are known.

    Parameters
    ----------
    n, positives : int
        Clips, and those of the positive class; neither class is empty.
    accuracy, f1 : float

    >>> rates(n=10, positives=4, accuracy=0.8, f1=0.75)
    (0.75, 0.8333333333333334)
    """
    errors = round(n * (1 - accuracy))
    hits = positives if f1 >= 1 else min(round(f1 * errors / (2 * (1 - f1))), positives)
    false_alarms = errors - (positives - hits)
    return hits / positives, 1 - false_alarms / (n - positives)


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """Return the positive and the negative predictive value; None where that answer is never given.

    >>> ppv, npv = predictive_values(0.9, 0.9, 0.01)
    >>> round(ppv, 3), round(npv, 4)
    (0.083, 0.9989)
    """
    hits, misses = sensitivity * prevalence, (1 - sensitivity) * prevalence
    alarms, rejections = (1 - specificity) * (1 - prevalence), specificity * (1 - prevalence)
    positive = hits / (hits + alarms) if hits + alarms > 0 else None
    negative = rejections / (rejections + misses) if rejections + misses > 0 else None
    return positive, negative
