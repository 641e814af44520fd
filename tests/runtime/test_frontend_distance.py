"""A rule by the front end's output: on a device it decides as at home, and noise is unknown."""

import doctest
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from stages.core.scoring.rejection import Sounds, fit
from stages.runtime import frontend_distance, manifest, rejection
from stages.runtime.classify import Classifier
from stages.runtime.frontend_distance import BANDS, FrontEndDistance, summaries
from stages.runtime.litert import Model
from stages.runtime.recording import Recording
from stages.runtime.rejection import Rejection
from stages.runtime.stream import WindowRule, listen
from tests.runtime.conftest import CLIP, RATE, write_wav


def known(rng: np.random.Generator, n: int) -> np.ndarray:
    """Tones that come and go, which are what the release was made for: (n, CLIP) float32."""
    time = np.arange(CLIP) / RATE
    pitch, tempo = rng.uniform(200, 900, (n, 1)), rng.uniform(2, 4, (n, 1))
    envelope = np.sin(np.pi * tempo * time) ** 2
    hiss = rng.normal(scale=1e-3, size=(n, CLIP))
    return (rng.uniform(0.1, 0.8, (n, 1)) * envelope * np.sin(2 * np.pi * pitch * time) + hiss).astype(np.float32)


@pytest.fixture(scope="module", params=["frontend_distance", "frontend_distance_and_scores"])
def case(
    request: pytest.FixtureRequest, releases: dict[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Rejection]:
    """A release with a rule fitted on known sounds, and the rule."""
    folder = Path(shutil.copytree(releases[3], tmp_path_factory.mktemp("distance") / "release"))
    rng = np.random.default_rng(4)
    frontend, model = Model(folder / "frontend.tflite"), Model(folder / "model.tflite")
    train, validation = (frontend.run(known(rng, n)) for n in (100, 60))
    scores = model.run(validation)
    found = fit(
        scores, np.arange(60).astype(str), measure=request.param, share=0.9, sounds=Sounds(train, validation)
    ).rule
    assert found is not None
    path = folder / manifest.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reject": found.plain()}))
    return folder, found


def test_the_device_decides_as_home_and_noise_is_unknown(case: tuple[Path, Rejection], tmp_path: Path) -> None:
    folder, rule = case
    classifier = Classifier(folder)
    assert classifier.manifest.reject == rule, "JSON loses nothing"
    rng = np.random.default_rng(5)
    noise = np.clip(rng.normal(size=(20, CLIP)) * rng.uniform(0.01, 0.2, (20, 1)), -1, 1).astype(np.float32)
    clips = np.concatenate([known(rng, 60), noise])
    features = classifier.frontend.run(clips)
    home = rule.excess(classifier.model.run(features), rule.sound(features)) < 0
    device = np.array([classifier.classify(each, RATE)["unknown"] for each in clips])
    np.testing.assert_array_equal(device, home)
    assert device[60:].all()
    assert device[:60].mean() < 0.3

    write_wav(tmp_path / "both.wav", np.concatenate([clips[np.flatnonzero(~device)[0]], noise[0]]))
    windows = list(Recording(classifier, tmp_path / "both.wav").windows())
    assert ["unknown" in each for each in windows] == [False, True]
    heard = list(listen(classifier, iter([noise[0], noise[1]]), RATE, WindowRule(CLIP / RATE)))
    assert [each["decision"] for each in heard] == ["unknown", "unknown"]


def test_the_distance_is_that_of_mahalanobis_as_scipy_has_it() -> None:
    rng = np.random.default_rng(6)
    x, means, scales = rng.normal(size=(10, 30, 3)), rng.normal(size=6), rng.uniform(0.5, 2, 6)
    rule = FrontEndDistance(tuple(means), tuple(scales))
    values = np.hstack([x.mean(axis=1), x.std(axis=1)])
    expected = [mahalanobis(each, means, np.diag(scales**-2.0)) / np.sqrt(6) for each in values]
    np.testing.assert_allclose(-rule.confidence(x), expected)


def test_many_bands_are_averaged_in_their_order_and_the_rule_is_small() -> None:
    x = np.random.default_rng(7).normal(size=(4, 9, 40, 1)).astype(np.float32)
    found = summaries(x)
    assert found.shape == (4, 2 * BANDS)
    edges = [i * 40 // BANDS for i in range(BANDS + 1)]
    merged = np.stack([x[:, :, a:b, 0].mean(axis=2) for a, b in itertools.pairwise(edges)], axis=2)
    np.testing.assert_allclose(found[:, :BANDS], merged.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(found[:, BANDS:], merged.std(axis=1), atol=1e-6)
    labels = np.arange(4).astype(str)
    rule = fit(np.full((4, 3), 1 / 3), labels, measure="frontend_distance", share=0.5, sounds=Sounds(x, x)).rule
    assert rule is not None
    assert len(json.dumps(rule.plain())) < 2000


PLAIN: dict[str, Any] = {"means": [0.0, 1.0], "scales": [1.0, 2.0]}
RULE: dict[str, Any] = {"measure": "frontend_distance", "limit": -2.0, "kept": 0.9, "by": "group", "frontend": PLAIN}


@pytest.mark.parametrize("rule", [RULE, RULE | {"scores": {"measure": "distance", "limit": 0.5}}])
def test_a_rule_goes_through_json_and_back(rule: dict[str, Any], alter: Callable[..., None], release: Path) -> None:
    alter(reject=rule)
    found = manifest.load(release).reject
    assert found is not None
    assert found.plain() == rule


@pytest.mark.parametrize(
    "rule, match",
    [
        ({k: v for k, v in RULE.items() if k != "frontend"}, "frontend if measure is frontend_distance"),
        (RULE | {"measure": "distance"}, "frontend_distance, and only then"),
        (RULE | {"frontend": None}, "frontend .*means and scales"),
        (RULE | {"frontend": PLAIN | {"scales": [1.0]}}, "equally many means and scales"),
        (RULE | {"frontend": PLAIN | {"scales": [1.0, 0.0]}}, "scales above 0"),
        (RULE | {"frontend": PLAIN | {"means": [0.0, "1"]}}, "means as a list of numbers"),
        (RULE | {"scores": {"measure": "margin", "limit": 0.5}}, "of its kind of task"),
        (RULE | {"scores": {"measure": "distance", "limit": None}}, "must have numbers as limit"),
        (RULE | {"scores": {"limit": 1}}, "must have scores as an object"),
    ],
)
def test_a_broken_rule_is_told(rule: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        rejection.parse(rule, binary=True)


def test_other_features_than_those_it_was_fitted_on_are_refused() -> None:
    with pytest.raises(ValueError, match="describes clips by 2 values; these have 6"):
        FrontEndDistance((0.0, 1.0), (1.0, 1.0)).confidence(np.zeros((1, 5, 3)))


@pytest.mark.parametrize("module", [frontend_distance, rejection])
def test_the_examples_run(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
