"""Every criterion with every schedule: the sparsity it claims, the same weights again, and after a kill."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.dataset import Split
from stages.core.nn.keras import keras, save_weights, tf
from stages.core.nn.units import unit_groups
from stages.core.project import plugins
from stages.core.training import loop, optimizer
from stages.core.training.loop import Run
from stages.prune.finetune import Pruning, finetune
from stages.prune.masks import Pruner
from stages.prune.params import CRITERIA, SCHEDULES, PruneParams
from stages.prune.prunables import layer_report, prunable_kernels
from stages.prune.shrink import shrink

pytestmark = pytest.mark.thorough

tf.config.experimental.enable_op_determinism()
METHODS = [(criterion, schedule) for criterion in plugins.names(CRITERIA) for schedule in plugins.names(SCHEDULES)]
PARAMS = PruneParams(
    epochs=2,
    batch_size=8,
    learning_rate=1e-2,
    options={
        "polynomial": {"frequency": 3},
        "hybrid": {"weight_sparsity": 0.2},  # so that no unit loses all its weights
        "iterative": {"rounds": 2},
        **{criterion: {"warm_up": 2} for criterion in ("taylor", "movement", "filter_taylor")},
    },
)


def clips(n: int = 22) -> Split:
    rng = np.random.default_rng(7)
    y = np.arange(n) % 2
    names = np.array([str(i) for i in range(n)])
    x = (rng.normal(size=(n, 6, 4, 1)) + y[:, None, None, None]).astype(np.float32)
    return Split(x, y, names, names, names, ("negative", "positive"))


def small_network() -> Any:
    keras.utils.set_random_seed(11)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((6, 4, 1)),
            layers.Conv2D(5, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(7, "relu", kernel_regularizer="l2", name="hidden"),
            layers.Dense(1, "sigmoid", name="scores"),
        ]
    )


def network() -> Any:
    """Units of every kind."""
    keras.utils.set_random_seed(11)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((6, 4, 1)),
            layers.Conv2D(5, 2, activation="relu", name="conv"),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.BatchNormalization(name="norm"),
            layers.Reshape((4, 10)),
            layers.LSTM(4, name="lstm"),
            layers.Dense(7, "relu", name="hidden"),
            layers.Dense(1, "sigmoid", name="scores"),
        ]
    )


def prune(criterion: str, schedule: str, params: PruneParams = PARAMS, build: Any = small_network, **more: Any) -> Any:
    model = build()
    finetune(model, clips(), params, Pruning(schedule, 0.5, criterion), Run(1, **more))
    return model


def kept(model: Any, criterion: str) -> list[tuple[int, int]]:
    """Return how many of how many are kept, per kernel or per layer of units."""
    if plugins.load(CRITERIA, criterion, "test").GRANULARITY == "weight":
        return [(row.n_weights - row.n_zeros, row.n_weights) for row in layer_report(model)]
    counts = []
    for group in unit_groups(model):
        dead = np.ones(group.n_units, bool)
        for share in group.incoming:
            values = np.moveaxis(share.variable.numpy(), share.axis, 0).reshape(len(share.units), -1)
            zero = (values == 0).all(axis=1) & ~np.signbit(values).any(axis=1)
            for unit in range(group.n_units):
                dead[unit] &= zero[share.units == unit].all()
        counts.append((group.n_units - int(dead.sum()), group.n_units))
    return counts


def rounded(n: int) -> int:
    return int(np.round(n * 0.5))


@pytest.mark.parametrize("criterion, schedule", METHODS)
def test_claims_are_kept_and_a_kill_changes_nothing(
    criterion: str, schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of the third of six steps is set aside, as a kill would leave it, and gone on from."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    after_step, checkpoint, left = Pruner.after_step, tmp_path / "checkpoint.npz", tmp_path / "left.npz"

    def set_aside(pruner: Pruner, step: int) -> int:
        if step == 4:
            shutil.copy(checkpoint, left)
        return after_step(pruner, step)

    with monkeypatch.context() as patched:
        patched.setattr(Pruner, "after_step", set_aside)
        whole = prune(criterion, schedule, checkpoint=checkpoint)
    counts = kept(whole, criterion)
    assert [n for n, _ in counts] == [rounded(n) for _, n in counts]
    assert len(counts) >= 2

    resumed = prune(criterion, schedule, checkpoint=left)
    for mine, theirs in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("criterion", ["magnitude", "filter_magnitude"])
def test_global_scope_comes_to_the_sparsity_over_all(criterion: str) -> None:
    counts = kept(prune(criterion, "one_shot", PruneParams(epochs=1, scope="global")), criterion)
    assert sum(n for n, _ in counts) == rounded(sum(n for _, n in counts))
    assert all(n >= 1 for n, _ in counts)


@pytest.mark.parametrize("criterion", [c for c in plugins.names(CRITERIA) if c.startswith(("filter", "hybrid"))])
def test_what_a_criterion_of_units_masks_can_be_taken_out(criterion: str) -> None:
    model = prune(criterion, "one_shot", build=network)
    smaller, units = shrink(model)
    assert {name: len(which) for name, which in units.items()} == {
        group.name: rounded(group.n_units) for group in unit_groups(model)
    }
    np.testing.assert_allclose(smaller(clips().x), model(clips().x), atol=1e-5)
    assert smaller.count_params() < 0.6 * model.count_params()


def test_units_of_a_layer_can_be_guarded() -> None:
    model = prune("filter_magnitude", "one_shot", PruneParams(epochs=1, min_units=4))
    assert [n for n, _ in kept(model, "filter_magnitude")] == [max(rounded(g.n_units), 4) for g in unit_groups(model)]


def test_units_of_a_layer_are_kept_by_multiples() -> None:
    groups = unit_groups(network())
    model = prune("filter_magnitude", "one_shot", PruneParams(epochs=1, unit_multiple=3), build=network)
    assert [n for n, _ in kept(model, "filter_magnitude")] == [
        min(-(-rounded(g.n_units) // 3) * 3, g.n_units) for g in groups
    ]


def test_rewinding_starts_every_round_at_the_given_weights(tmp_path: Path) -> None:
    given = small_network()
    for variable in given.trainable_variables:
        variable.assign(tf.ones_like(variable))
    save_weights(given, tmp_path / "weights.npz")
    params = PruneParams(epochs=1, learning_rate=1e-9, options={"iterative": {"rewind": tmp_path / "weights.npz"}})
    model = prune("magnitude", "iterative", params)
    baseline = [kernel.numpy() for _, kernel in prunable_kernels(small_network())]
    for (_, kernel), before in zip(prunable_kernels(model), baseline, strict=True):
        values = kernel.numpy()
        assert set(np.round(values, 3).ravel()) == {0.0, 1.0}
        assert np.abs(before[values == 0]).max() <= np.abs(before[values != 0]).min()  # ranked before rewinding


def test_taylor_of_a_filter_is_that_of_its_activations() -> None:
    """The sum over the weights into a unit of w · dL/dw is that over batch and positions of z · dL/dz."""
    module, config = PruneParams(options={"filter_taylor": {"momentum": 0.0}}).plug_in(CRITERIA, "filter_taylor")
    layer, rng = keras.layers.Conv2D(3, 2), np.random.default_rng(0)
    x = rng.normal(size=(5, 6, 4, 2)).astype(np.float32)
    layer.build(x.shape)
    layer.bias.assign([0.1, -0.2, 0.3])
    with tf.GradientTape() as tape:
        z = layer(x)
        tape.watch(z)
        loss = tf.reduce_mean(tf.sin(z))
    dz, dw, db = tape.gradient(loss, [z, layer.kernel, layer.bias])
    expected = np.abs((z * dz).numpy().sum(axis=(0, 1, 2)))
    zero = tf.zeros(())
    rows = np.concatenate(
        [
            module.accumulate(config, zero, layer.kernel.value(), dw).numpy().reshape(-1, 3).T,
            module.accumulate(config, zero, layer.bias.value(), db).numpy()[:, None],
        ],
        axis=1,
    )
    ours = module.importance(config, rows, rows, rng)
    np.testing.assert_allclose(ours, expected / np.linalg.norm(expected), rtol=1e-4)


@pytest.mark.parametrize("decay", ["cosine", "linear", "steps"])
def test_every_round_of_rewinding_goes_through_the_whole_schedule_of_the_learning_rate(
    decay: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds of six steps: the rates are twice those of a training of six steps."""
    save_weights(small_network(), tmp_path / "weights.npz")
    options = {"iterative": {"rounds": 2, "rewind": tmp_path / "weights.npz"}}
    params = PruneParams(epochs=2, batch_size=8, learning_rate=0.1, decay=decay, options=options)
    made: list[Any] = []
    rates: list[float] = []

    def make(*arguments: Any) -> Any:
        made.append(optimizer.make_optimizer(*arguments))
        return made[-1]

    after_step = Pruner.after_step

    def watched(pruner: Pruner, step: int) -> int:
        if step:
            rates.append(float(made[-1]._current_learning_rate))
        return after_step(pruner, step)

    monkeypatch.setattr(loop, "make_optimizer", make)
    monkeypatch.setattr(Pruner, "after_step", watched)
    finetune(small_network(), clips(), params, Pruning("iterative", 0.5), Run(1))
    n = len(rates) // 2
    alone = optimizer.make_optimizer(PruneParams(epochs=1, learning_rate=0.1, decay=decay), n)._learning_rate
    np.testing.assert_allclose(rates, 2 * [float(alone(step)) for step in range(n)], rtol=1e-5)
    assert rates[-1] <= 0.04
