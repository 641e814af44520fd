"""Recordings of several labels onto sides: no group in two places, every class everywhere, near the fractions."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SPLITS
from stages.core.project.errors import DataError
from stages.split.groups import stratify
from stages.split.params import SplitParams
from stages.split.stage import split, summarise

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def recording(name: str, labels: str, group: str, *, fold: str = "") -> Recording:
    return Recording(name, Path(name), "|".join(labels), group, "", fold, f"hash of {name}", 1.0, 8000)


@st.composite
def corpora(draw: st.DrawFn) -> list[Recording]:
    """Groups of up to four recordings of any labels, and of each class three groups that hold nothing else."""
    labels = "abcde"[: draw(st.integers(2, 5))]
    found = [recording(f"{label}{g}", label, f"only {label}{g}") for label in labels for g in range(3)]
    some = st.sets(st.sampled_from(labels), min_size=1).map(lambda names: "".join(sorted(names)))
    for g, members in enumerate(draw(st.lists(st.lists(some, min_size=1, max_size=4), min_size=1, max_size=40))):
        found += [recording(f"{g}-{i}", names, f"g{g}") for i, names in enumerate(members)]
    return [*found, recording("several", labels, "several")]


seeds = st.integers(0, 9)


@given(corpora(), seeds)
def test_no_group_is_on_two_sides_and_every_class_on_each(corpus: list[Recording], seed: int) -> None:
    sides = split(SplitParams(seed=seed), corpus)
    assert set(sides) == {r.recording_id for r in corpus}
    assert len({(r.group, sides[r.recording_id]) for r in corpus}) == len({r.group for r in corpus})
    labels = {label for r in corpus for label in r.labels}
    held = {(label, sides[r.recording_id]) for r in corpus for label in r.labels}
    assert held == {(label, side) for label in labels for side in SPLITS}


@pytest.mark.thorough
@given(corpora(), seeds, st.randoms())
def test_the_order_of_rows_does_not_matter_and_the_seed_decides(
    corpus: list[Recording], seed: int, shuffler: random.Random
) -> None:
    before = split(SplitParams(seed=seed), corpus)
    shuffler.shuffle(corpus)
    assert split(SplitParams(seed=seed), corpus) == before


def tagged(rng: np.random.Generator, n: int) -> list[Recording]:
    """Single recordings, whose labels are rarer the later in the alphabet."""
    chances = np.array([0.5, 0.3, 0.15, 0.05, 0.02])
    drawn = rng.uniform(size=(n, 5)) < chances
    drawn[~drawn.any(axis=1), 0] = True
    return [recording(f"r{i}", "".join(np.array(list("abcde"))[row]), f"g{i}") for i, row in enumerate(drawn)]


def distance(corpus: list[Recording], sides: dict[str, str]) -> float:
    """Return the chi-square distance of the labels' counts from their targets."""
    counts = Counter(label for r in corpus for label in r.labels)
    held = Counter((label, sides[r.group]) for r in corpus for label in r.labels)
    return sum(
        (held[label, side] - fraction * n) ** 2 / (fraction * n)
        for label, n in counts.items()
        for side, fraction in FRACTIONS.items()
    )


@pytest.mark.thorough
@settings(max_examples=12)
@given(st.integers(0, 30), st.integers(1, 4))
def test_no_group_could_be_moved_to_come_nearer(seed: int, size: int) -> None:
    """Groups of some size, of the three commoner classes."""
    drawn = [r for r in tagged(np.random.default_rng(seed), 120) if not {"d", "e"} & set(r.labels)]
    corpus = [recording(r.recording_id, r.label.replace("|", ""), f"g{i // size}") for i, r in enumerate(drawn)]
    sides = stratify(corpus, FRACTIONS, by_site=False, seed=seed)
    best = distance(corpus, sides)
    for group in sides:
        for side in FRACTIONS:
            assert distance(corpus, sides | {group: side}) > best - 1e-6


def distribution_error(corpus: list[Recording], sides: dict[str, str]) -> float:
    """Return the paper's measure LD: how far each label's odds on each side are from its odds in all."""
    labels = sorted({label for r in corpus for label in r.labels})
    errors = []
    for label in labels:
        n = sum(label in r.labels for r in corpus)
        for side in FRACTIONS:
            there = [r for r in corpus if sides[r.group] == side]
            k = sum(label in r.labels for r in there)
            errors.append(abs(k / max(len(there) - k, 1) - n / (len(corpus) - n)))
    return float(np.mean(errors))


def test_labels_are_distributed_better_than_by_chance(rng: np.random.Generator) -> None:
    corpus = tagged(rng, 400)
    ours = distribution_error(corpus, stratify(corpus, FRACTIONS, by_site=False, seed=1))
    names, weights = list(FRACTIONS), list(FRACTIONS.values())
    chance = [
        distribution_error(corpus, {r.group: str(side) for r, side in zip(corpus, drawn, strict=True)})
        for drawn in rng.choice(names, size=(20, len(corpus)), p=weights)
    ]
    assert ours < min(chance)


def test_official_folds_of_recordings_with_several_labels() -> None:
    corpus = [
        recording(f"{fold}-{i}", labels, f"g{fold}-{i}", fold=str(fold))
        for fold in range(1, 4)
        for i, labels in enumerate(["a", "b", "ab", "ab", "c", "bc", "c", "a"])
    ]
    sides = split(SplitParams(method="official", folds={"test": (3,)}), corpus)
    assert {r.recording_id for r in corpus if sides[r.recording_id] == "test"} == {
        r.recording_id for r in corpus if r.fold == "3"
    }
    summary = summarise(SplitParams(), corpus, sides)
    assert summary.audit.on_two_sides == 0
    assert summary.test.prevalence == {"a": 0.5, "b": 0.5, "c": 0.375}


def test_a_class_that_comes_with_too_few_groups_is_told() -> None:
    corpus = [recording(f"r{i}", "ab" if i < 2 else "a", f"g{i}") for i in range(9)]
    with pytest.raises(DataError, match=r"'b' has 2 \('g0', 'g1'\)"):
        split(SplitParams(), corpus)
