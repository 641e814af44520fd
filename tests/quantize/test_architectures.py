"""Every scheme on the networks that are really deployed, with weights as large as training leaves them."""

from typing import Any

import numpy as np
import pytest

from stages.core import network, plugins
from stages.quantize.check import check
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model

CASES = {"edac_cnn": ((302, 15), 2), "ds_cnn": ((101, 40), 10)}
TOLERANCE = {"float32": 1e-6, "float16": 5e-4, "dynamic_wi8_afp32": 0.01, "static_wi8_ai8": 0.01}  # mean, of a score


def settled(architecture: str) -> Any:
    """Build a network and give its normalisations the statistics of what flows through them."""
    shape, n_classes = CASES[architecture]
    from stages.core.keras import keras

    keras.utils.set_random_seed(5)
    model, _ = network.build(architecture, {}, shape, n_classes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    rng = np.random.default_rng(6)
    model(rng.normal(size=(16, *shape)).astype(np.float32), training=True)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([4 * kernel, bias])  # scores that spread, as a trained network's do
    return model


@pytest.mark.parametrize("architecture", CASES)
def test_scores_of_every_scheme_stay_close_to_those_of_keras(architecture: str) -> None:
    model, (shape, _) = settled(architecture), CASES[architecture]
    clips = np.random.default_rng(7).normal(size=(48, *shape)).astype(np.float32)
    expected = model(clips, training=False).numpy()
    assert expected.std() > 0.05
    float32 = to_float32(model)
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        quantized = scheme.quantize(config, float32, clips)
        check(quantized, scheme=scheme, config=config)
        assert np.abs(Model(quantized).run(clips) - expected).mean() < TOLERANCE[name], name
