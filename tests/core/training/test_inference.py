"""A compiled network against the network itself."""

from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import tf
from stages.core.training import inference

NETWORKS: dict[str, tuple[int, ...]] = {"edac_cnn": (40, 15), "ds_cnn": (40, 20, 1), "edac_cnn_lstm": (64, 39)}


def clips(shape: tuple[int, ...], n: int = 70) -> Split:
    names = np.array([str(i) for i in range(n)])
    x = np.random.default_rng(3).normal(size=(n, *shape)).astype(np.float32)
    return Split(x, np.arange(n) % 2, names, names, names, ("no", "yes"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_compiled_network_scores_the_same_to_the_bit_and_follows_the_weights(name: str) -> None:
    split = clips(NETWORKS[name])
    model, _ = network.build(name, {}, NETWORKS[name], 2)
    compiled = inference.compiled(model, split)
    first = inference.predict(compiled, split)
    np.testing.assert_array_equal(first, inference.predict(model, split))
    model.set_weights([weight * np.float32(0.5) for weight in model.get_weights()])
    second = inference.predict(compiled, split)
    np.testing.assert_array_equal(second, inference.predict(model, split))
    assert (first != second).any()


def test_a_compiled_network_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    split, traces = clips(NETWORKS["ds_cnn"]), []
    model, _ = network.build("ds_cnn", {}, NETWORKS["ds_cnn"], 2)
    call = model.call

    def counted(*arguments: Any, **options: Any) -> "tf.Tensor":
        traces.append(1)
        return call(*arguments, **options)

    monkeypatch.setattr(model, "call", counted)
    compiled = inference.compiled(model, split)
    assert inference.evaluate(compiled, split) == inference.evaluate(compiled, split)
    assert len(traces) == 1
