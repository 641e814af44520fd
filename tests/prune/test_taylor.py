"""The Taylor scores against finite differences of the loss, in float64."""

from typing import Any

import numpy as np
import pytest

from stages.core.nn.keras import keras, tf
from stages.core.nn.units import FIXED, unit_groups
from stages.prune.params import CRITERIA, PruneParams

EPSILON = 1e-5


def network() -> Any:
    """A convolution, its normalisation, a depthwise one and a dense layer: units of several variables."""
    keras.utils.set_random_seed(4)
    layers = keras.layers
    stack = [
        layers.Conv2D(4, 3, name="conv", dtype="float64"),
        layers.BatchNormalization(name="norm", dtype="float64"),
        layers.ReLU(dtype="float64"),
        layers.DepthwiseConv2D(2, name="depthwise", dtype="float64"),
        layers.Flatten(dtype="float64"),
        layers.Dense(5, "tanh", name="hidden", dtype="float64"),
        layers.Dense(3, "softmax", name="scores", dtype="float64"),
    ]
    model = keras.Sequential([layers.Input((6, 5, 2), dtype="float64"), *stack])
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign_add(0.3 * rng.normal(size=variable.shape))
    return model


@pytest.fixture
def model() -> Any:
    return network()


def loss_of(model: Any, training: bool) -> Any:
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(8, 6, 5, 2)), rng.dirichlet(np.ones(3), 8)
    return tf.reduce_mean(keras.losses.categorical_crossentropy(t, model(x, training=training)))


def gradients_of(model: Any, training: bool) -> dict[Any, Any]:
    with tf.GradientTape() as tape:
        loss = loss_of(model, training)
    variables = model.trainable_variables
    return dict(zip((v.ref() for v in variables), tape.gradient(loss, variables), strict=True))


def slope(model: Any, training: bool, factors: dict[Any, np.ndarray]) -> float:
    """Return how the loss changes with e where weights are multiplied by 1 + e times a factor of 0 or 1."""
    before = {ref: ref.deref().numpy() for ref in factors}
    losses = []
    for step in (EPSILON, -EPSILON):
        for ref, chosen in factors.items():
            ref.deref().assign(before[ref] * (1 + step * chosen))
        losses.append(float(loss_of(model, training)))
    for ref, values in before.items():
        ref.deref().assign(values)
    return (losses[0] - losses[1]) / (2 * EPSILON)


@pytest.mark.parametrize("training", [False, True])
def test_the_score_of_a_unit_is_the_slope_of_the_loss_as_it_fades(model: Any, training: bool) -> None:
    module, config = PruneParams(options={"filter_taylor": {"momentum": 0.0}}).plug_in(CRITERIA, "filter_taylor")
    gradients = gradients_of(model, training)
    for group in unit_groups(model):
        rows: list[list[float]] = [[] for _ in range(group.n_units)]
        slopes = []
        for unit in range(group.n_units):
            factors = {}
            for share in group.incoming:
                shape = [1] * len(share.variable.shape)
                shape[share.axis] = -1
                mine = np.broadcast_to((share.units == unit).reshape(shape), share.variable.shape)
                terms = module.accumulate(config, 0.0, share.variable.numpy(), gradients[share.variable.ref()])
                rows[unit] += np.asarray(terms)[mine].tolist()
                factors[share.variable.ref()] = mine.astype(float)
                assert (share.units != FIXED).any()
            slopes.append(slope(model, training, factors))
        table = np.array(rows)
        ours = module.importance(config, table, table, np.random.default_rng(0))
        expected = np.abs(slopes) / np.linalg.norm(slopes)
        np.testing.assert_allclose(ours, expected, atol=1e-5)
        assert np.ptp(expected) > 0.05


def test_the_score_of_a_weight_is_the_slope_of_the_loss_as_it_fades(model: Any) -> None:
    module, config = PruneParams(options={"taylor": {"momentum": 0.0}}).plug_in(CRITERIA, "taylor")
    gradients, kernel = gradients_of(model, False), model.get_layer("hidden").kernel
    scores = np.asarray(module.accumulate(config, 0.0, kernel.numpy(), gradients[kernel.ref()]))
    ours = module.importance(config, kernel.numpy(), scores, np.random.default_rng(0))
    for place in [(0, 0), (7, 3), (20, 4)]:
        alone = np.zeros(kernel.shape)
        alone[place] = 1
        assert ours[place] == pytest.approx(abs(slope(model, False, {kernel.ref(): alone})), abs=1e-8)


def test_before_a_normalisation_in_training_the_published_score_is_nil(model: Any) -> None:
    """ACDNet's code sums z dL/dz of the convolution's output, where the normalisation scales by the batch."""
    gradients, kernel = gradients_of(model, True), model.get_layer("conv").kernel
    terms = kernel.numpy() * np.asarray(gradients[kernel.ref()])
    assert np.abs(terms.sum(axis=(0, 1, 2))).max() < 0.02 * np.abs(terms).sum(axis=(0, 1, 2)).max()
