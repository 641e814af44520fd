import functools

import numpy as np
import pytest
from scipy import stats as oracle

from stages.core.artifacts.estimates import Estimate
from stages.core.scoring import uncertainty
from stages.core.scoring.folds import corrected_interval
from stages.core.scoring.resampling import Draws, Measured


def draws_of(n: int, resamples: int = 400) -> Draws:
    return Draws.of(np.arange(n) % 2, np.arange(n).astype(str), 2, resamples=resamples, seed=1)


def mean_of(draws: Draws, values: np.ndarray) -> Measured:
    return draws.measure(lambda weights: weights @ values / weights.sum(axis=1))


def test_the_interval_of_independent_clips_is_clopper_and_pearson_s() -> None:
    draws = draws_of(400)
    right = np.repeat([1.0, 0.0], [320, 80])[np.random.default_rng(1).permutation(400)]
    low, high = uncertainty.fraction_interval(mean_of(draws, right), draws, confidence=0.95, by_class=False)
    exact = oracle.binomtest(320, 400).proportion_ci(0.95)
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=0.006)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_nothing_varies_the_bound_is_exact(value: float) -> None:
    draws = draws_of(12)
    low, high = uncertainty.fraction_interval(
        mean_of(draws, np.full(12, value)), draws, confidence=0.95, by_class=False
    )
    exact = oracle.binomtest(int(12 * value), 12).proportion_ci(0.95)
    assert (low, high) == pytest.approx((exact.low, exact.high))


def test_the_interval_of_a_difference_is_student_s_of_the_pairs() -> None:
    draws, differences = draws_of(30), np.random.default_rng(2).normal(0.1, 0.2, 30)
    same_strata = Draws.of(np.zeros(30, int), draws.groups, 2, resamples=1, seed=1)
    measured = mean_of(same_strata, differences)
    low, high = uncertainty.difference_interval(measured, same_strata, confidence=0.95)
    exact = oracle.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((exact.low, exact.high), rel=1e-6)


def test_a_difference_that_no_group_moves_may_still_be_one() -> None:
    draws = draws_of(52)
    low, high = uncertainty.difference_interval(mean_of(draws, np.zeros(52)), draws, confidence=0.95)
    assert (low, high) == pytest.approx((-(1 - 0.025 ** (1 / 52)), 1 - 0.025 ** (1 / 52)))


def test_bounds_hold_all_together_as_often_as_they_promise() -> None:
    rng, held, alone = np.random.default_rng(7), 0, 0
    for _ in range(300):
        sample = rng.standard_normal((60, 8)) + rng.standard_normal((60, 1))  # eight values, correlated, truly 0
        draws = rng.multinomial(60, np.full(60, 1 / 60), size=400) / 60
        mean, resampled = sample.mean(axis=0), draws @ sample
        bounds = uncertainty.simultaneous_upper_bounds(mean, resampled, confidence=0.9, n_groups=60)
        held += bool((bounds >= 0).all())
        alone += bool((np.quantile(resampled, 0.9, axis=0) >= 0).all())
    assert held / 300 >= 0.9
    assert alone < held


def test_no_bound_is_below_what_groups_that_were_not_seen_could_do() -> None:
    still, rng = np.zeros((500, 1)), np.random.default_rng(1)
    bounds = uncertainty.simultaneous_upper_bounds(np.zeros(1), still, confidence=0.95, n_groups=163)
    assert bounds == pytest.approx(1 - 0.05 ** (1 / 163))
    both = np.hstack([np.full((500, 1), 0.25), rng.standard_normal((500, 1))])
    first, second = uncertainty.simultaneous_upper_bounds(
        np.array([0.25, 0.0]), both, confidence=0.95, n_groups=1000
    ).tolist()
    assert second == pytest.approx(1.96, abs=0.2)
    assert first - 0.25 == pytest.approx(second), "all bounds reach as far"
    nothing = np.full((3, 1), np.nan)
    assert np.isnan(uncertainty.simultaneous_upper_bounds(np.zeros(1), nothing, confidence=0.9, n_groups=9)).all()


def test_folds_that_share_their_training_clips_are_less_sure() -> None:
    differences = np.array([0.01, 0.03, 0.02, 0.0, 0.04])
    low, high = corrected_interval(differences, test_to_train=0.0, confidence=0.95)
    exact = oracle.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((exact.low, exact.high))
    wide = corrected_interval(differences, test_to_train=0.25, confidence=0.95)
    assert (wide[1] - wide[0]) / (high - low) == pytest.approx(np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert np.isnan(corrected_interval(differences[:1], test_to_train=0.25, confidence=0.95)).all()


def test_a_difference_of_independent_figures_covers_as_often_as_it_promises() -> None:
    @functools.cache
    def share(k: int, n: int) -> Estimate:
        exact = oracle.binomtest(k, n).proportion_ci(0.95)
        return Estimate(k / n, exact.low, exact.high)

    rng, hits = np.random.default_rng(3), 0
    for _ in range(1000):
        found = [share(int(rng.binomial(n, truth)), n) for truth, n in ((0.95, 40), (0.8, 25))]
        difference = uncertainty.independent_difference(*found)
        assert difference.low is not None
        assert difference.high is not None
        hits += difference.low <= 0.15 <= difference.high
    assert hits >= 945


def test_a_difference_of_figures_without_intervals_says_why() -> None:
    few = Estimate(0.5, reason="4 groups; an interval needs 10")
    found = uncertainty.independent_difference(Estimate(0.9, 0.8, 0.95), few)
    assert (found.value, found.low, found.reason) == (0.4, None, "4 groups; an interval needs 10")
    assert (
        uncertainty.independent_difference(Estimate(0.9, 0.8, 0.95), Estimate(None, reason="one class")).value is None
    )
