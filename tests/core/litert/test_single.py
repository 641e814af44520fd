"""One file against the two in turn, to the bit: every scheme, every front end, crops and integer ends."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.core.litert import flatbuffer, single
from stages.core.litert.convert import convert
from stages.core.nn.keras import keras, tf
from stages.core.project import plugins
from stages.core.project.errors import ModelError
from stages.features.export import export
from stages.features.params import FRONTENDS
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.crops import crops
from stages.runtime.litert import Model
from tests.marks import thorough_but

N_SAMPLES = 4000
SMALL: dict[str, dict[str, Any]] = {  # of each front end
    "raw": {},
    "mfcc": {"n_fft": 256, "hop_length": 128, "n_mels": 20, "n_mfcc": 13},
    "log_mel": {"n_fft": 256, "hop_length": 128, "n_mels": 20},
    "mel_image": {"n_fft": 256, "hop_length": 128, "n_mels": 16, "fmax": 4000.0, "height": 20, "width": 22},
}


def network(shape: tuple[int, ...], n_outputs: int) -> Any:
    """A small convolutional network with settled weights."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    body: list[Any] = [layers.Input(shape)]
    body += [layers.Reshape((*shape, 1))] if len(shape) == 2 else []
    body += [
        layers.Conv2D(8, (5, 1), strides=(3, 1), activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(16, activation="relu"),
        layers.Dense(n_outputs, activation="sigmoid" if n_outputs == 1 else "softmax"),
    ]
    return keras.Sequential(body)


def spread(n: int) -> np.ndarray:
    """Waveforms of very different levels, silence and full scale among them."""
    rng = np.random.default_rng(8)
    waveforms = rng.normal(size=(n, N_SAMPLES)) * 10 ** rng.uniform(-4, 0, size=(n, 1))
    waveforms[0] = 0
    waveforms[1] = np.sign(waveforms[1])
    return waveforms.astype(np.float32)


def every_scheme(float32: bytes, features: np.ndarray) -> dict[str, bytes]:
    made = {}
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        made[name] = scheme.quantize(config, float32, features)
    return made


def differing(frontend: bytes, model: bytes, waveforms: np.ndarray, n_crops: int = 1) -> str:
    """Say how the merged file differs from the two in turn; empty if it does not."""
    merged = single.merge(frontend, model, n_crops=n_crops)
    contents = flatbuffer.read(merged)
    if (contents.inputs, contents.outputs) != (("float32",), ("float32",)):
        return f"ends are {contents.inputs} and {contents.outputs}"
    expected = Model(model).mean_over_crops(Model(frontend).run(waveforms), n_crops)
    found = Model(merged).run(waveforms)
    assert len(np.unique(expected)) > 2  # a model that answers the same to everything shows nothing
    return "" if np.array_equal(found, expected) else f"differs by {np.abs(found - expected).max():.3g}"


@pytest.mark.parametrize("frontend", thorough_but(plugins.names(FRONTENDS), "mfcc", "raw"))
def test_every_front_end_and_scheme_scores_as_the_two_files_do(frontend: str) -> None:
    module = plugins.load(FRONTENDS, frontend, "features.frontend")
    config = module.Config(sample_rate=8000, clip_samples=N_SAMPLES, **SMALL[frontend])
    first, waveforms = export(module, config), spread(8)
    features = Model(first).run(waveforms)
    made = every_scheme(to_float32(network(features.shape[1:], 3)), features)
    wrong = {scheme: said for scheme, model in made.items() if (said := differing(first, model, waveforms))}
    assert not wrong


def reshaping(shape: tuple[int, ...]) -> bytes:
    """A front end of any feature shape."""
    graph: Callable[[Any], Any] = lambda waveform: tf.reshape(tf.tanh(3.0 * waveform), (1, *shape))  # noqa: E731
    return convert(graph, (int(np.prod(shape)),), signature=("waveform", "features"), owner="test")


@pytest.mark.parametrize("n_outputs", thorough_but([1, 3], 3))
def test_crops_are_averaged_as_the_runtime_averages_them(n_outputs: int) -> None:
    first, rng = reshaping((400, 10)), np.random.default_rng(9)
    waveforms = rng.normal(rng.uniform(-1, 1, size=(4, 1)), 0.3, size=(4, N_SAMPLES)).astype(np.float32)
    features = Model(first).run(waveforms)
    made = every_scheme(to_float32(network((40, 10), n_outputs)), crops(features, 4, 40).reshape(-1, 40, 10))
    wrong = {}
    for scheme in ("float32", "static_wi8_ai8", "static_wi8_ai16"):
        for n_crops in (2, 7, 8, 9, 10, 19, 33, 130):
            if said := differing(first, made[scheme], waveforms, n_crops):
                wrong[scheme, n_crops] = said
    assert not wrong


def test_the_file_is_no_larger_than_the_two_and_its_signature_says_what_it_takes() -> None:
    from ai_edge_litert.interpreter import Interpreter

    first = reshaping((400, 10))
    model = to_float32(network((400, 10), 3))
    merged = single.merge(first, model)
    assert len(merged) <= len(first) + len(model)
    assert merged == single.merge(first, model)
    runner = Interpreter(model_content=merged).get_signature_runner()
    assert list(runner.get_input_details()) == ["waveform"]
    assert list(runner.get_output_details()) == ["scores"]
    assert flatbuffer.read(merged).weights[0].values.size > 0


def test_crops_share_the_weights() -> None:
    first, model = reshaping((400, 10)), to_float32(network((40, 10), 3))
    once, ten = single.merge(reshaping((40, 10)), model), single.merge(first, model, n_crops=10)
    assert len(ten) - len(once) < 10 * 2000  # bytes of structure a crop, none of weights
    assert len(flatbuffer.read(ten).weights) == len(flatbuffer.read(once).weights)


def test_parts_that_do_not_fit_are_refused() -> None:
    first, model = reshaping((400, 10)), to_float32(network((40, 10), 3))
    with pytest.raises(ModelError, match="must take the front end's features"):
        single.merge(first, model)
    with pytest.raises(ModelError, match="LiteRT"):
        single.merge(b"no model", model)
