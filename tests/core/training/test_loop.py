"""The training loop against Keras' own, and against a kill."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

from stages.core.artifacts.dataset import Split
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.core.training import batches, loop, optimizer
from stages.core.training.inference import evaluate
from stages.core.training.losses import class_weights
from stages.core.training.optimizer import make_optimizer
from stages.core.training.params import FitParams

pytestmark = pytest.mark.thorough

tf.config.experimental.enable_op_determinism()
ROOT = Path(__file__).resolve().parents[2]


class Params(FitParams):
    SECTION = "train"


def clips(rng: np.random.Generator, n: int = 22, n_classes: int = 2) -> Split:
    """Clips of 6 frames × 4 bands; a class is a louder band."""
    y = rng.integers(0, n_classes, n)
    y[:n_classes] = np.arange(n_classes)
    x = rng.normal(size=(n, 6, 4)).astype(np.float32)
    x[np.arange(n), :, y] += 1
    names = np.array([str(i) for i in range(n)])
    return Split(x, y, names, names, names, tuple("abcdef"[:n_classes]))


def network(n_classes: int = 2, dropout: float = 0.0) -> Any:
    """Every kind of penalty, batch normalisation and dropout; initial weights from a fixed seed."""
    keras.utils.set_random_seed(5)
    layers, penalties = keras.layers, keras.regularizers
    binary = n_classes == 2
    return keras.Sequential(
        [
            layers.Input((6, 4)),
            layers.Conv1D(5, 3, activation="relu", kernel_regularizer=penalties.L1(1e-2)),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(
                7, "relu", kernel_regularizer=penalties.L1L2(1e-2, 1e-2), activity_regularizer=penalties.L2(1e-1)
            ),
            layers.Dropout(dropout),
            layers.Dense(1 if binary else n_classes, "sigmoid" if binary else "softmax"),
        ]
    )


def of(x: np.ndarray) -> Split:
    """Clips of these features, all of one class."""
    names = np.array([str(i) for i in range(len(x))])
    return Split(x, np.zeros(len(x), int), names, names, names, ("a", "b"))


def same(left: Any, right: Any) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(left.get_weights(), right.get_weights(), strict=True))


KERAS = {
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate: keras.optimizers.SGD(rate, 0.9, nesterov=True),
}


def fit_by_keras(model: Any, split: Split, params: FitParams) -> list[float]:
    """Return the total losses of the epochs of Keras' own loop on the same batches."""
    rate = params.learning_rate
    if params.decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, params.epochs * -(-len(split) // params.batch_size))
    loss = "binary_crossentropy" if model.output_shape[-1] == 1 else "sparse_categorical_crossentropy"
    model.compile(KERAS[params.optimizer](rate), loss)
    balanced = compute_class_weight("balanced", classes=np.arange(len(split.labels)), y=split.y)
    losses = []
    for epoch in range(params.epochs):
        order = np.random.default_rng((3, 0, epoch)).permutation(len(split))
        weights = dict(enumerate(balanced))
        x, y = split.x[order], split.y[order].astype(np.float32)
        done = model.fit(x, y, params.batch_size, shuffle=False, verbose=0, class_weight=weights)
        losses += done.history["loss"]
    return losses


@pytest.mark.parametrize("large", [1, 2**16], ids=["compiled", "small"])
@pytest.mark.parametrize("decay", ["none", "cosine"])
@pytest.mark.parametrize("name", KERAS)
def test_weights_are_those_of_keras_fit(
    name: Any, decay: Any, large: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer, "LARGE", large)
    n_classes = 2 if decay == "none" else 3
    split = clips(rng, n_classes=n_classes)
    given: dict[str, Any] = {"batch_size": 8, "epochs": 7, "batch_norm_clips": 0}
    params = Params(optimizer=name, decay=decay, learning_rate=1e-2, **given)  # 21 steps
    ours, oracle = network(n_classes), network(n_classes)
    loop.fit(ours, split, params, loop.Run(3))
    fit_by_keras(oracle, split, params)
    for mine, theirs in zip(ours.get_weights(), oracle.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_loss_and_penalty_are_those_of_keras_fit(n_classes: int, rng: np.random.Generator) -> None:
    """At a standstill, where the penalty on the weights at an epoch's end is that of each of its steps."""
    split, params = clips(rng, n_classes=n_classes), Params(learning_rate=1e-12, batch_size=8, epochs=2)
    history = loop.fit(network(n_classes), split, params, loop.Run(3))
    totals = [row["loss"] + row["penalty"] for row in history]
    assert totals == pytest.approx(fit_by_keras(network(n_classes), split, params), rel=1e-5)
    assert history[0]["penalty"] > 0.1


def test_seed_determines_the_weights(rng: np.random.Generator) -> None:
    split = clips(rng)
    params = Params(epochs=2, batch_size=8, mixup=0.3, time_shift=0.3)
    models = []
    for seed in (1, 1, 2):
        models.append(network(dropout=0.5))
        loop.fit(models[-1], split, params, loop.Run(seed))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_dropout_draws_anew_each_step() -> None:
    model = network(dropout=0.5)
    (generator,) = loop._random_generators(model)
    before = generator.state.numpy().tolist()
    states: list[Any] = []
    split = clips(np.random.default_rng(0))
    loop.fit(
        model,
        split,
        Params(epochs=1, batch_size=8),
        loop.Run(1),
        hooks=loop.Hooks(after_step=lambda _: states.append(generator.state.numpy().tolist())),
    )
    assert len({str(state) for state in [before, *states]}) == 4


def test_last_batch_is_kept_and_steps_are_counted(rng: np.random.Generator) -> None:
    steps: list[int] = []
    history = loop.fit(
        network(),
        clips(rng),
        Params(epochs=2, batch_size=8),
        loop.Run(1),
        hooks=loop.Hooks(after_step=lambda step: steps.append(step)),
    )
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in history] == [1, 2]


@pytest.mark.parametrize("patience, n_epochs, kept", [(3, 5, 1), (6, 6, 5), (None, 6, 5)])
def test_stops_early_and_puts_the_best_weights_back(
    patience: int | None, n_epochs: int, kept: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, model = clips(rng), network()
    losses = [0.9, 0.5, 0.7, 0.6, 0.8, 0.1 if patience else 2.0]
    told = iter(losses)
    seen = []

    def evaluate(judged: Any, _: Split) -> tuple[float, float]:
        seen.append(judged.get_weights())
        return next(told), 0.5

    monkeypatch.setattr(loop, "evaluate", evaluate)
    history = loop.fit(model, split, Params(epochs=6, batch_size=8), loop.Run(1, validation=split, patience=patience))
    assert [row["validation_loss"] for row in history] == losses[:n_epochs]
    assert all((a == b).all() for a, b in zip(model.get_weights(), seen[kept], strict=True))


def test_evaluate_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    for n_classes in (2, 3):
        split, model = clips(rng, n_classes=n_classes), network(n_classes)
        loss, accuracy = evaluate(model, split)
        scores = model(split.x).numpy().astype(np.float64)
        scores /= scores.sum(axis=1, keepdims=True) if n_classes == 3 else 1
        predictions = scores[:, 0] > 0.5 if n_classes == 2 else scores.argmax(axis=1)
        assert loss == pytest.approx(log_loss(split.y, scores, labels=range(n_classes)), rel=1e-5)
        assert accuracy == pytest.approx(accuracy_score(split.y, predictions))


def test_class_weights_are_scikit_learns_balanced(rng: np.random.Generator) -> None:
    y = rng.choice(3, 50, p=[0.7, 0.2, 0.1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(class_weights(y, 3), expected, rtol=1e-6)
    with pytest.raises(DataError, match="no clip of class 3"):
        class_weights(y, 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 5), st.integers(1, 9))
def test_mixup_blends_and_keeps_the_mean_of_targets_a_distribution(seed: int, alpha: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, targets = rng.normal(size=(n, 6, 4)).astype(np.float32), np.eye(3, dtype=np.float32)[rng.integers(0, 3, n)]
    before = x.copy()
    mixed, blended = batches.batch(of(x), targets, np.arange(n), Params(mixup=alpha), rng)
    np.testing.assert_allclose(blended.sum(axis=1), 1, rtol=1e-5)
    assert mixed.dtype == np.float32
    assert np.abs(mixed).max() <= np.abs(x).max() * (1 + 1e-6)
    assert (x == before).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 0.5))
def test_time_shift_rotates_within_bounds(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(2 * 10 * 3, dtype=np.float32).reshape(2, 10, 3)
    targets = np.eye(2, dtype=np.float32)
    shifted, _ = batches.batch(of(x), targets, np.arange(2), Params(time_shift=shift), rng)
    allowed = range(-round(shift * 10), round(shift * 10) + 1)
    for clip, rotated in zip(x, shifted, strict=True):
        assert any((np.roll(clip, k, axis=0) == rotated).all() for k in allowed)


def test_cosine_decay_ends_at_zero() -> None:
    rate = make_optimizer(Params(learning_rate=0.1, decay="cosine"), 100)._learning_rate
    assert [float(rate(step)) for step in (0, 50, 100)] == pytest.approx([0.1, 0.05, 0.0])


def test_decay_in_steps_is_acdnets() -> None:
    """2000 epochs at 0.1, a tenth of it after 30, 60 and 90 %, and in the first ten; two steps an epoch."""
    params = Params(learning_rate=0.1, decay="steps", epochs=2000, warmup_epochs=10)
    rate = make_optimizer(params, 4000)._learning_rate
    steps = [0, 19, 20, 1199, 1200, 2399, 2400, 3599, 3600, 3999]
    expected = [0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 1e-4, 1e-4]
    assert [float(rate(step)) for step in steps] == pytest.approx(expected)
    with pytest.raises(ParameterError, match=r"train.milestones .*got \[0.6, 0.3\]"):
        Params(milestones=(0.6, 0.3))
    with pytest.raises(ParameterError, match=r"train.warmup_epochs .*before the first"):
        Params(epochs=20, warmup_epochs=7)


def test_linear_decay_rises_over_the_warm_up_and_falls_to_zero() -> None:
    """32 epochs of 10 steps of which two warm up: transformers' get_linear_schedule_with_warmup(_, 20, 320) by hand."""
    params = Params(learning_rate=2.5e-5, decay="linear", epochs=32, warmup_epochs=2)
    rate = make_optimizer(params, 320)._learning_rate
    expected = [0, 1.25e-6, 2.375e-5, 2.5e-5, 1.25e-5, 2.5e-5 / 300, 0]
    assert [float(rate(step)) for step in (0, 1, 19, 20, 170, 319, 320)] == pytest.approx(expected)
    straight = make_optimizer(Params(learning_rate=0.1, decay="linear"), 100)._learning_rate
    assert [float(straight(step)) for step in (0, 50, 100)] == pytest.approx([0.1, 0.05, 0.0])
    with pytest.raises(ParameterError, match=r"train.warmup_epochs .*3 epochs; got 3"):
        Params(decay="linear", epochs=3, warmup_epochs=3)


def test_weight_decay_takes_a_fraction_of_the_rate_off_each_weight(rng: np.random.Generator) -> None:
    split, weights = clips(rng), {}
    for decay in (None, 0.0, 0.5):
        model = network()
        before = model.get_weights()
        given: dict[str, Any] = {"batch_size": 22, "epochs": 1, "weight_decay": decay, "batch_norm_clips": 0}
        params = Params(optimizer="sgd", learning_rate=0.01, **given)
        loop.fit(model, split, params, loop.Run(1))
        weights[decay] = model.get_weights()
    names = [weight.name for weight in model.weights]
    for name, start, without, none, with_decay in zip(
        names, before, weights[None], weights[0.0], weights[0.5], strict=True
    ):
        np.testing.assert_array_equal(without, none)
        loss = 0 if "moving" in name else 0.01 * 0.5 * start  # the rate, 0.01, times the fraction
        np.testing.assert_allclose(with_decay, without - loss, atol=1e-6, err_msg=name)
    with pytest.raises(ParameterError, match=r"train.weight_decay must be a fraction in \[0, 1\); got 1.0"):
        Params(weight_decay=1.0)


@pytest.mark.parametrize("name", ["adam", "adamax", "adamw", "rmsprop", "sgd"])
def test_every_optimizer_takes_the_learning_rate(name: str) -> None:
    optimizer = make_optimizer(Params(optimizer=name, learning_rate=0.25), 1)  # type: ignore[arg-type]
    assert float(optimizer.learning_rate) == 0.25
    assert type(optimizer).__name__.lower() == name


def test_a_diverged_loss_is_an_error(rng: np.random.Generator) -> None:
    split = clips(rng)
    split = dataclasses.replace(split, x=np.where(split.x > 2, np.float32(np.nan), split.x))
    with pytest.raises(ModelError, match=r"training: .*not finite at step \d+"):
        loop.fit(network(), split, Params(), loop.Run(1))


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("learning_rate", 0.0, "train.learning_rate .*1; got 0.0"),
        ("learning_rate", 10.0, "train.learning_rate .*1; got 10.0"),
        ("batch_size", 0, r"train.batch_size must be at least 1; got 0"),
        ("epochs", 0, r"train.epochs must be at least 1; got 0"),
        ("mixup", -1.0, "train.mixup .*got -1.0"),
        ("time_shift", 10.0, r"train.time_shift .*\[0, 0.5\]; got 10.0.*0.1"),
    ],
)
def test_bad_values(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        Params(**{name: value})


SCRIPT = """
import os, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from test_loop import Params, clips, network
from stages.core.training import loop, optimizer
from stages.core.nn.keras import make_deterministic, save_weights

make_deterministic(1, 1)
loop.CHECKPOINT_EVERY_S = 0
optimizer.LARGE = 100
folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
split = clips(np.random.default_rng(1))

def train(checkpoint, after_step=None):
    model = network(dropout=0.5)
    params = Params(epochs=4, batch_size=8, mixup=0.3, time_shift=0.3, decay="cosine")
    run = loop.Run(1, validation=split, checkpoint=checkpoint)
    history = loop.fit(model, split, params, run, hooks=loop.Hooks(after_step=after_step))
    return model, history

def die(step):
    if step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

started_at = []
model, history = train(folder / "checkpoint.npz", die if kill_at else started_at.append)
save_weights(model, folder / "resumed.npz")
whole, whole_history = train(None)
save_weights(whole, folder / "whole.npz")
assert history == whole_history
print(started_at[0])
"""


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))

    def run(kill_at: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", script, str(tmp_path), str(kill_at)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run(8).returncode == -signal.SIGKILL
    resumed = run(0)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.split() == ["8"]  # the step under way when it was killed, done again
    assert (tmp_path / "resumed.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_state_of_the_caller_survives(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)

    class KilledError(Exception):
        pass

    def run(kill_at: int) -> int:
        counter = tf.Variable(0)

        def count(step: int) -> None:
            if step == kill_at:
                raise KilledError
            counter.assign_add(step)

        loop.fit(
            network(),
            clips(np.random.default_rng(0)),
            Params(epochs=2, batch_size=8),
            loop.Run(1, checkpoint=tmp_path / "checkpoint.npz"),
            hooks=loop.Hooks(after_step=count, state=[counter]),
        )
        return int(counter.numpy())

    with pytest.raises(KilledError):
        run(5)
    assert run(0) == 1 + 2 + 3 + 4 + 5 + 6
