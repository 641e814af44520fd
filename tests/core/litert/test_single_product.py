"""One file against the two in turn, to the bit: front end x architecture x scheme, and in TensorFlow Lite Micro."""

import re
from pathlib import Path

import numpy as np
import pytest

from stages.core.litert import single
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import plugins
from stages.evaluate import micro
from stages.features.params import FRONTENDS
from stages.runtime.litert import Model
from tests.products import SMALL, features_of, pairs, quantised, waveforms

pytestmark = pytest.mark.thorough


def test_every_front_end_architecture_and_scheme() -> None:
    made: dict[tuple[str, tuple[int, ...]], dict[str, bytes]] = {}
    wrong, ran = [], []
    for frontend, architecture in pairs():
        first, clips = SMALL.exported(frontend), waveforms(SMALL.clip_samples(frontend))
        features = features_of(first, clips)
        key = architecture, features.shape[1:]
        if key not in made:
            model = SMALL.settled(architecture, features)
            made[key] = {} if model is None else quantised(model, features)
        if made[key]:
            ran.append((frontend, architecture))
        for scheme, model in made[key].items():
            expected = Model(model).run(features)
            found = Model(single.merge(first, model)).run(clips)
            if not np.array_equal(found, expected):
                worst = np.abs(found - expected).max()
                wrong.append(f"{frontend}, {architecture}, {scheme}: differs by {worst:.3g}")
    assert not wrong
    assert {frontend for frontend, _ in ran} == set(plugins.names(FRONTENDS))
    assert {architecture for _, architecture in ran} == set(plugins.names(ARCHITECTURES))


@pytest.mark.skipif(not micro.available(), reason="needs the extra `micro`")
def test_tensorflow_lite_micro_gives_the_same_bits_or_names_the_operator(tmp_path: Path) -> None:
    found: dict[tuple[str, str], str] = {}
    for frontend in plugins.names(FRONTENDS):
        first, clips = SMALL.exported(frontend), waveforms(SMALL.clip_samples(frontend))
        features = features_of(first, clips)
        architecture = {"raw": "micro_acdnet", "mel_image": "edac_cnn_lstm"}.get(frontend, "ds_cnn")
        made = quantised(SMALL.settled(architecture, features), features)
        for scheme in ("float32", "static_wi8_ai8", "dynamic_wi8_afp32"):
            path = tmp_path / f"{frontend}_{scheme}.tflite"
            path.write_bytes(single.merge(first, made[scheme]))
            found[frontend, scheme] = micro.run(path, clips).refused
    named = re.compile(r" operator [A-Z][A-Z0-9_]+$")
    unnamed = {key: said for key, said in found.items() if said and not named.search(said)}
    assert not unnamed
    assert [key for key, said in found.items() if not said] == [("mfcc", "float32"), ("raw", "float32")], found
