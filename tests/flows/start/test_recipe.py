"""What the lengths and the labels of recordings decide."""

from collections import Counter

import numpy as np
import pytest

from flows.start import frontend, recipe
from flows.start.survey import Survey


def lasting(*seconds: float) -> Survey:
    n = len(seconds)
    return Survey(n, np.array(seconds), Counter({16000: n}), {}, np.full(n, -3.0), np.full(n, 7000.0), (), 0)


@pytest.mark.parametrize(
    ("seconds", "clip_s", "options"),
    [
        ((0.5,) * 9 + (0.64,), 0.7, {}),
        ((5.0,) * 39 + (7.2,), 5.0, {}),
        ((10.0,) * 10, 10.0, {}),
        ((30.0,) * 10, 5.0, {"features.segment": {"hop_s": 5.0}}),
        ((6.0, 20.0) * 5, 5.0, {"features.segment": {"hop_s": 5.0}}),
        ((2.0,) * 6 + (20.0,) * 4, 5.0, {"features.segment": {"hop_s": 5.0}, "features.short": "repeat"}),
    ],
)
def test_long_recordings_are_heard_in_parts(
    seconds: tuple[float, ...], clip_s: float, options: dict[str, object]
) -> None:
    notes: list[str] = []
    found = frontend.clip(lasting(*seconds), notes)
    assert found.seconds == clip_s
    assert {choice.name: choice.value for choice in found.choices} == options
    assert found.of_recording == (np.ceil(np.array(seconds) / clip_s).mean() if "features.segment" in options else 1)
    if "features.segment" in options:
        assert "whole" not in found.why


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (("COVID-19", "healthy"), "COVID-19"),
        (("normal", "murmur"), "murmur"),
        (("NO_Queen", "Queen_Present"), "Queen_Present"),
        (("0", "1"), "1"),
        (("cat", "dog"), "dog"),
    ],
)
def test_positive_class(labels: tuple[str, str], positive: str) -> None:
    notes: list[str] = []
    choices = recipe._ordered(sorted(labels), "binary", recipe.Target(), notes)
    assert choices[0].value[-1] == positive
    assert bool(notes) == (labels == ("cat", "dog"))
