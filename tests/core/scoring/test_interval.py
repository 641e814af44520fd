import math

import pytest

from stages.core.artifacts.estimates import Estimate
from stages.core.scoring import interval


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.83, 0.76, 0.89), "0.830 [0.760, 0.890]"),
        (Estimate(0.83), "0.830"),
        (Estimate(0.83, 0.76, None), "0.830"),
        (Estimate(0.83, math.nan, math.nan), "0.830"),
        (Estimate(None, 0.1, 0.2), "–"),
        (Estimate(math.nan), "–"),
    ],
)
def test_text_of_an_estimate(estimate: Estimate, text: str) -> None:
    assert interval.text(estimate) == text


def test_differences_have_a_sign() -> None:
    assert interval.text(Estimate(0.02, -0.01, 0.05), digits=2, sign=True) == "+0.02 [-0.01, +0.05]"
    assert interval.bracket(None, 1.0, undefined="too few groups") == "too few groups"
    assert interval.number(None, undefined="undefined") == "undefined"
