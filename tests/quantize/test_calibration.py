import numpy as np
import pytest

from stages.core.project.errors import DataError, ParameterError
from stages.quantize import post_training, ranges
from stages.quantize.calibration import calibration_set
from stages.quantize.params import CALIBRATIONS, ROUNDINGS, QuantizeParams

X = np.arange(300, dtype=np.float32).reshape(100, 3)


def test_the_seed_decides_which_clips_and_they_keep_their_order() -> None:
    chosen = calibration_set(X[:, None], n=10, seed=1)
    np.testing.assert_array_equal(chosen, calibration_set(X[:, None], n=10, seed=1))
    assert not np.array_equal(chosen, calibration_set(X[:, None], n=10, seed=2))
    assert (np.diff(chosen[:, 0]) > 0).all()  # in order and each at most once
    assert all(row.tolist() in X.tolist() for row in chosen)


def test_all_clips_can_be_asked_for_and_the_source_stays_untouched() -> None:
    chosen = calibration_set(X[:, None], n=100, seed=1)
    np.testing.assert_array_equal(chosen, X)
    chosen[:] = 0
    assert X[1, 0] == 3


def test_one_crop_of_a_clip_is_taken() -> None:
    chosen = calibration_set(X.reshape(20, 5, 3), n=20, seed=1)
    assert (chosen[:, 0] // 15 == np.arange(20)).all()
    assert len(set(chosen[:, 0] // 3 % 5)) > 1


def test_more_clips_than_there_are_is_an_error() -> None:
    with pytest.raises(ParameterError, match=r"quantize.calibration_clips .*1 and the 100 clips .*got 101"):
        calibration_set(X[:, None], n=101, seed=1)


def test_broken_features_are_refused() -> None:
    with pytest.raises(DataError, match="hold NaN or infinity"):
        calibration_set(np.full((4, 1, 2), np.nan, np.float32), n=2, seed=1)


@pytest.mark.parametrize(("field", "number"), [("calibration_clips", 0), ("seed", -1)])
def test_parameters_out_of_range_are_refused(field: str, number: int) -> None:
    with pytest.raises(ParameterError, match=f"quantize.{field} must be"):
        QuantizeParams(**{field: number})  # type: ignore[arg-type]


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"Did you mean 'static_wi8_ai8'.*dynamic_wi8_afp32"):
        QuantizeParams().scheme("static_wi8_a8")


def test_the_general_method_goes_to_static_schemes_and_their_own_option_first() -> None:
    params = QuantizeParams(calibration="mse", options={"static_wi4_ai8": {"calibration": "percentile"}})
    methods = {name: params.scheme(name)[1].calibration for name in ("static_wi8_ai8", "static_wi4_ai8")}
    assert methods == {"static_wi8_ai8": "mse", "static_wi4_ai8": "percentile"}
    assert params.scheme("float16")  # has no use for it


def test_an_unknown_method_is_refused_and_the_known_ones_are_listed() -> None:
    assert set(CALIBRATIONS) == set(ranges.METHODS)
    assert set(ROUNDINGS) == set(post_training.METHODS)
    with pytest.raises(ParameterError, match=r"quantize\.calibration must .*got 'kl'"):
        QuantizeParams(calibration="kl")
