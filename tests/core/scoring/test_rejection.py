"""Rejection: the promised share of known sounds, by simulation, and what it says where it cannot promise."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.scoring import rejection
from stages.core.scoring.rejection import Sounds, conformal_limit, fit
from stages.runtime import rejection as runtime
from stages.runtime.rejection import confidence
from tests.messages import line_with


def confidences(rng: np.random.Generator, n_groups: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Clips of groups that differ in how sure the network is of them, and in how many they are."""
    counts = rng.integers(1, 12, n_groups)
    level = rng.normal(scale=spread, size=n_groups)
    groups = np.repeat(np.arange(n_groups), counts)
    return level[groups] + rng.normal(size=len(groups)), groups.astype(str)


@pytest.mark.parametrize("n_groups, share", [(19, 0.95), (30, 0.9), (60, 0.95)])
def test_a_clip_of_a_new_group_is_kept_at_least_as_often_as_promised(n_groups: int, share: float) -> None:
    rng, kept = np.random.default_rng(n_groups), []
    for _ in range(2000):
        sure, groups = confidences(rng, n_groups, spread=2.0)
        limit = conformal_limit(sure, groups, share)
        assert limit is not None
        kept.append(rng.normal(scale=2.0) + rng.normal() >= limit)
    error = np.sqrt(share * (1 - share) / len(kept))
    assert np.mean(kept) >= share - 3 * error
    assert np.mean(kept) <= share + 1 / (n_groups + 1) + 0.02 + 3 * error, "and not by never rejecting"


@pytest.mark.parametrize("measure", ["frontend_distance", "frontend_distance_and_scores"])
def test_a_rule_by_the_front_ends_output_keeps_the_promise_for_a_new_group(measure: str) -> None:
    """Groups differ in how they sound and in how sure the network is of them, and the two go together."""
    rng, share, n_groups, kept = np.random.default_rng(8), 0.9, 30, []

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        groups = np.repeat(np.arange(n), rng.integers(1, 4, n))
        colour = rng.normal(size=(n, 1, 3))[groups]
        features = 0.5 * colour + rng.normal(size=(len(groups), 6, 3))
        logits = np.abs(colour[:, 0, :1]) * [1.0, 0.0, 0.0] + rng.normal(size=(len(groups), 3))
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return features, scores, groups.astype(str)

    train, *_ = draw(40)
    for _ in range(1000):
        features, scores, groups = draw(n_groups)
        rule = fit(scores, groups, measure=measure, share=share, sounds=Sounds(train, features)).rule
        assert rule is not None
        assert (rule.by, rule.kept, rule.scores is None) == ("group", share, measure == "frontend_distance")
        new, theirs, _ = draw(1)
        kept.append(rule.excess(theirs[:1], rule.sound(new[:1]))[0] >= 0)
    error = np.sqrt(share * (1 - share) / len(kept))
    assert np.mean(kept) >= share - 3 * error
    assert np.mean(kept) <= share + 2 / (n_groups + 1) + 0.02 + 3 * error, "and not by never rejecting"


def test_two_limits_need_twice_as_many_groups_and_one_band_is_too_few() -> None:
    rng = np.random.default_rng(9)
    scores, names = rng.dirichlet(np.ones(3), 30), np.arange(30).astype(str)
    sounds = Sounds(rng.normal(size=(50, 6, 3)), rng.normal(size=(30, 6, 3)))
    assert fit(scores, names, measure="frontend_distance", share=0.95, sounds=sounds).rule is not None
    both = fit(scores, names, measure="frontend_distance_and_scores", share=0.95, sounds=sounds)
    assert (both.rule, both.reason) == (None, "30 validation clips; a share of 0.95 needs 39")
    level = Sounds(sounds.train[:, :, :1], sounds.validation[:, :, :1])
    single = fit(scores, names, measure="frontend_distance", share=0.9, sounds=level)
    assert line_with(single.reason, "frontend_distance", "at least 2 bands")


@pytest.mark.parametrize(
    "n_groups, bands, measure, by, two",
    [
        (39, 3, "frontend_distance", "group", True),
        (38, 3, "frontend_distance", "group", False),
        (19, 3, "frontend_distance", "group", False),
        (18, 3, "frontend_distance", "clip", True),
        (39, 1, "max_probability", "group", False),
    ],
)
def test_auto_is_by_sound_and_scores_where_the_promise_allows(
    n_groups: int, bands: int, measure: str, by: str, two: bool
) -> None:
    rng = np.random.default_rng(n_groups)
    scores, groups = rng.dirichlet(np.ones(3), 80), (np.arange(80) % n_groups).astype(str)
    sounds = Sounds(rng.normal(size=(50, 6, bands)), rng.normal(size=(80, 6, bands)))
    rule = fit(scores, groups, measure="auto", share=0.95, sounds=sounds).rule
    assert rule is not None
    assert (rule.measure, rule.by, rule.scores is not None) == (measure, by, two)


def test_by_clip_the_promise_fails_for_new_groups_which_is_why_groups_are_asked_for() -> None:
    rng, kept = np.random.default_rng(0), []
    for _ in range(1000):
        sure, _ = confidences(rng, 6, spread=2.0)
        limit = conformal_limit(sure, np.arange(len(sure)).astype(str), 0.95)
        kept.append(limit is None or rng.normal(scale=2.0) + rng.normal() >= limit)
    assert np.mean(kept) < 0.93


@given(st.lists(st.integers(0, 5), min_size=20, max_size=60), st.integers(0, 100), st.sampled_from([0.5, 0.8, 0.9]))
def test_ties_are_kept_or_rejected_together_and_a_larger_share_never_raises_the_limit(
    values: list[int], seed: int, share: float
) -> None:
    sure = np.array(values, float)
    groups = np.random.default_rng(seed).integers(0, 15, len(sure)).astype(str)
    limit, lower = conformal_limit(sure, groups, share), conformal_limit(sure, groups, (1 + share) / 2)
    assert lower is None or (limit is not None and lower <= limit)
    if limit is not None:
        names, membership, counts = np.unique(groups, return_inverse=True, return_counts=True)
        weight = 1 / ((len(names) + 1) * counts[membership])
        assert weight[sure < limit].sum() + 1 / (len(names) + 1) <= 1 - share + 1e-9


def test_with_too_few_groups_the_promise_is_by_clip_and_with_too_few_clips_there_is_none() -> None:
    scores = np.random.default_rng(1).dirichlet(np.ones(4), 60)
    by_group = fit(scores, (np.arange(60) % 30).astype(str), measure="auto", share=0.95)
    assert by_group.rule is not None
    assert (by_group.rule.by, by_group.rule.measure, by_group.groups) == ("group", "max_probability", 30)
    by_clip = fit(scores, (np.arange(60) % 6).astype(str), measure="margin", share=0.95)
    assert by_clip.rule is not None
    assert by_clip.rule.by == "clip"
    none = fit(scores[:10], np.arange(10).astype(str), measure="auto", share=0.95)
    assert (none.rule, none.reason) == (None, "10 validation clips; a share of 0.95 needs 19")


def test_a_binary_task_abstains_about_its_threshold_and_a_multi_label_task_does_not() -> None:
    scores = np.random.default_rng(2).uniform(0.01, 0.99, 200)
    found = fit(scores, np.arange(200).astype(str), measure="auto", share=0.8, threshold=0.3).rule
    assert found is not None
    sure = confidence(scores[:, None], "distance", 0.3)
    undecided = scores[sure < found.limit]
    assert 0.17 < len(undecided) / 200 <= 0.2
    assert undecided.min() < 0.3 < undecided.max()
    several = fit(
        scores[:, None].repeat(2, 1), np.arange(200).astype(str), measure="auto", share=0.8, threshold=(0.5, 0.5)
    )
    assert several.rule is None
    assert "multi-label" in several.reason
    wrong = fit(scores, np.arange(200).astype(str), measure="margin", share=0.8, threshold=0.3)
    assert line_with(wrong.reason, "margin", "distance")


def test_confidences_are_what_they_say() -> None:
    p = np.random.default_rng(3).dirichlet(np.ones(5), 100)
    ordered = np.sort(p, axis=1)
    np.testing.assert_allclose(confidence(p, "max_probability"), ordered[:, -1])
    np.testing.assert_allclose(confidence(p, "margin"), ordered[:, -1] - ordered[:, -2], atol=2e-6)
    from scipy.stats import entropy

    np.testing.assert_allclose(confidence(p, "entropy"), -entropy(p, axis=1), atol=1e-4)
    assert np.isfinite(confidence(np.array([[0.0], [1.0]]), "distance", 1.5)).all()


@pytest.mark.parametrize("module", [rejection, runtime])
def test_the_examples_run(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("cepstral", [False, True])
def test_another_microphone_keeps_known_sounds_and_steady_noise_stays_unknown(cepstral: bool) -> None:
    """Clips whose level rises and falls; a microphone shifts every band by up to 12 dB; noise is steady."""
    rng, basis = np.random.default_rng(12), np.linalg.qr(np.random.default_rng(13).normal(size=(8, 8)))[0]

    def levels(n: int, depth: float) -> np.ndarray:
        envelope = depth * np.sin(np.linspace(0, np.pi, 20))[:, np.newaxis] * rng.uniform(0.7, 1.3, (n, 1, 8))
        return rng.normal(-50, 5, (n, 1, 8)) + envelope + rng.normal(scale=2, size=(n, 20, 8))

    def seen(each: np.ndarray) -> np.ndarray:
        return np.asarray(each @ basis if cepstral else each, np.float32)

    train, validation, test, noise = levels(300, 30.0), levels(300, 30.0), levels(300, 30.0), levels(100, 0.0)
    sounds, names = Sounds(seen(train), seen(validation)), np.arange(300).astype(str)
    rule = fit(np.full((300, 3), 1 / 3), names, measure="frontend_distance", share=0.95, sounds=sounds).rule
    assert rule is not None
    scores = np.full((300, 3), 1 / 3)
    other = test + np.linspace(-12, 0, 8)
    assert np.mean(rule.excess(scores, rule.sound(seen(other))) >= 0) > 0.85
    assert np.mean(rule.excess(scores[:100], rule.sound(seen(noise))) >= 0) == 0.0


@pytest.mark.parametrize("background", [True, False])
def test_words_in_noise_are_known_where_noise_is_a_class(background: bool) -> None:
    """Levels of words rise and fall above a floor; noise behind them lifts the floor."""
    rng = np.random.default_rng(14)

    def levels(n: int, depth: float, floor: float) -> np.ndarray:
        envelope = depth * np.sin(np.linspace(0, np.pi, 20))[:, np.newaxis] * rng.uniform(0.7, 1.3, (n, 1, 8))
        return np.maximum(envelope, floor) + rng.normal(scale=2, size=(n, 20, 8))

    def side(n: int) -> np.ndarray:
        clips = levels(n, 30.0, 0.0)
        return np.concatenate([clips[: n // 2], levels(n // 2, 0.0, 15.0)]) if background else clips

    scores, names = np.full((300, 3), 1 / 3), np.arange(300).astype(str)
    sounds = Sounds(side(300), side(300))
    rule = fit(scores, names, measure="auto", share=0.95, sounds=sounds).rule
    assert rule is not None
    assert rule.frontend is not None
    kept = float(np.mean(rule.excess(scores, rule.sound(levels(300, 30.0, 20.0))) >= 0))
    assert kept > 0.9 if background else kept < 0.1
