"""Every scheme on the networks that are really deployed, half pruned, the weights as large as training leaves them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.core.litert import flatbuffer, operators, single
from stages.core.litert.convert import convert
from stages.core.nn import network
from stages.core.nn.keras import tf
from stages.core.project import plugins
from stages.core.project.errors import ModelError
from stages.prune.importance import most_important
from stages.prune.prunables import prunable_kernels
from stages.push import proof
from stages.quantize import agreement
from stages.quantize.check import check
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model
from tests import checkpoints

pytestmark = pytest.mark.thorough

CASES = {
    "edac_cnn": ((302, 15), 2),
    "ds_cnn": ((101, 40), 10),
    "edac_cnn_lstm": ((24, 24, 3), 2),
    "sparse_cnn": ((101, 40), 10),
    "acdnet": ((3_000, 1), 10),
    "micro_acdnet": ((3_000, 1), 10),
    "mel_cnn": ((101, 40), 10),
    "strided_cnn": ((101, 40), 10),
    "bilstm": ((101, 40), 10),
    "bc_resnet": ((101, 40), 10),
    "mobilenet_v2": ((101, 40), 10),
    "wav2vec2_student": ((3_000, 1), 10),
}
OPTIONS = {"wav2vec2_student": {"shape": checkpoints.SMALL}}
GAIN = {"acdnet": 1, "micro_acdnet": 1, "bilstm": 24}  # of the last layer, for scores that spread as if it were trained
SPARSITY = 0.5
TOLERANCE = {  # mean over the clips, of a score; where only the weights are coarse
    "clustered_float32": 0.06,
    "static_wi8_ai16": 5e-3,
    "weight_only_wi8_afp32": 5e-3,
    "sparse_weight_only_wi8_afp32": 5e-3,
}
BY_BITS = {32: 1e-6, 16: 5e-4, 8: 0.012, 4: 0.06, 2: 0.15}  # of all other schemes
LOOSER = {"edac_cnn_lstm": 2}  # in full integers every step rounds the LSTM's state anew


def settled(architecture: str) -> Any:
    """Build a network and give its normalisations the statistics of what flows through them."""
    shape, n_classes = CASES[architecture]
    from stages.core.nn.keras import keras

    keras.utils.set_random_seed(5)
    model, _ = network.build(architecture, {architecture: OPTIONS.get(architecture, {})}, shape, n_classes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    rng = np.random.default_rng(6)
    model(rng.normal(size=(16, *shape)).astype(np.float32), training=True)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([GAIN.get(architecture, 4) * kernel, bias])
    kernels = [kernel for _, kernel in prunable_kernels(model)]
    masks = most_important([np.abs(kernel.numpy()).ravel() for kernel in kernels], SPARSITY)
    for kernel, mask in zip(kernels, masks, strict=True):
        kernel.assign(np.where(mask.reshape(kernel.shape), kernel, 0))
    return model


@pytest.mark.parametrize("architecture", CASES)
def test_scores_of_every_scheme_stay_close_to_those_of_keras_unless_the_last_kernel_is_lost(architecture: str) -> None:
    model, (shape, _) = settled(architecture), CASES[architecture]
    clips = np.random.default_rng(7).normal(size=(16, *shape)).astype(np.float32)
    expected = model(clips, training=False).numpy()
    assert expected.std() > 0.05
    n_prunable = sum(int(np.prod(kernel.shape)) for _, kernel in prunable_kernels(model))
    float32 = to_float32(model)
    last = flatbuffer.read(float32).prunable[-1]
    broken = flatbuffer.with_float_constants(float32, {last.name: np.zeros_like(last.values)})
    graph: Callable[[Any], Any] = lambda waveform: tf.reshape(waveform, (1, *shape))  # noqa: E731
    frontend = convert(graph, (clips[0].size,), signature=("waveform", "features"), owner="test")
    waveforms = clips[:4].reshape(4, -1)
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        quantized = scheme.quantize(config, float32, clips)
        contents = check(quantized, scheme=scheme, config=config, float32=float32, expected_sparsity=SPARSITY).contents
        assert sum(w.values.size for w in contents.weights if w.operator in operators.PRUNABLE) == n_prunable
        scores = Model(quantized).run(clips)
        agreement.require(agreement.measure(scores, expected), scheme, name)
        zeroed = Model(scheme.quantize(config, broken, clips)).run(clips)
        with pytest.raises(ModelError, match="file is not the network"):
            agreement.require(agreement.measure(zeroed, expected), scheme, name)
        assert np.array_equal(Model(single.merge(frontend, quantized)).run(waveforms), scores[:4]), name
        difference = np.abs(scores - expected).mean()
        tolerance = TOLERANCE.get(name, BY_BITS[scheme.BIT_WIDTH])
        assert difference < tolerance * LOOSER.get(architecture, 1), name
        assert_a_self_test_can_fail(name, scores)


def assert_a_self_test_can_fail(scheme: str, scores: np.ndarray) -> None:
    """A device with a constant, a permuted or a noise model is refused, one that rounds otherwise is not."""
    allowed, _ = proof.tolerance(scheme, scores.tolist())
    rng = np.random.default_rng(8)
    for wrong in (
        np.broadcast_to(scores.mean(axis=0), scores.shape),
        np.broadcast_to((scores.max(axis=0) + scores.min(axis=0)) / 2, scores.shape),
        np.roll(scores, 1, axis=0),
        np.roll(scores, 1, axis=1) if scores.shape[1] > 1 else 1 - scores,
        rng.random(scores.shape),
    ):
        assert np.abs(wrong - scores).max() > allowed, scheme
    assert np.abs(scores + rng.uniform(-1, 1, scores.shape) * allowed - scores).max() <= allowed * 1.001
