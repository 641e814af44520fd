"""Batch-norm statistics against NumPy's moments of the layers' inputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.dataset import Split, indicators
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import plugins
from stages.core.project.errors import ParameterError
from stages.core.training import batch_norm, batches, inference, loop
from stages.core.training.batch_norm import BatchNormStatistics, normalisations
from stages.train.params import TrainParams

pytestmark = pytest.mark.thorough

SHAPES = {"acdnet": (2000, 1), "micro_acdnet": (2000, 1), "edac_cnn_lstm": (12, 14, 3)}
SMALL = {
    "acdnet": {"channels": [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4], "pool": 10},
    "micro_acdnet": {"channels": [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4], "pool": 10},
}
WITHOUT = {"wav2vec2_student"}  # normalises every clip by itself


def clips(shape: tuple[int, ...], n: int = 48) -> Split:
    rng = np.random.default_rng(5)
    y = np.arange(n) % 2
    x = rng.normal(-20, 4, (n, *shape)) + 6 * y.reshape(-1, *[1] * len(shape)) * rng.random(shape)
    names = np.array([str(i) for i in range(n)])
    return Split(x.astype(np.float32), y, names, names, names, ("a", "b"))


def trained(name: str, split: Split, clips: int, **more: Any) -> Any:
    """Return a network after 30 steps."""
    keras.utils.set_random_seed(3)
    model, _ = network.build(name, {name: SMALL.get(name, {})}, split.input_shape, 2)
    params = TrainParams(epochs=5, batch_size=8, learning_rate=3e-3, batch_norm_clips=clips)
    loop.fit(model, split, params, loop.Run(1, **more))
    return model


def moments(model: Any, layer: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments of a layer's input over clips and positions, in float64, as the network infers."""
    values = keras.Model(model.input, layer.input)(x, training=False)
    values = layer.statistics_input(values) if hasattr(layer, "statistics_input") else values
    rows = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    return rows.mean(axis=0), rows.var(axis=0)


@pytest.mark.parametrize("name", [n for n in plugins.names(network.ARCHITECTURES) if n not in WITHOUT])
def test_inference_uses_the_moments_of_the_training_clips(name: str) -> None:
    split = clips(SHAPES.get(name, (40, 20, 1)))
    model = trained(name, split, clips=64)
    layers = normalisations(model)
    assert layers
    for layer in layers:
        mean, variance = moments(model, layer, split.x)
        spread = np.sqrt(variance) + 1e-3
        np.testing.assert_allclose(layer.moving_mean.numpy() / spread, mean / spread, atol=2e-3, err_msg=layer.name)
        np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-2, atol=1e-6, err_msg=layer.name)


def test_moving_averages_are_far_from_them_after_30_steps() -> None:
    split = clips((40, 20, 1))
    model = trained("edac_cnn", split, clips=0)
    (layer,) = normalisations(model)
    _, variance = moments(model, layer, split.x)
    alive = variance > 1e-3
    assert alive.any()
    assert np.median(np.abs(layer.moving_variance.numpy()[alive] / variance[alive] - 1)) > 0.5


def test_moments_of_several_batches_are_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first normalisation's input depends on no other, so that its moments are exact in batches of any size."""
    split = clips((40, 20, 1), n=50)
    model = trained("ds_cnn", split, clips=0)
    first = normalisations(model)[0]
    monkeypatch.setattr(batch_norm, "CLIPS_AT_ONCE", 16)
    BatchNormStatistics(model, split, TrainParams(), seed=1).recompute()
    mean, variance = moments(model, first, split.x)
    np.testing.assert_allclose(first.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(first.moving_variance.numpy(), variance, rtol=1e-4)


def test_the_sample_is_drawn_by_the_seed_alone() -> None:
    split = clips((40, 20, 1), n=80)
    model = trained("ds_cnn", split, clips=0)

    def found(seed: int) -> np.ndarray:
        BatchNormStatistics(model, split, TrainParams(batch_norm_clips=32), seed).recompute()
        return np.concatenate([layer.moving_mean.numpy() for layer in normalisations(model)])

    first = found(1)
    assert found(2).tobytes() != first.tobytes()
    assert found(1).tobytes() == first.tobytes()


def test_validation_judges_the_exact_statistics_and_the_best_epoch_keeps_them() -> None:
    split = clips((40, 20, 1))
    model = trained("edac_cnn", split, clips=64, validation=split, patience=5)
    (layer,) = normalisations(model)
    _, variance = moments(model, layer, split.x)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-2, atol=1e-6)


def test_the_sample_is_augmented_as_in_training() -> None:
    split, params = clips((40, 20, 1)), TrainParams(batch_norm_clips=48, mixup=10.0, time_shift=0.5)
    model = trained("ds_cnn", split, clips=0)
    first = normalisations(model)[0]
    BatchNormStatistics(model, split, params, seed=1).recompute()
    rng = np.random.default_rng((1, 3))
    rows = rng.choice(48, 48, replace=False)
    sample, _ = batches.batch(split, indicators(split.y, 2).astype(np.float32), rows, params, rng)
    mean, variance = moments(model, first, sample)
    np.testing.assert_allclose(first.moving_mean.numpy(), mean, rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance.numpy(), variance, rtol=1e-4)
    assert np.median(variance / moments(model, first, split.x)[1]) < 0.95, "blended clips vary less"


def test_batches_hold_clips_of_all_classes_whatever_the_split_s_order() -> None:
    """In a split's order, which may be by class, deep layers would see every class normalised by itself."""
    split = clips((40, 20, 1), n=128)
    rows = np.argsort(split.y, kind="stable")
    split = replace(split, x=split.x[rows], y=split.y[rows])
    model = trained("ds_cnn", split, clips=0)
    BatchNormStatistics(model, split, TrainParams(batch_norm_clips=128), seed=1).recompute()
    last = normalisations(model)[-1]
    _, variance = moments(model, last, split.x)
    ratio = last.moving_variance.numpy() / variance
    assert np.median(np.abs(np.log(ratio[variance > 1e-6]))) < 0.15


def test_training_itself_is_not_changed() -> None:
    split = clips((40, 20, 1))
    exact, moving = (trained("ds_cnn", split, n, validation=split) for n in (64, 0))
    for left, right in zip(exact.trainable_weights, moving.trainable_weights, strict=True):
        assert left.numpy().tobytes() == right.numpy().tobytes()


def test_frozen_layers_and_networks_without_any_are_left_alone() -> None:
    layers = keras.layers
    model = keras.Sequential([layers.Input((3,)), layers.BatchNormalization(trainable=False), layers.Dense(1)])
    split = clips((3,))
    before = [w.tobytes() for w in model.get_weights()]
    BatchNormStatistics(model, split, TrainParams(), seed=1).recompute()
    assert [w.tobytes() for w in model.get_weights()] == before
    assert normalisations(keras.Sequential([layers.Input((3,)), layers.Dense(1)])) == []


def test_dropout_is_off() -> None:
    layers = keras.layers
    model = keras.Sequential([layers.Input((3,)), layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(1)])
    split = clips((3,))
    BatchNormStatistics(model, split, TrainParams(), seed=1).recompute()
    np.testing.assert_allclose(model.layers[1].moving_variance.numpy(), split.x.var(axis=0), rtol=1e-4)


def test_a_sample_is_large_enough_or_none() -> None:
    with pytest.raises(ParameterError, match=r"train\.batch_norm_clips .*32 clips; got 8"):
        TrainParams(batch_norm_clips=8)


def test_a_killed_run_resumes_to_the_same_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    split, path = clips((40, 20, 1)), tmp_path / "checkpoint.npz"
    whole = trained("ds_cnn", split, 64, validation=split, patience=5)

    class KilledError(Exception):
        pass

    original = inference.evaluate

    def die(model: Any, split: Split) -> tuple[float, float]:
        calls.append(1)
        if len(calls) == 3:
            raise KilledError
        return original(model, split)

    calls: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", die)
        with pytest.raises(KilledError):
            trained("ds_cnn", split, 64, validation=split, patience=5, checkpoint=path)
    resumed = trained("ds_cnn", split, 64, validation=split, patience=5, checkpoint=path)
    for left, right in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert left.tobytes() == right.tobytes()
