"""Confidence intervals of fractions and of differences, from groups.

The percentile bootstrap covers 0.39 to 0.65 of 0.95 with 3 groups and 0.84 to 0.89 with 10, and gives [1.0, 1.0] for a
perfect score. The methods here were chosen by simulation (`python -m tests.bench.coverage`): they hold at least 0.93
from 10 groups on, and an interval is refused below that (`stages.core.scoring.resampling.Draws.refusal`).
"""

import math

import numpy as np
from scipy.stats import beta, norm
from scipy.stats import t as student

from stages.core.artifacts.estimates import Estimate
from stages.core.scoring.arrays import rounded
from stages.core.scoring.resampling import Draws, Measured

_STILL = 1e-15  # a variance below this is that of a figure that no group moves


def variance(measured: Measured, draws: Draws) -> float:
    """Return the variance of a figure over samples of groups: the larger of jackknife's and bootstrap's.

    The jackknife is right for smooth metrics and erratic for the sensitivity at a specificity; the bootstrap, corrected
    by n / (n - 1), is the other way round when groups are few.
    """
    left_out = measured.left_out[~np.isnan(measured.left_out)]
    if len(left_out) < 2:
        return float("nan")
    jackknife = (len(left_out) - 1) * left_out.var()
    resampled = measured.resampled[~np.isnan(measured.resampled)]
    bootstrap = resampled.var() * draws.n_groups / (draws.n_groups - 1) if len(resampled) else 0.0
    return float(max(jackknife, bootstrap))


def degrees_of_freedom(measured: Measured, draws: Draws) -> float:
    """Return Welch and Satterthwaite's degrees of freedom of the variance, each class of groups being a stratum.

    References
    ----------
    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2 (1946).
    """
    parts = []
    for stratum in np.unique(draws.strata):
        values = measured.left_out[draws.strata == stratum]
        values = values[~np.isnan(values)]
        if len(values) > 1:
            parts.append((len(values) * values.var(), len(values) - 1))
    total = sum(part for part, _ in parts)
    squares = sum(part**2 / freedom for part, freedom in parts)
    return max(total**2 / squares, 1.0) if squares > 0 else max(draws.n_groups - 1.0, 1.0)


def fraction_interval(
    measured: Measured, draws: Draws, *, confidence: float, by_class: bool, n_parts: int = 1
) -> tuple[float, float]:
    """Return the interval of a metric in [0, 1], after Korn and Graubard.

    The variance over groups gives the number of independent clips that would be as sure, shortened by the ratio of the
    normal quantile to Student's; Clopper and Pearson's exact interval follows for that number. Where no group moves the
    metric, as at an AUC of 1.0, the number is that of the groups (`by_class`: of the disjoint pairs of groups of two
    classes), which bounds it exactly.

    Parameters
    ----------
    measured : Measured
    draws : Draws
    confidence : float
        In (0, 1), e.g. 0.95.
    by_class : bool
        Whether the metric compares classes.
    n_parts : int
        Number of metrics that it is the mean of: classes of a macro average.

    References
    ----------
    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 24 (1998).

    >>> draws = Draws.of(np.arange(20) % 2, np.arange(20).astype(str), 2, resamples=200, seed=1)
    >>> always_right = draws.measure(lambda weights: weights @ np.ones(20) / weights.sum(axis=-1))
    >>> low, high = fraction_interval(always_right, draws, confidence=0.95, by_class=False)
    >>> round(low, 3), high  # 0.025 ** (1 / 20)
    (0.832, 1.0)
    """
    value, error = min(max(measured.value, 0.0), 1.0), 1 - confidence
    spread = variance(measured, draws)
    if spread <= _STILL or value in (0.0, 1.0):
        n = float(independent(draws, by_class=by_class))
    else:
        n = min(value * (1 - value) / spread, float(len(draws.groups) * n_parts))
        freedom = degrees_of_freedom(measured, draws)
        n *= (norm.ppf(1 - error / 2) / student.ppf(1 - error / 2, freedom)) ** 2
    hits = value * n
    low = float(beta.ppf(error / 2, hits, n - hits + 1)) if value > 0 else 0.0
    high = float(beta.ppf(1 - error / 2, hits + 1, n - hits)) if value < 1 else 1.0
    return low, high


def difference_interval(
    measured: Measured, draws: Draws, *, confidence: float, decisions: bool = False
) -> tuple[float, float]:
    """Return the interval of a difference of two metrics of the same clips, by Student's t over the groups.

    Where no group moves the difference, it reaches as far as groups that were not seen could: each side to
    1 - (error / 2) ** (1 / n_groups).

    Parameters
    ----------
    measured : Measured
        A `Measured` minus another.
    draws : Draws
    confidence : float
    decisions : bool
        Whether the metrics count decisions, of which few differ: then one more group on either side is supposed to
        differ, as Bonett and Price do for paired proportions.

    References
    ----------
    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", Journal of Educational and Behavioral Statistics 37 (2012).
    """
    error, n = 1 - confidence, draws.n_groups
    spread = variance(measured, draws)
    if spread <= _STILL:
        reach = unseen(n, error / 2)
    else:
        added = 2 / (n + 2) ** 2 if decisions else 0.0
        quantile = float(student.ppf(1 - error / 2, degrees_of_freedom(measured, draws)))
        reach = quantile * math.sqrt(spread + added)
    return max(measured.value - reach, -1.0), min(measured.value + reach, 1.0)


def independent_difference(first: Estimate, second: Estimate) -> Estimate:
    """Return an estimate minus one that is independent of it, with an interval made of their two.

    Parameters
    ----------
    first, second : Estimate
        Estimates over disjoint groups, with intervals of the same confidence.

    Returns
    -------
    Estimate
        Without an interval where one of the two has none.

    References
    ----------
    Zou and Donner, "Construction of confidence limits about effect measures: A general approach", Statistics in
    Medicine 27 (2008); of two proportions it is method 10 of Newcombe, Statistics in Medicine 17 (1998).

    >>> found = independent_difference(Estimate(0.8, 0.6916, 0.8769), Estimate(0.6, 0.4905, 0.7004))
    >>> found.value, round(found.low, 3), round(found.high, 3)  # Newcombe: 56 of 70, 48 of 80
    (0.2, 0.052, 0.334)
    """
    a, b = first.value, second.value
    if a is None or b is None:
        return Estimate(None, reason=first.reason or second.reason)
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Estimate(rounded(a - b), reason=first.reason or second.reason)
    low, high = math.hypot(a - first.low, second.high - b), math.hypot(first.high - a, b - second.low)
    return Estimate(rounded(a - b), rounded(a - b - low), rounded(a - b + high))


def mean_interval(measured: Measured, draws: Draws, *, confidence: float) -> tuple[float, float]:
    """Return Student's interval of a figure over the groups."""
    quantile = float(student.ppf((1 + confidence) / 2, degrees_of_freedom(measured, draws)))
    reach = quantile * math.sqrt(variance(measured, draws))
    return measured.value - reach, measured.value + reach


def simultaneous_upper_bounds(
    values: np.ndarray, resampled: np.ndarray, *, confidence: float, n_groups: int, effective_groups: int | None = None
) -> np.ndarray:
    """Return bounds that all the true values lie below at once, with the given confidence.

    The bootstrap distribution of the largest absolute deviation, the same for all, allows for however many values are
    looked at, and for how alike they are. It is not divided by standard errors: where a variant differs from the
    baseline in a handful of clips, its standard error is known least where it looks smallest, and studentised bounds
    fail in 32 to 81 % of runs instead of 5 %. No bound is below what no group could have shown (`unseen`).

    Parameters
    ----------
    values : np.ndarray, shape (k,)
    resampled : np.ndarray, shape (resamples, k)
        The same resamples for every value. A resample with a NaN is left out.
    confidence : float
        In (0, 1), of all k statements together.
    n_groups : int
        Groups that were drawn.
    effective_groups : int, optional
        Groups that the smallest variance is estimated from, for Student's quantile; by default all.

    Returns
    -------
    np.ndarray, shape (k,)
        NaN if no resample is defined.

    References
    ----------
    Westfall and Young, *Resampling-Based Multiple Testing* (1993), section 2.6 (single-step maximum); Hall, "On
    symmetric bootstrap confidence intervals", JRSS B 50 (1988).

    >>> still = np.zeros((100, 1))
    >>> simultaneous_upper_bounds(np.zeros(1), still, confidence=0.95, n_groups=52).round(3).tolist()
    [0.056]
    """
    defined = resampled[~np.isnan(resampled).any(axis=1)]
    if not len(defined):
        return np.full(len(values), np.nan)
    freedom = max((effective_groups or n_groups) - 1, 1)
    wider = math.sqrt(n_groups / max(n_groups - 1, 1)) * student.ppf(confidence, freedom) / norm.ppf(confidence)
    reach = float(np.quantile(np.abs(values - defined).max(axis=1), confidence)) * max(wider, 1.0)
    bounds: np.ndarray = np.maximum(values + reach, unseen(n_groups, 1 - confidence))
    return bounds


def unseen(n_groups: int, error: float) -> float:
    """Return the fraction of all groups that may differ although none of `n_groups` did, but for the given error.

    >>> round(unseen(163, 0.05), 4)
    0.0182
    """
    return float(1 - error ** (1 / n_groups))


def independent(draws: Draws, *, by_class: bool) -> int:
    """Return how many independent trials a figure that no group moves stands for.

    They are the groups; of a metric that compares classes, pairs of groups that share none, one of each class.
    """
    return max(min(draws.rarest_class_groups, draws.n_groups // 2), 1) if by_class else draws.n_groups
