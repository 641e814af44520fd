import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SPLITS, LeakageAudit, SplitCounts, SplitSummary
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.params import load
from stages.split.params import SplitParams
from stages.split.stage import audit, split, summarise


def recording(name: str, label: str, group: str, *, site: str = "", fold: str = "", sha256: str = "") -> Recording:
    return Recording(name, Path(name), label, group, site, fold, sha256 or f"hash of {name}", 1.0, 8000)


@st.composite
def corpora(draw: st.DrawFn) -> list[Recording]:
    """Two or three classes of 3 to 30 groups of 1 to 5 recordings each, at up to three sites."""
    found = []
    for label in "abc"[: draw(st.integers(2, 3))]:
        for g in range(draw(st.integers(3, 30))):
            site = draw(st.sampled_from(["", "home", "ward"]))
            for i in range(draw(st.integers(1, 5))):
                found.append(recording(f"{label}{g}-{i}", label, f"{label}{g}", site=site))
    return found


seeds = st.integers(0, 9)


@given(corpora(), seeds, st.booleans())
def test_no_group_is_on_two_sides_and_every_class_on_each(corpus: list[Recording], seed: int, by_site: bool) -> None:
    sides = split(SplitParams(seed=seed, by_site=by_site), corpus)
    assert set(sides) == {r.recording_id for r in corpus}
    by_group: dict[str, set[str]] = {}
    for r in corpus:
        by_group.setdefault(r.group, set()).add(sides[r.recording_id])
    assert all(len(at) == 1 for at in by_group.values())
    assert {(r.label, sides[r.recording_id]) for r in corpus} == {(r.label, s) for r in corpus for s in SPLITS}


@pytest.mark.thorough
@given(corpora(), seeds)
def test_each_class_is_within_a_large_group_of_its_fractions(corpus: list[Recording], seed: int) -> None:
    params = SplitParams(seed=seed, by_site=False)
    sides = split(params, corpus)
    found = Counter[tuple[str, str]]((r.label, sides[r.recording_id]) for r in corpus)
    for label, n in Counter(r.label for r in corpus).items():
        for side, fraction in params.fractions.items():
            assert abs(found[label, side] - fraction * n) <= 5.5  # of three groups of 5 each side must have one


@pytest.mark.thorough
@given(corpora(), seeds, st.randoms())
def test_the_order_of_rows_does_not_matter_and_the_seed_decides(
    corpus: list[Recording], seed: int, shuffler: random.Random
) -> None:
    before = split(SplitParams(seed=seed), corpus)
    shuffler.shuffle(corpus)
    assert split(SplitParams(seed=seed), corpus) == before


def test_another_seed_gives_another_split() -> None:
    corpus = [recording(f"{label}{i}", label, f"{label}{i}") for label in "ab" for i in range(20)]
    assert len({tuple(split(SplitParams(seed=seed), corpus).items()) for seed in range(5)}) == 5


def test_equal_groups_follow_the_fractions_exactly_in_every_stratum() -> None:
    corpus = [
        recording(f"{label}-{site}-{i}", label, f"{label}-{site}-{i}", site=site)
        for label, n in (("ill", 20), ("well", 40))
        for site in ("home", "ward")
        for i in range(n)
    ]
    sides = split(SplitParams(), corpus)
    found = Counter((r.label, r.site, sides[r.recording_id]) for r in corpus)
    for site in ("home", "ward"):
        assert [found["ill", site, side] for side in SPLITS] == [14, 3, 3]
        assert [found["well", site, side] for side in SPLITS] == [28, 6, 6]


def test_groups_that_hold_two_classes_stay_whole() -> None:
    corpus = [recording(f"{g}{label}", label, f"g{g}") for g in range(10) for label in "ab"]
    counts = Counter(split(SplitParams(), corpus).values())
    assert counts == {"train": 14, "validation": 4, "test": 2} or counts == {"train": 14, "validation": 2, "test": 4}


def test_a_class_with_too_few_groups_is_told() -> None:
    corpus = [recording(f"a{i}", "a", f"a{i}") for i in range(9)] + [recording(f"b{i}", "b", "ben") for i in range(9)]
    with pytest.raises(DataError, match=r"'b' has 1 \('ben'\)"):
        split(SplitParams(), corpus)


def folded() -> list[Recording]:
    return [recording(f"{label}{fold}", label, f"{label}{fold}", fold=fold) for label in "ab" for fold in "12345"]


FOLDS = {"train": (1, 2, 3), "validation": (4,), "test": ("5",)}


def test_official_folds_go_where_they_are_put() -> None:
    sides = split(load(SplitParams, {"method": "official", "folds": FOLDS}, "split"), folded())
    assert sides == {
        f"{label}{fold}": {"4": "validation", "5": "test"}.get(fold, "train") for label in "ab" for fold in "12345"
    }


@given(seeds)
def test_of_a_test_fold_alone_validation_is_taken_by_group_from_the_others(seed: int) -> None:
    corpus = [
        recording(f"{label}{fold}-{i}", label, f"{label}{fold}-{i // 2}", fold=str(fold))
        for label in "ab"
        for fold in range(1, 6)
        for i in range(20)
    ]
    sides = split(load(SplitParams, {"method": "official", "folds": {"test": [2]}, "seed": seed}, "split"), corpus)
    assert {r.recording_id for r in corpus if r.fold == "2"} == {name for name, side in sides.items() if side == "test"}
    assert Counter(sides.values()) == {"train": 132, "validation": 28, "test": 40}  # 0.15 of 0.85, in groups of two
    by_group: dict[str, set[str]] = {}
    for r in corpus:
        by_group.setdefault(r.group, set()).add(sides[r.recording_id])
    assert all(len(at) == 1 for at in by_group.values())


def test_a_test_fold_that_is_not_published_is_told() -> None:
    with pytest.raises(DataError, match=r"split.folds.test must .*got '6'. Known: '1', '2'"):
        split(SplitParams(method="official", folds={"test": (6,)}), folded())


def test_official_split_names_need_no_folds() -> None:
    corpus = [recording(f"{label}-{side}", label, f"{label}-{side}", fold=side) for label in "ab" for side in SPLITS]
    assert split(SplitParams(method="official"), corpus) == {r.recording_id: r.fold for r in corpus}


def test_a_fold_without_a_side_and_a_source_without_folds_are_told() -> None:
    with pytest.raises(DataError, match=r"fold .*'1', '2', '3' and 2 more"):
        split(SplitParams(method="official"), folded())
    with pytest.raises(DataError, match=r"'6' has none"):
        split(SplitParams(method="official", folds=FOLDS), [*folded(), recording("x", "a", "x", fold="6")])
    with pytest.raises(DataError, match=r"published folds; .*none"):
        split(SplitParams(method="official", folds=FOLDS), [dataclasses.replace(r, fold="") for r in folded()])


def test_leaks_in_official_folds_fail_the_stage() -> None:
    params = SplitParams(method="official", folds=FOLDS)
    with pytest.raises(DataError, match=r"group .*two sides .*'a1' is"):
        split(params, [*folded(), recording("leak", "a", "a1", fold="5")])
    with pytest.raises(DataError, match=r"sha256 .*two sides .*'hash of a1' is"):
        split(params, [*folded(), recording("leak", "a", "z", fold="5", sha256="hash of a1")])
    with pytest.raises(DataError, match=r"every side; test .*'b'"):
        split(params, [r for r in folded() if r.recording_id != "b5"])


def test_the_audit_stands_alone() -> None:
    corpus = [recording(f"{label}{i}", label, f"{label}{i}") for label in "ab" for i in range(3)]
    sides = {r.recording_id: SPLITS[int(r.recording_id[1])] for r in corpus}
    assert audit(corpus, sides) == LeakageAudit(groups=6, contents=6)
    with pytest.raises(DataError, match="'both' is"):
        audit([dataclasses.replace(r, group="both") if r.label == "a" else r for r in corpus], sides)


def test_the_summary_counts_by_hand() -> None:
    corpus = [
        recording("1", "ill", "anna", site="ward"),
        recording("2", "well", "anna", site="ward"),
        recording("3", "ill", "ben", site="home"),
        *(recording(f"{label}-{i}", label, f"{label}-{i}") for label in ("ill", "well") for i in "45"),
    ]
    sides = {r.recording_id: {"4": "validation", "5": "test"}.get(r.recording_id[-1], "train") for r in corpus}
    summary = summarise(SplitParams(), corpus, sides)
    sites = {
        "home": SplitCounts(1, 1, {"ill": 1.0, "well": 0.0}),
        "ward": SplitCounts(2, 1, {"ill": 0.5, "well": 0.5}),
    }
    assert summary.train == SplitSummary(3, 2, {"ill": 0.6667, "well": 0.3333}, sites)
    assert summary.test == SplitSummary(2, 2, {"ill": 0.5, "well": 0.5})
    assert summary.audit.on_two_sides == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"fractions": {"train": 0.7, "test": 0.3}},
            r"split\.fractions .*got \['test', 'train'\]",
        ),
        ({"fractions": {"train": 0.7, "validation": 0.2, "test": 0.2}}, r"split\.fractions must sum to 1; got 1\.[01]"),
        ({"fractions": {"train": 70, "validation": 15, "test": 15}}, r"split\.fractions must lie in \(0, 1\)"),
        (
            {"folds": {"train": [1, 2], "validation": [2], "test": [3]}},
            r"split\.folds .*one side only",
        ),
        ({"folds": {"train": [1]}}, r"split\.folds .*got \['train'\]"),
        ({"method": "random"}, r"split\.method .*groups, official; got 'random'"),
    ],
)
def test_wrong_params_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        load(SplitParams, values, "split")


@pytest.mark.parametrize("parts", [2, 5, 12])
def test_each_group_is_tested_once_over_the_parts(parts: int) -> None:
    corpus = [recording(f"{g}-{w}-{t}", w, f"g{g:02}") for g in range(12) for w in "ab" for t in range(1 + g % 3)]
    tested: list[str] = []
    for part in range(parts):
        sides = split(SplitParams(parts=parts, part=part), corpus)
        groups = {side: {r.group for r in corpus if sides[r.recording_id] == side} for side in SPLITS}
        assert sum(map(len, groups.values())) == 12
        assert parts < 12 or len(groups["test"]) == 1
        tested += sorted(groups["test"])
    assert sorted(tested) == [f"g{g:02}" for g in range(12)]


def test_more_parts_than_groups() -> None:
    corpus = [recording(f"{g}-{w}", w, f"g{g}") for g in range(4) for w in "ab"]
    with pytest.raises(DataError, match=r"split\.parts .*4 groups; got 5"):
        split(SplitParams(parts=5), corpus)
    with pytest.raises(ParameterError, match=r"split\.part .*3 parts; got 3"):
        SplitParams(parts=3, part=3)


def test_a_published_split_is_used_or_ignored_on_purpose() -> None:
    with pytest.raises(DataError, match=r"\('1', '2', '3' and 2 more\), .*split.method: groups"):
        split(SplitParams(), folded())
    sides = split(SplitParams(ignore_published=True), folded())
    assert set(sides.values()) == set(SPLITS)


@given(corpora(), seeds)
def test_tested_sites_are_tested_whole_and_nowhere_else(corpus: list[Recording], seed: int) -> None:
    sites = {r.site for r in corpus}
    labels = {r.label for r in corpus}
    at_home = {(r.label, r.group) for r in corpus if r.site != "ward"}
    enough = all(sum(label == held for held, _ in at_home) >= 3 for label in labels)
    if "ward" not in sites or not enough or {r.label for r in corpus if r.site == "ward"} != labels:
        return
    sides = split(SplitParams(seed=seed, test_sites=("ward",)), corpus)
    assert {r.recording_id for r in corpus if r.site == "ward"} == {n for n, side in sides.items() if side == "test"}
    assert len({(r.group, sides[r.recording_id]) for r in corpus}) == len({r.group for r in corpus})


def test_tested_sites_must_exist_and_leave_others() -> None:
    corpus = [
        recording(f"{label}{i}", label, f"{label}{i}", site=("home", "ward")[i % 2])
        for label in "ab"
        for i in range(20)
    ]
    with pytest.raises(DataError, match=r"test_sites .*got 'attic'. Known: 'home', 'ward'"):
        split(SplitParams(test_sites=("attic",)), corpus)
    with pytest.raises(DataError, match=r"test_sites .*train on"):
        split(SplitParams(test_sites=("home", "ward")), corpus)
    with pytest.raises(ParameterError, match=r"test_sites .*split.method: groups"):
        SplitParams(test_sites=("home",), parts=3)
