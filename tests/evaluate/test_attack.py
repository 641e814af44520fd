"""Attacks against their closed form on a linear network, and against random perturbations of the same size."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from stages.core.artifacts.dataset import Split
from stages.core.nn.keras import keras
from stages.evaluate import attack

pytestmark = pytest.mark.thorough


def split_of(x: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> Split:
    names = np.arange(len(y)).astype(str)
    return Split(x=x, y=y, clip_ids=names, groups=names, sites=np.full(len(y), ""), labels=labels)


def dense(n_outputs: int, activation: str, kernel: np.ndarray) -> "keras.Model":
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(n_outputs, activation, use_bias=False)])
    model.set_weights([kernel])
    return model


def test_one_step_on_a_linear_network_is_its_closed_form_and_several_come_to_the_same() -> None:
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(6, 1)).astype(np.float32)
    y = (rng.random(50) < 0.5).astype(np.int64)
    split = split_of(x, y, ("no", "yes"))
    away = np.where(y == 1, -1, 1)[:, np.newaxis] * np.sign(kernel[:, 0])
    expected = x + x.std(axis=1, keepdims=True) * 10 ** (-20 / 20) * away
    for steps in (1, attack.PGD_STEPS):
        found = attack.perturbed(dense(1, "sigmoid", kernel), split, snr_db=20, steps=steps)[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_network_that_is_sure_is_attacked_too() -> None:
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(20, 6)).astype(np.float32), 1000 * np.ones((6, 1), np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    found = attack.perturbed(dense(1, "sigmoid", kernel), split_of(x, y, ("no", "yes")), snr_db=20, steps=1)[:, 0]
    assert (found != x).all()


def test_attacks_hurt_more_than_noise_of_their_size_and_several_steps_more_than_one() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(200, 6)).astype(np.float32), rng.integers(0, 3, 200)
    split = split_of(x, y, ("a", "b", "c"))

    def network() -> "keras.Model":
        keras.utils.set_random_seed(5)
        layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
        return keras.Sequential([keras.layers.Input((6,)), *layers])

    fgsm, pgd = (attack.perturbed(network(), split, snr_db=0, steps=steps)[:, 0] for steps in (1, 10))
    reach = x.std(axis=1, keepdims=True)
    for changed in (fgsm, pgd):
        assert (np.abs(changed - x) <= reach * 1.0001).all()
    random = x + reach * rng.choice([-1, 1], size=x.shape)
    clean, noisy, once, often = (log_loss(y, network()(each).numpy()) for each in (x, random, fgsm, pgd))
    assert max(clean, noisy) < once <= often
