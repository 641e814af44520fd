from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from stages.core.scoring.delong import delong


def test_delong_gives_the_published_comparison() -> None:
    """113 patients after subarachnoid haemorrhage: Turck et al., Intensive Care Medicine 36 (2010).

    The areas, Z and p are what pROC prints for them: Robin et al., BMC Bioinformatics 12:77 (2011).
    """
    poor, wfns, s100b = np.loadtxt(Path(__file__).with_name("asah.csv"), delimiter=",", skiprows=1).T
    found = delong(poor == 1, wfns, s100b)
    assert found.auc_a == pytest.approx(0.8236789, abs=1e-7)
    assert found.auc_b == pytest.approx(0.7313686, abs=1e-7)
    assert (found.auc_a - found.auc_b) / np.sqrt(found.variance) == pytest.approx(2.209, abs=5e-4)
    assert found.p_value == pytest.approx(0.02718, abs=5e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_delong_by_its_definition_and_alike_from_either_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(14) < 6)
    a, b = np.round(rng.uniform(size=(2, 14)), 1)

    def placements(scores: np.ndarray) -> np.ndarray:
        return np.array([[(x > y) + (x == y) / 2 for y in scores[~positive]] for x in scores[positive]])

    gained = placements(a) - placements(b)
    variance = gained.mean(axis=1).var(ddof=1) / 6 + gained.mean(axis=0).var(ddof=1) / 8
    found, other = delong(positive, a, b), delong(positive, b, a)
    assert (found.auc_a, found.auc_b) == pytest.approx((roc_auc_score(positive, a), roc_auc_score(positive, b)))
    assert found.variance == pytest.approx(variance, abs=1e-12)
    assert (other.variance, other.p_value) == pytest.approx((found.variance, found.p_value))
    assert delong(positive, a, 3 * a).p_value == 1


def test_an_area_of_1_and_one_of_0_are_not_the_same() -> None:
    positive = np.arange(20) < 10
    found = delong(positive, positive * 1.0, ~positive * 1.0)
    assert (found.auc_a, found.auc_b, found.variance) == (1, 0, 0)
    assert found.p_value == 2 * 0.5**10
    assert delong(positive, positive * 1.0, positive * 1.0).p_value == 1
