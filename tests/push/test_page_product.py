"""Scores in a real browser against Python: every scheme, architecture and front end at least once.

`python -m tests.bench.browser product` runs all of them with each other.
"""

import numpy as np
import pytest

from stages.core.litert import flatbuffer
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import plugins
from stages.core.project.errors import DataError, DeviceError
from stages.features.params import FRONTENDS
from stages.push import browser, page
from stages.quantize.params import SCHEMES
from stages.runtime.litert import Model
from tests import products
from tests.one_browser import one_browser
from tests.products import NATURAL, SMALL, features_of, quantised, waveforms

pytestmark = pytest.mark.thorough

# Float arithmetic rounds otherwise in the last digits; where a feature falls on the next integer, a network of few
# bits makes a step of its own. Full integers with 4-bit weights are held to what 8 bits are: XNNPACK computes them in
# the browser, and in Python once their integers are stored as bytes.
WITHIN = {"float": 2e-5, "dynamic": 3e-2, "static_wi8_ai16": 1e-3, "static": 5e-2}


def within(scheme: str) -> float:
    kind = scheme.partition("_")[0]
    return WITHIN.get(scheme, WITHIN[kind if kind in WITHIN else "float"])


@pytest.fixture(autouse=True)
def _a_page_and_a_browser() -> None:
    pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    try:
        page.built()
        browser.find()
    except (DataError, DeviceError) as error:
        pytest.skip(str(error))


def test_every_scheme_architecture_and_front_end_scores_in_the_browser_as_in_python() -> None:
    architectures, schemes = plugins.names(ARCHITECTURES), plugins.names(SCHEMES)
    wrong, frontends, spread = [], set(), 0.0
    with one_browser(SMALL.sample_rate) as asked:
        for i in range(max(len(architectures), len(schemes))):
            architecture, scheme = architectures[i % len(architectures)], schemes[i % len(schemes)]
            frontend = NATURAL.get(architecture, "log_mel")
            frontends.add(frontend)
            first, clips = SMALL.exported(frontend), waveforms(SMALL.clip_samples(frontend), 20)
            features = features_of(first, clips)
            model = quantised(SMALL.settled(architecture, features), features, [scheme])[scheme]
            contents = flatbuffer.read(model)
            as_one = i % 2 == 1 or {*contents.inputs, *contents.outputs} != {"float32"}
            expected = Model(products.unpacked(model) if scheme.startswith("static") else model).run(features)
            found = asked.scores(first, model, clips, as_one=as_one)
            difference = float(np.abs(found - expected).max())
            equal = int((found.argmax(1) == expected.argmax(1)).sum())
            spread = max(spread, float(expected.std(axis=0).max()))
            if difference > within(scheme) or equal < 19:
                wrong.append(f"{frontend}, {architecture}, {scheme}: {difference:.2g}, {equal} of 20 decisions equal")
    assert not wrong
    assert spread > 0.05
    assert frontends == set(plugins.names(FRONTENDS))


def test_a_refused_release_is_an_error_and_not_a_score() -> None:
    """What the sample above leans on: a file that is no model gives the browser's own words."""
    first, clips = SMALL.exported("raw"), waveforms(SMALL.clip_samples("raw"), 2)
    features = features_of(first, clips)
    made = quantised(SMALL.settled("micro_acdnet", features), features, ["static_wi8_ai8"])
    with one_browser(SMALL.sample_rate) as asked, pytest.raises(DeviceError, match="INT8 is not supported"):
        asked.scores(first, made["static_wi8_ai8"], clips, as_one=False)
