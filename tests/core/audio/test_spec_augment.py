import dataclasses

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from stages.core.audio.spec_augment import Masks, mask
from stages.core.project.errors import ParameterError
from stages.core.project.params import load

FRAMES, BANDS = 60, 40


def spectrogram(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-80, 0, (FRAMES, BANDS)).astype(np.float32)


def runs(flags: np.ndarray) -> list[int]:
    """Return the lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(np.diff(edges)[::2])


@given(st.integers(0, 9), st.text(max_size=8), st.integers(1, BANDS), st.integers(1, FRAMES), st.booleans())
def test_a_mask_is_whole_bands_and_whole_frames_at_one_level(
    seed: int, clip_id: str, frequency: int, time: int, as_published: bool
) -> None:
    levels = spectrogram(seed)
    before = levels.copy()
    masks = Masks(frequency=min(frequency, FRAMES), time=min(time, BANDS), as_published=as_published)
    masked = mask(levels, masks, clip_id)
    np.testing.assert_array_equal(levels, before)
    assert masked.dtype == np.float32
    painted = masked != levels
    level = levels.max() if as_published else levels.min()
    assert (masked[painted] == level).all()
    silent = masked == level
    bands, frames = silent.all(axis=0), silent.all(axis=1)
    np.testing.assert_array_equal(painted, (bands | frames[:, None]) & (levels != level))
    for drawn, largest in (
        ((frames, masks.frequency), (bands, masks.time))
        if as_published
        else (
            (bands, masks.frequency),
            (frames, masks.time),
        )
    ):
        assert len(runs(drawn)) <= 1
        assert drawn.sum() < largest


def test_every_width_and_every_place_is_as_likely_as_in_tensorflow_io() -> None:
    levels = spectrogram(0)
    masks = Masks(frequency=10, time=1)  # a time mask of no width
    bands = [(mask(levels, masks, str(i)) != levels).sum(axis=0) > 1 for i in range(2000)]
    widths = np.array([b.sum() for b in bands])
    assert scipy.stats.chisquare(np.bincount(widths, minlength=10)).pvalue > 0.01
    starts = np.array([b.argmax() / (BANDS - b.sum()) for b in bands if b.any()])
    assert scipy.stats.kstest(starts + 0.5 / BANDS, "uniform").pvalue > 0.01


def test_a_draw_depends_on_the_clip_and_the_seed_alone() -> None:
    levels, masks = spectrogram(0), Masks()
    first = mask(levels, masks, "a.mask1")
    np.random.default_rng().random()
    np.testing.assert_array_equal(mask(levels, masks, "a.mask1"), first)
    assert not np.array_equal(mask(levels, masks, "a.mask2"), first)
    assert not np.array_equal(mask(levels, dataclasses.replace(masks, seed=1), "a.mask1"), first)


def test_several_masks_and_none() -> None:
    levels = spectrogram(0)
    np.testing.assert_array_equal(mask(levels, Masks(n_frequency=0, n_time=0), "a"), levels)
    many = [
        runs((mask(levels, Masks(frequency=6, n_frequency=3, n_time=0), str(i)) != levels).any(0)) for i in range(9)
    ]
    assert max(map(len, many)) == 3


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"frequency": 0}, r"augment\.masks\.frequency must be at least 1; got 0"),
        ({"n_time": -1}, r"augment\.masks\.n_time must be 0 or more; got -1"),
        ({"copies": {"all": 101}}, r"augment\.masks\.copies\.all must be from 0 to 100; got 101"),
        ({"copies": 2}, r"augment\.masks\.copies must be a table"),
    ],
)
def test_wrong_params_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        load(Masks, values, "augment.masks")


def test_masks_must_fit_the_spectrogram() -> None:
    Masks(frequency=40, time=60).require_room(60, 40)
    with pytest.raises(ParameterError, match=r"augment\.masks\.frequency .*20 bands; got 30"):
        Masks().require_room(60, 20)
    with pytest.raises(ParameterError, match=r"augment\.masks\.time .*20 bands; got 30"):
        Masks(as_published=True).require_room(60, 20)
