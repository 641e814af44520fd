import pytest

from stages.core.project.errors import DataError
from stages.core.scoring.baseline import baseline, is_baseline
from tests import examples


def test_the_baseline_is_the_unpruned_float32_variant() -> None:
    pruned = examples.variant("pruned", schedule="constant")
    narrow = examples.variant("narrow", scheme="float16")
    whole = examples.variant("whole")
    assert [is_baseline(each) for each in (pruned, narrow, whole)] == [False, False, True]
    assert baseline([pruned, narrow, whole]) is whole
    with pytest.raises(DataError, match=r"must hold the float32 baseline.*sweep\.schemes"):
        baseline([pruned, narrow])
