from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.wav_fuzz import Case, cases, violation


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.wav"


@pytest.mark.thorough
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_any_header_gives_the_right_samples_or_one_sentence_at_home_and_on_the_device(path: Path, case: Case) -> None:
    assert violation(case, path) is None
