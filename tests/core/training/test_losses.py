"""Class weights of blended targets against sums by hand."""

from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.dataset import Split, indicators
from stages.core.nn.keras import tf
from stages.core.training import batches, losses
from stages.core.training.params import BetweenClass, FitParams


class Params(FitParams):
    SECTION = "train"


def epoch(y: np.ndarray, **augmentation: Any) -> np.ndarray:
    """Return the targets of an epoch of one batch."""
    n, labels = len(y), ("a", "b")
    names = np.array([str(i) for i in range(n)])
    x = np.random.default_rng(0).normal(size=(n, 40, 1)).astype(np.float32)
    split = Split(x, y, names, names, names, labels, sample_rate=100, bands=())
    targets = indicators(y, 2).astype(np.float32)
    return batches.batch(split, targets, np.arange(n), Params(**augmentation), np.random.default_rng(1))[1]


@pytest.mark.parametrize("augmentation", [{"mixup": 0.4}, {"mixup": 1.0}, {}])
def test_every_class_has_the_same_total_weight_whether_or_not_clips_are_blended(augmentation: Any) -> None:
    y = (np.arange(4000) % 5 == 0).astype(int)
    targets, clip_weights = losses.weigh(epoch(y, **augmentation), losses.class_weights(y, 2))
    totals = (targets * clip_weights[:, np.newaxis]).sum(axis=0)
    assert totals[1] / totals.sum() == pytest.approx(0.5, abs=0.01)


def test_between_classes_have_the_weights_of_their_shares() -> None:
    """Every blend is of one clip of either class, so that a fifth more of the rare class is heard than there is."""
    y = (np.arange(1000) % 5 == 0).astype(int)
    blended = epoch(y, between_class=BetweenClass())
    targets, clip_weights = losses.weigh(blended, losses.class_weights(y, 2))
    np.testing.assert_allclose(targets * clip_weights[:, np.newaxis], blended * [0.625, 2.5], rtol=1e-5)


def test_presence_and_absence_balance_in_a_multi_label_task() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random((4000, 2)) < [0.1, 0.6]).astype(int)
    targets, weights = losses.weigh(epoch(y, mixup=0.4), losses.class_weights(y, 2))
    present = (targets * weights).sum(axis=0) / weights.sum(axis=0)
    np.testing.assert_allclose(present, 0.5, atol=0.01)


def test_hard_targets_stay_to_the_bit() -> None:
    y = np.arange(30) % 3
    hard = indicators(y, 3).astype(np.float32)
    targets, clip_weights = losses.weigh(hard, losses.class_weights(y, 3))
    assert targets.tobytes() == hard.tobytes()
    assert clip_weights.tobytes() == losses.class_weights(y, 3)[y].tobytes()


def test_the_loss_is_the_weighted_sum_over_classes() -> None:
    """Of soft targets t and class weights w: -sum of w t log p."""
    rng = np.random.default_rng(5)
    t, p = (rng.dirichlet(np.ones(3), 7).astype(np.float32) for _ in range(2))
    w = np.array([0.5, 1.0, 3.0], np.float32)
    targets, clip_weights = losses.weigh(t, w)
    got = clip_weights * losses.cross_entropy(tf.constant(targets), tf.constant(p), False).numpy()
    np.testing.assert_allclose(got, -(w * t * np.log(p)).sum(axis=1), rtol=1e-5)
