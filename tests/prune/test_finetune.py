"""Pruning while fine-tuning against tfmot's wrapper, arithmetic, and a kill."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stages.core.artifacts.dataset import Split
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import ParameterError
from stages.core.training import loop, optimizer
from stages.core.training.loop import Run
from stages.prune import importance as ranking
from stages.prune.finetune import Pruning, finetune
from stages.prune.importance import most_important
from stages.prune.masks import Criterion, Masks, Pruner, WeightsFirst
from stages.prune.params import CRITERIA, PruneParams
from stages.prune.prunables import KernelSparsity, layer_report, measured_sparsity, prunable_kernels, prunables_of

# isort: split
import tensorflow_model_optimization as tfmot

pytestmark = pytest.mark.thorough

tf.config.experimental.enable_op_determinism()


def clips(n: int = 48) -> Split:
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, n)
    x = (rng.normal(size=(n, 8, 6, 1)) + y[:, None, None, None]).astype(np.float32)
    names = np.array([str(i) for i in range(n)])
    return Split(x, y, names, names, names, ("negative", "positive"))


def network(dropout: float = 0.0) -> Any:
    keras.utils.set_random_seed(11)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 6, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(10, "relu", kernel_regularizer=keras.regularizers.L1L2(1e-3, 1e-3), name="hidden"),
            layers.Dropout(dropout),
            layers.Dense(1, "sigmoid", name="scores"),
        ]
    )


def kernels(model: Any) -> list[np.ndarray]:
    return [kernel.numpy() for _, kernel in prunable_kernels(model)]


@pytest.mark.parametrize("schedule, sparsity", [("constant", 0.5), ("polynomial", 0.9)])
def test_masks_and_weights_are_those_of_tfmot(schedule: str, sparsity: float) -> None:
    """One epoch of 12 steps: at an epoch's end tfmot's callback masks once more, which the wrapper does not."""
    split = clips()
    options = {"polynomial": {"frequency": 3}}
    given: dict[str, Any] = {"class_weights": False, "batch_norm_clips": 0, "options": options}
    params = PruneParams(epochs=1, batch_size=4, learning_rate=1e-2, **given)
    ours = network()
    finetune(ours, split, params, Pruning(schedule, sparsity), Run(2))

    schedules = tfmot.sparsity.keras
    oracle = schedules.prune_low_magnitude(
        network(),
        schedules.ConstantSparsity(sparsity, 0, frequency=1)
        if schedule == "constant"
        else schedules.PolynomialDecay(0.0, sparsity, 0, 12, frequency=3),
    )
    oracle.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    order = np.random.default_rng((2, 0, 0)).permutation(len(split))
    step = schedules.UpdatePruningStep()
    oracle.fit(split.x[order], split.y[order], batch_size=4, shuffle=False, verbose=0, callbacks=[step])
    stripped = schedules.strip_pruning(oracle)

    for mine, theirs in zip(kernels(ours), kernels(stripped), strict=True):
        assert ((mine != 0) == (theirs != 0)).all()
    for mine, theirs in zip(ours.get_weights(), stripped.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "schedule, sparsity", [("constant", 0.0), ("constant", 0.999), ("polynomial", 0.3), ("polynomial", 0.75)]
)
def test_every_kernel_ends_at_its_share_of_positive_zeros(schedule: str, sparsity: float) -> None:
    model = network()
    params = PruneParams(epochs=2, batch_size=20, options={"polynomial": {"frequency": 4}})  # 6 steps: not a multiple
    finetune(model, clips(), params, Pruning(schedule, sparsity), Run(1))
    total = 0
    for kernel in kernels(model):
        n_kept = max(round(kernel.size * (1 - sparsity)), 1)
        assert np.count_nonzero(kernel) == n_kept
        assert not np.signbit(kernel[kernel == 0]).any()
        total += kernel.size - n_kept
    assert measured_sparsity(model) == total / sum(kernel.size for kernel in kernels(model))


def test_a_masked_weight_can_return() -> None:
    model = network()
    magnitude = Criterion(*PruneParams().plug_in(CRITERIA, "magnitude"))
    masks = Masks(prunables_of(model, "weight"))
    pruner = Pruner(masks, magnitude, lambda step: (step != 2, 0.5), n_steps=4)
    pruner.start()
    first = masks.variables[0].numpy()
    kernel = next(kernel for _, kernel in prunable_kernels(model))

    def step(number: int, kept: float, masked: float) -> np.ndarray:
        pruner.update(kernel, tf.zeros_like(kernel), lambda: kernel.assign(tf.where(first, kept, masked)))
        pruner.after_step(number)
        return kernel.numpy()  # type: ignore[no-any-return]

    np.testing.assert_array_equal(step(1, 0.1, 5.0), np.where(first, np.float32(0.1), 0), "not renewed before step 2")
    np.testing.assert_array_equal(step(2, 0.1, 5.0), np.where(first, 0, np.float32(5.0)))
    np.testing.assert_array_equal(masks.variables[0].numpy(), ~first)
    step(3, 0.1, 5.0)
    np.testing.assert_array_equal(step(4, 9.0, 5.0), np.where(first, 0, np.float32(5.0)), "nothing is chosen after all")


IMPORTANCES = arrays.arrays(np.float32, st.integers(2, 100), elements=st.floats(0, 1, width=32))


@settings(max_examples=60, deadline=None)
@given(IMPORTANCES, st.floats(0, 0.999), st.integers(1, 2))
def test_most_important_is_the_top_k_of_equals_the_first(importance: np.ndarray, sparsity: float, least: int) -> None:
    (mask,) = most_important([importance], sparsity, min_kept=least)
    kept = np.float32(importance.size) * (1 - np.float32(sparsity))
    n_kept = max(int(np.round(kept)), least)
    descending = np.sort(importance)[::-1]
    assert np.count_nonzero(mask) == n_kept
    np.testing.assert_array_equal(np.sort(importance[mask])[::-1], descending[:n_kept])
    equal = mask[importance == descending[n_kept - 1]]
    np.testing.assert_array_equal(equal, np.sort(equal)[::-1], "of equals the first are kept")


@settings(max_examples=60, deadline=None)
@given(IMPORTANCES, st.sampled_from([0.0, 0.2, 0.5, 0.9]), st.integers(1, 50))
def test_a_sample_that_misleads_changes_no_mask(importance: np.ndarray, sparsity: float, sample: int) -> None:
    importance = np.round(importance, 1)  # for equals
    (whole,) = most_important([importance], sparsity)
    with mock.patch.object(ranking, "SAMPLE", sample):
        (mask,) = most_important([importance], sparsity)
    np.testing.assert_array_equal(mask, whole)


@pytest.mark.parametrize("sparsity", [1e-6, 0.5, 0.9, 0.999, 1 - 1e-6])
@pytest.mark.parametrize("kind", ["normal", "equals", "sorted", "pruned"])
def test_the_masks_of_large_kernels_are_those_of_a_sort(kind: str, sparsity: float, rng: np.random.Generator) -> None:
    importance = np.abs(rng.normal(size=300_001)).astype(np.float32)
    if kind == "equals":
        importance = np.round(importance, 2)
    elif kind == "sorted":
        importance.sort()
    elif kind == "pruned":
        importance[importance < 1.5] *= 1e-3
    (mask,) = most_important([importance], sparsity)
    expected = np.zeros(importance.size, bool)
    expected[np.argsort(-importance, kind="stable")[: max(round(importance.size * (1 - sparsity)), 1)]] = True
    np.testing.assert_array_equal(mask, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(IMPORTANCES, min_size=1, max_size=4), st.floats(0, 0.999), st.integers(1, 2))
def test_globally_the_top_k_of_all_and_the_top_of_each(
    importances: list[np.ndarray], sparsity: float, least: int
) -> None:
    masks = most_important(importances, sparsity, "global", min_kept=least)
    together, size = np.concatenate(importances), sum(i.size for i in importances)
    n_kept = max(int(np.round(np.float32(size) * (1 - np.float32(sparsity)))), least * len(importances))
    assert sum(np.count_nonzero(mask) for mask in masks) == n_kept
    for mask, importance in zip(masks, importances, strict=True):
        assert np.count_nonzero(mask) >= least
        assert set(np.sort(importance)[::-1][:least]) <= set(importance[mask])
    free = [mask & (i < np.sort(i)[::-1][least - 1]) for mask, i in zip(masks, importances, strict=True)]
    dropped = together[~np.concatenate(masks)]
    for mask, importance in zip(free, importances, strict=True):  # of what no rule protects, the largest
        assert not dropped.size or (importance[mask] >= dropped.max()).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(IMPORTANCES, st.floats(0, 1)), min_size=1, max_size=4),
    st.floats(0, 0.999),
    st.integers(1, 8),
    st.sampled_from(["layer", "global"]),
)
def test_what_is_kept_is_rounded_up_to_a_multiple(
    layers: list[tuple[np.ndarray, float]], sparsity: float, multiple: int, scope: str
) -> None:
    importances, parts = [importance for importance, _ in layers], [part for _, part in layers]
    singly = most_important(importances, sparsity, scope, scales=parts)
    masks = most_important(importances, sparsity, scope, round_up_to=multiple, scales=parts)
    for before, mask, importance in zip(singly, masks, importances, strict=True):
        n, kept = np.count_nonzero(before), np.count_nonzero(mask)
        assert kept == min(-(-n // multiple) * multiple, importance.size)
        assert mask[before].all(), "the most important stay"


@settings(max_examples=60, deadline=None)
@given(IMPORTANCES, st.floats(0, 0.999), st.floats(0, 1))
def test_a_layer_takes_its_part_of_the_sparsity(importance: np.ndarray, sparsity: float, part: float) -> None:
    whole, mask = most_important([importance, importance], sparsity, scales=[1, part])
    np.testing.assert_array_equal(whole, most_important([importance], sparsity)[0])
    np.testing.assert_array_equal(mask, most_important([importance], sparsity * part)[0])


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("criterion", ["magnitude", "filter_magnitude", "hybrid"])
def test_a_layer_of_no_part_stays_whole(criterion: str, scope: Any) -> None:
    model, options = network(), {"hybrid": {"weight_sparsity": 0.2}}
    params = PruneParams(epochs=2, scope=scope, layers={"hid*": 0, "h*": 1}, options=options)
    finetune(model, clips(), params, Pruning(criterion=criterion, schedule="one_shot", sparsity=0.5), Run(1))
    found = {row.layer: row.sparsity for row in layer_report(model)}
    assert found.pop("hidden") == 0
    assert max(found.values()) > 0


def test_patterns_of_layers_must_fit() -> None:
    with pytest.raises(ParameterError, match=r"^prune\.layers .*'hiden'.*'hidden'"):
        prunables_of(network(), "unit", {"hiden": 0.5})


@pytest.mark.parametrize(
    "params, sentence",
    [
        ({"layers": {"conv": 1.5}}, r"prune\.layers\.conv must be a fraction in \[0, 1\]; got 1\.5"),
        (
            {"layers": {"conv": 0.5}, "scope": "global"},
            r"prune\.layers\.conv .*prune\.scope: glob",
        ),
        ({"unit_multiple": 0}, r"prune\.unit_multiple must be at least 1; got 0"),
    ],
)
def test_bad_parameters_of_layers(params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        PruneParams(**params)


def test_prunable_kernels_are_those_of_tfmots_registry() -> None:
    from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

    layers = keras.layers
    inputs = layers.Input((8, 6, 3))
    x = layers.SeparableConv2D(4, 3)(inputs)
    x = layers.DepthwiseConv2D(2)(x)
    x = layers.Conv2DTranspose(3, 2)(x)
    x = layers.Conv2D(2, 1)(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Reshape((-1, 2))(x)
    x = layers.LSTM(3, return_sequences=True)(layers.Conv1D(2, 2)(x))
    x = layers.SimpleRNN(2)(layers.GRU(3, return_sequences=True)(x))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(x))
    ours = [kernel.name for _, kernel in prunable_kernels(model)]
    oracle = [
        weight.name
        for layer in model.layers[1:]
        for weight in PruneRegistry.make_prunable(layer).get_prunable_weights()
    ]
    assert len(ours) == 11
    assert ours == oracle


def test_nested_models_and_willing_layers_are_pruned() -> None:
    class Willing(keras.layers.Dense):  # type: ignore[misc]
        def get_prunable_weights(self) -> list[Any]:
            return [self.bias]

    inner = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="inner")])
    model = keras.Sequential([keras.layers.Input((4,)), inner, Willing(2, name="willing")])
    assert [(name, kernel.shape.as_list()) for name, kernel in prunable_kernels(model)] == [
        ("inner", [4, 3]),
        ("willing", [2]),
    ]


def test_layer_report_counts_zeros() -> None:
    model = network()
    hidden = model.get_layer("hidden").kernel
    hidden.assign(np.where(np.arange(hidden.shape[1]) < 4, 0, 1) * np.ones(hidden.shape, np.float32))
    row = next(row for row in layer_report(model) if row.layer == "hidden")
    n = int(np.prod(hidden.shape))
    assert row == KernelSparsity("hidden", n, n * 4 // 10)
    assert row.sparsity == 0.4


@pytest.mark.parametrize("schedule", ["constant", "polynomial"])
def test_a_killed_fine_tuning_goes_on_to_the_same_weights(
    schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    monkeypatch.setattr(optimizer, "LARGE", 100)
    params = PruneParams(epochs=2, batch_size=16, learning_rate=1e-2, options={"polynomial": {"frequency": 2}})

    def run(checkpoint: Path | None) -> tuple[Any, list[dict[str, float]]]:
        model = network(dropout=0.5)
        history = finetune(model, clips(), params, Pruning(schedule, 0.8), Run(1, checkpoint=checkpoint))
        return model, history

    class KilledError(Exception):
        pass

    whole, history = run(None)
    masked = Pruner.after_step
    with monkeypatch.context() as patched:

        def die(self: Pruner, step: int) -> None:
            if step == 4:
                raise KilledError
            masked(self, step)

        patched.setattr(Pruner, "after_step", die)
        with pytest.raises(KilledError):
            run(tmp_path / "checkpoint.npz")
    resumed, resumed_history = run(tmp_path / "checkpoint.npz")
    assert resumed_history == history
    for left, right in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert left.tobytes() == right.tobytes()


@pytest.mark.parametrize("sparsity", [80, 1.0, -0.1])
def test_a_sparsity_must_be_a_fraction(sparsity: float) -> None:
    with pytest.raises(ParameterError, match=rf"sweep.sparsities must .* fractions in \[0, 1\); got {sparsity}"):
        finetune(network(), clips(), PruneParams(), Pruning(schedule="constant", sparsity=sparsity), Run(1))


def test_hybrid_prunes_weights_first_then_ranks_units_by_what_is_left_of_them() -> None:
    """24 steps: 12 for the weights, of whose rounds the last is at the eighth; then units go at once."""
    seen: list[list[np.ndarray]] = []
    after_step = WeightsFirst.after_step

    def watched(self: WeightsFirst, step: int) -> int:
        seen.append(kernels(model))
        return after_step(self, step)

    model = network()
    options = {"hybrid": {"first": 0.5, "weight_sparsity": 0.75}}
    params = PruneParams(epochs=2, batch_size=4, learning_rate=1e-2, class_weights=False, options=options)
    with mock.patch.object(WeightsFirst, "after_step", watched):
        finetune(model, clips(), params, Pruning("one_shot", 0.5, "hybrid"), Run(1))
    assert len(seen) == 24
    for kernel in seen[11]:
        assert np.count_nonzero(kernel) == max(round(kernel.size * 0.25), 1)
    for before, after in zip(seen[11][:2], seen[12][:2], strict=True):
        left = np.abs(before).reshape(-1, before.shape[-1]).sum(axis=0)
        units = np.abs(after).reshape(-1, after.shape[-1]).sum(axis=0) > 0
        assert np.count_nonzero(units) == round(len(units) * 0.5)
        assert left[units].min() >= left[~units].max(), "the units that most was left of"
    survivors = kernels(model)[0][..., np.abs(kernels(model)[0]).sum(axis=(0, 1, 2)) > 0]
    assert np.count_nonzero(survivors) == survivors.size, "what is left is dense again"
