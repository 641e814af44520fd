"""Files of every scheme that are sound pass, and broken ones do not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.core.litert import flatbuffer
from stages.core.project import plugins
from stages.core.project.errors import ModelError
from stages.quantize import agreement
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model

BROKEN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last kernel zeroed": np.zeros_like,
    "classes exchanged": lambda kernel: kernel[::-1] if len(kernel) > 1 else -kernel,
    "sign lost": np.negative,
}
EIGHT_BITS, _ = QuantizeParams().scheme("static_wi8_ai8")
COARSE, _ = QuantizeParams().scheme("static_wi4_ai8")


@pytest.mark.parametrize("name", plugins.names(SCHEMES))
@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_sound_file_passes_and_a_broken_one_does_not(
    float32s: dict[int, bytes], clips: np.ndarray, name: str, n_classes: int
) -> None:
    scheme, config = QuantizeParams().scheme(name)
    last = flatbuffer.read(float32s[n_classes]).prunable[-1]
    large = 8 * last.values  # as training leaves them
    float32 = flatbuffer.with_float_constants(float32s[n_classes], {last.name: large})
    expected = Model(float32).run(clips)

    def judge(content: bytes) -> None:
        scores = Model(scheme.quantize(config, content, clips)).run(clips)
        agreement.require(agreement.measure(scores, expected), scheme, name)

    judge(float32)
    for change in BROKEN.values():
        with pytest.raises(ModelError, match=rf"{name}: .*not the network"):
            judge(flatbuffer.with_float_constants(float32, {last.name: change(large)}))


@pytest.mark.parametrize(("scores", "said"), [(np.nan, "must be finite"), (np.inf, "must be finite")])
def test_a_score_that_is_no_number_is_refused(rng: np.random.Generator, scores: float, said: str) -> None:
    expected = rng.uniform(size=20)
    with pytest.raises(ModelError, match=said):
        agreement.measure(np.where(np.arange(20) == 3, scores, expected), expected)


def test_a_constant_is_refused_unless_the_network_is_one(rng: np.random.Generator) -> None:
    expected = rng.uniform(size=40)
    with pytest.raises(ModelError, match="the same to every clip"):
        agreement.require(agreement.measure(np.full(40, expected.mean()), expected), COARSE, "v")
    flat = 0.61 + 0.002 * rng.uniform(size=40)
    found = agreement.measure(np.full(40, 0.61), flat)
    assert found.rank_correlation is None
    agreement.require(found, COARSE, "v")


def test_exchanged_classes_are_named(rng: np.random.Generator) -> None:
    expected = rng.dirichlet(np.full(4, 0.5), size=60)
    found = agreement.measure(expected[:, [0, 2, 1, 3]], expected)
    assert found.exchanged in ((1, 2), (2, 1))
    with pytest.raises(ModelError, match=r"class \d ranks .*class \d of the network"):
        agreement.require(found, COARSE, "v")


def test_a_sure_network_of_many_classes_may_be_rounded_to_256_steps(rng: np.random.Generator) -> None:
    """Nine of ten scores are near 0, and in 8 bits all the same: their order is no sign of a fault."""
    logits = rng.normal(size=(200, 10)) + 12 * np.eye(10)[rng.integers(0, 10, 200)]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found: Any = agreement.measure(np.rint(expected * 256) / 256, expected)
    assert found.rank_correlation > 0.99


def test_scores_between_two_steps_may_change_ranks_by_nothing(rng: np.random.Generator) -> None:
    """Half of the clips have a score that two steps are equally near: rounding of the last bit moves them all."""
    expected = np.where(rng.random(120) < 0.5, 0.0, rng.uniform(0.3, 1.0, 120))
    for _ in range(20):  # the edge moves with the spread, which it decides
        step = expected.std() / agreement.STEPS
        expected[expected < 0.3] = 0.5 * step
    scores = np.clip(expected + np.where(expected < 0.3, rng.normal(0, 1e-4, 120), 0), 0, 1)
    found = agreement.measure(scores, expected)
    assert found.rank_correlation is not None
    assert found.rank_correlation < agreement.LIMITS[32].rank_correlation
    agreement.require(found, QuantizeParams().scheme("float32")[0], "v")


def test_a_wrong_scale_spreads_the_scores_otherwise(rng: np.random.Generator) -> None:
    expected = rng.uniform(0.1, 0.9, size=80)
    logits = np.log(expected / (1 - expected))
    for scale in (0.3, 3.0):
        found = agreement.measure(1 / (1 + np.exp(-scale * logits)), expected)
        assert found.rank_correlation == pytest.approx(1, abs=0.03)
        with pytest.raises(ModelError, match=r"0\.6 to 1\.6 times"):
            agreement.require(found, EIGHT_BITS, "v")
    with pytest.raises(ModelError, match=r"median difference .*at most"):
        agreement.require(agreement.measure(1 / (1 + np.exp(-logits - 2)), expected), EIGHT_BITS, "v")
