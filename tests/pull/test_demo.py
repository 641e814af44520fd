"""The embedded SYNTHETIC corpus: reproducible, audibly labelled, and full of traps."""

import wave
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import signal
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.core.audio import decode
from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.pull.listing import Listing
from stages.pull.sources import demo

CONFIG = demo.Config(subjects=24)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo.fetch(CONFIG, folder, None)
    return folder


@pytest.fixture(scope="module")
def listings(corpus: Path) -> list[Listing]:
    return demo.recordings(CONFIG, corpus)


@pytest.fixture(scope="module")
def decoded(corpus: Path, listings: list[Listing]) -> dict[Path, np.ndarray]:
    readable = [r.path for r in listings if r.path.stem.partition("-")[0] != f"s{demo.UNDECODABLE:03d}"]
    return {path: decode.decode(corpus / path)[0] for path in readable}


def tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): files.sha256(p) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.thorough
def test_is_reproducible_and_more_subjects_leave_the_earlier_ones_alone(corpus: Path, tmp_path: Path) -> None:
    demo.fetch(demo.Config(subjects=12), tmp_path, None)
    again, whole = tree(tmp_path), tree(corpus)
    table = (tmp_path / "metadata.csv").read_text()
    assert table.count("\n") - 1 == sum(name.endswith(".wav") for name in again)
    assert (corpus / "metadata.csv").read_text().startswith(table)
    del again["metadata.csv"]
    assert again.items() <= whole.items()


def test_another_seed_makes_other_people() -> None:
    assert demo.subject(CONFIG, 1).f0_hz != demo.subject(demo.Config(seed=2), 1).f0_hz


def test_lists_every_file_with_its_subject_as_the_group(corpus: Path, listings: list[Listing]) -> None:
    assert sorted(r.path.name for r in listings) == sorted(p.name for p in (corpus / "audio").iterdir())
    assert all(r.path.stem.startswith(f"{r.group}-") for r in listings)
    assert {r.site for r in listings} == set(demo.SITES)
    assert {r.label for r in listings} == set(demo.LABELS)
    per_group = Counter(r.group for r in listings)
    extras = Counter(f"s{n:03d}" for n in (*demo.CONTRADICTORY, *demo.REPEATED, demo.UNDECODABLE, demo.SILENT))
    assert len(per_group) == CONFIG.subjects
    assert {per_group[g] - extras[g] for g in per_group} == {4, 5, 6}


def test_files_are_short_mono_16_bit_wav(corpus: Path, decoded: dict[Path, np.ndarray]) -> None:
    for path, samples in decoded.items():
        with wave.open(str(corpus / path)) as stream:
            assert stream.getparams()[:3] == (1, 2, demo.SAMPLE_RATE)
        assert 2 <= len(samples) / demo.SAMPLE_RATE <= 5


def test_exactly_one_file_is_no_audio(corpus: Path, listings: list[Listing]) -> None:
    suspects = [r for r in listings if r.group == f"s{demo.UNDECODABLE:03d}"]
    with pytest.raises(DataError, match="cannot be decoded"):
        decode.decode(corpus / suspects[-1].path)
    for listing in suspects[:-1]:
        assert np.abs(decode.decode(corpus / listing.path)[0]).max() > 0.02


def test_exactly_one_readable_file_is_silent(decoded: dict[Path, np.ndarray]) -> None:
    silent = [path for path, samples in decoded.items() if not samples.any()]
    assert [path.name.partition("-")[0] for path in silent] == [f"s{demo.SILENT:03d}"]
    assert min(np.abs(s).max() for p, s in decoded.items() if p not in silent) > 0.02


def test_duplicates_are_byte_identical_and_most_contradict_each_other(corpus: Path, listings: list[Listing]) -> None:
    copies = defaultdict(list)
    for listing in listings:
        copies[files.sha256(corpus / listing.path)].append(listing)
    pairs = [found for found in copies.values() if len(found) > 1]
    assert all(len(found) == 2 and found[0].group != found[1].group for found in pairs)
    contradictory = [found for found in pairs if found[0].label != found[1].label]
    assert (len(contradictory), len(pairs)) == (len(demo.CONTRADICTORY), len(demo.CONTRADICTORY) + len(demo.REPEATED))


def test_one_site_is_mostly_positive_and_the_others_mostly_negative() -> None:
    people = [demo.subject(demo.Config(), n) for n in range(1, 61)]
    positive = {site: np.mean([p.label == "positive" for p in people if p.site == site]) for site in demo.SITES}
    assert positive == pytest.approx({"clinic": 2 / 3, "home": 1 / 4, "phone": 1 / 3})
    assert min(Counter((p.site, p.label) for p in people).values()) >= 6


@pytest.mark.parametrize("effect", [0.0, 3.0])
def test_class_effect_is_the_distance_of_the_class_means_in_standard_deviations(effect: float) -> None:
    people = [demo.subject(demo.Config(class_effect=effect), n) for n in range(1, 1000)]
    negative, positive = ([p.wetness for p in people if p.label == label] for label in demo.LABELS)
    spread = np.sqrt((np.var(negative) + np.var(positive)) / 2)
    assert (np.mean(positive) - np.mean(negative)) / spread == pytest.approx(effect, abs=0.25)


def test_a_class_effect_makes_positive_coughs_longer_and_darker_and_leaves_negative_ones_alone() -> None:
    def centroid_hz(sound: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(sound)) ** 2
        return float(power @ np.fft.rfftfreq(len(sound), 1 / demo.SAMPLE_RATE) / power.sum())

    longer, darker = [], []
    for number in range(1, 21):
        without, with_effect = (demo.subject(demo.Config(class_effect=d), number) for d in (0.0, 3.0))
        before, after = (demo.cough(p, np.random.default_rng(number)) for p in (without, with_effect))
        if without.label == "negative":
            np.testing.assert_array_equal(before, after)
        else:
            longer.append(len(after) / len(before))
            darker.append(centroid_hz(after) / centroid_hz(before))
    assert min(longer) > 1
    assert np.median(darker) < 0.7


def test_the_tract_resonates_as_scipy_says() -> None:
    formants_hz = demo.subject(CONFIG, 1).formants_hz
    hz = np.linspace(0, demo.SAMPLE_RATE / 2, 500)
    poles = np.exp(np.pi * (2j * formants_hz - (80 + 0.06 * formants_hz)) / demo.SAMPLE_RATE)
    poles = np.concatenate([poles, poles.conj()])
    _, expected = signal.freqz_zpk(np.zeros(len(poles)), poles, 1.0, worN=hz, fs=demo.SAMPLE_RATE)
    np.testing.assert_allclose(demo._tract(hz, formants_hz), expected / expected[0], rtol=1e-9)


@pytest.mark.thorough
def test_who_coughs_leaks_when_recordings_are_dealt_out_one_by_one(decoded: dict[Path, np.ndarray]) -> None:
    """Labels drawn by lot for each subject cannot be learnt; a split that ignores subjects learns them all the same."""
    audible = {path: samples for path, samples in decoded.items() if samples.any()}
    subjects = np.array([path.name.partition("-")[0] for path in audible])
    bands = [signal.welch(samples, demo.SAMPLE_RATE, nperseg=256)[1][1::4] for samples in audible.values()]
    x = np.log(np.array(bands) + 1e-12)
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))

    def auc(folds: KFold | GroupKFold, y: np.ndarray, groups: np.ndarray | None = None) -> float:
        return roc_auc_score(y, cross_val_predict(nearest, x, y, groups=groups, cv=folds))

    rng = np.random.default_rng(0)
    names, rows = np.unique(subjects, return_inverse=True)
    lots = [rng.permutation(np.arange(len(names)) % 2)[rows] for _ in range(10)]
    assert np.mean([auc(KFold(4, shuffle=True, random_state=0), y) for y in lots]) > 0.9
    assert np.mean([auc(GroupKFold(4), y, subjects) for y in lots]) < 0.6


def test_says_that_it_is_synthetic(corpus: Path) -> None:
    assert "SYNTHETIC" in demo.CITATION
    assert "SYNTHETIC" in (corpus / "README.txt").read_text()


@pytest.mark.parametrize("values", [{"subjects": 11}, {"subjects": 1000}, {"seed": -1}, {"class_effect": -0.1}])
def test_refuses_values_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=rf"pull\.options\.demo\.{next(iter(values))} must be"):
        demo.Config(**values)  # type: ignore[arg-type]
