"""Which cases of a law `make test` runs, and which only `make test-all`."""

from collections.abc import Iterable
from typing import Any

import pytest


def thorough_but(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """Return the cases to parametrise a test by, all of them marked thorough but those kept."""
    listed = list(cases)
    assert set(kept) <= set(listed), f"not among the cases: {set(kept) - set(listed)}"
    values = [case if isinstance(case, tuple) else (case,) for case in listed]
    marks = [() if case in kept else pytest.mark.thorough for case in listed]
    return [pytest.param(*value, marks=mark) for value, mark in zip(values, marks, strict=True)]
