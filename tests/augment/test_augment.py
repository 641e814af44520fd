import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
from librosa.effects import pitch_shift

from stages.augment.params import AugmentParams
from stages.augment.presets import edac_coswara, edac_coughvid, environment, none
from stages.augment.stage import Copy, augment, make_copy
from stages.core.artifacts.recordings import Recording, read_index
from stages.core.audio import decode
from stages.core.audio.spec_augment import Masks
from stages.core.project import files
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.project.params import load

RATE = 8000


def recording(folder: Path, name: str, label: str, group: str) -> Recording:
    samples = np.random.default_rng(len(name) + ord(name[0])).normal(0, 0.1, RATE // 2)
    path = folder / "recordings" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    sha256 = decode.content_hash(decode.decode(path)[0])
    return Recording(name, path, label, group, "home", "", sha256, 0.5, RATE)


@pytest.fixture
def corpus(tmp_path: Path) -> list[Recording]:
    return [
        recording(tmp_path, "a.wav", "ill", "anna"),
        recording(tmp_path, "b.wav", "ill", "ben"),
        recording(tmp_path, "c.wav", "well", "carl"),
        recording(tmp_path, "d.wav", "ill", "dora"),
        recording(tmp_path, "e.wav", "ill", "emil"),
    ]


SPLITS = {"a.wav": "train", "b.wav": "train", "c.wav": "train", "d.wav": "validation", "e.wav": "test"}
PARAMS = AugmentParams(preset="environment", copies={"ill": 2}, options={"environment": {"p": 1.0}})


def written(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_only_training_recordings_are_copied_and_each_copy_keeps_its_parent(
    tmp_path: Path, corpus: list[Recording]
) -> None:
    target = tmp_path / "augmented"
    before = written(tmp_path / "recordings")
    copies, redrawn = augment(PARAMS, corpus, splits=SPLITS, target=target, workers=1)
    assert [(c.recording_id, c.parent, c.group, c.label, c.site, c.sample_rate) for c in copies] == [
        ("a.wav.copy1", "a.wav", "anna", "ill", "home", RATE),
        ("a.wav.copy2", "a.wav", "anna", "ill", "home", RATE),
        ("b.wav.copy1", "b.wav", "ben", "ill", "home", RATE),
        ("b.wav.copy2", "b.wav", "ben", "ill", "home", RATE),
    ]
    assert redrawn == []
    assert read_index(target / "index.csv") == copies
    assert set(written(target)) == {"index.csv", "masks.json", *(f"audio/{c.recording_id}.wav" for c in copies)}
    assert all(decode.content_hash(decode.decode(c.path)[0]) == c.sha256 for c in copies)
    assert all(soundfile.info(c.path).subtype == "PCM_16" for c in copies)
    assert len({r.sha256 for r in (*corpus, *copies)}) == len(corpus) + len(copies)  # all differ
    assert written(tmp_path / "recordings") == before


@pytest.mark.thorough
def test_neither_the_order_nor_the_number_of_workers_matters(tmp_path: Path, corpus: list[Recording]) -> None:
    params = AugmentParams(preset="edac_coswara", copies={"ill": 2})
    target = tmp_path / "augmented"
    copies, _ = augment(params, corpus[::-1], splits=SPLITS, target=target, workers=2)
    # What comes first in a fresh process comes last here, in one that has imported whatever there is to import.
    chains = {n: edac_coswara.compose(edac_coswara.Config(), n).transforms for n in (1, 2)}
    alone = [
        make_copy(Copy(parent, number, params.seed), chains[number], work=tmp_path / "w", target=target)[0]
        for parent, number in ((corpus[1], 2), (corpus[1], 1), (corpus[0], 2), (corpus[0], 1))
    ]
    assert alone[::-1] == copies
    assert written(tmp_path / "w").items() <= written(target).items()


def test_copies_are_of_the_recording_or_chained_each_of_the_copy_before(
    tmp_path: Path, corpus: list[Recording]
) -> None:
    def fold(samples: np.ndarray, _rate: int) -> np.ndarray:
        return samples[::2]

    def lengths(folder: str, *, chained: bool) -> list[int]:
        made = [
            make_copy(Copy(corpus[0], number, 7, chained), [fold], work=tmp_path / folder, target=tmp_path / folder)[0]
            for number in (1, 2, 3)
        ]
        return [len(decode.decode(copy.path)[0]) for copy in made]

    assert lengths("apart", chained=False) == [RATE // 4] * 3
    assert lengths("chained", chained=True) == [RATE // 4, RATE // 8, RATE // 16]


@pytest.mark.thorough
def test_chained_makes_the_second_copy_of_exactly_the_firsts_samples(tmp_path: Path, corpus: list[Recording]) -> None:
    target, again = tmp_path / "augmented", tmp_path / "again"
    params = AugmentParams(preset="edac_coswara", copies={"ill": 2}, chained=True)
    copies, _ = augment(params, corpus, splits=SPLITS, target=target, workers=2)
    unchained, _ = augment(dataclasses.replace(params, chained=False), corpus, splits=SPLITS, target=again, workers=1)
    assert copies[0].sha256 == unchained[0].sha256
    assert copies[1].sha256 != unchained[1].sha256
    chain = edac_coswara.compose(edac_coswara.Config(), 2).transforms
    second = Copy(dataclasses.replace(corpus[0], path=copies[0].path), 2, params.seed)  # B of the file that A made
    made, _ = make_copy(second, chain, work=tmp_path / "w", target=target)
    assert made == copies[1]


def test_a_finished_copy_is_not_made_again(tmp_path: Path, corpus: list[Recording]) -> None:
    calls: list[int] = []

    def halve(samples: np.ndarray, rate: int) -> np.ndarray:
        calls.append(rate)
        return samples * 0.5

    copy = Copy(corpus[0], 1, 7)
    first, draws = make_copy(copy, [halve], work=tmp_path / "w", target=tmp_path / "w")
    again, draws_again = make_copy(copy, [halve], work=tmp_path / "w", target=tmp_path / "w")
    assert again == first
    assert (draws, draws_again, calls) == (1, 0, [RATE])


def test_the_seed_the_recording_and_the_number_each_change_the_draw(tmp_path: Path, corpus: list[Recording]) -> None:
    def draw(copy: Copy, folder: str) -> tuple[float, ...]:
        drawn: list[float] = []

        def note(samples: np.ndarray, rate: int) -> np.ndarray:
            drawn.extend((random.random(), np.random.random()))  # noqa: NPY002
            return samples

        make_copy(copy, [note, note], work=tmp_path / folder, target=tmp_path)
        return tuple(drawn)

    first = draw(Copy(corpus[0], 1, 1), "1")
    random.random()  # whatever happened before
    assert draw(Copy(corpus[0], 1, 1), "2") == first
    others = [draw(Copy(corpus[0], 2, 1), "3"), draw(Copy(corpus[1], 1, 1), "4"), draw(Copy(corpus[0], 1, 2), "5")]
    assert len({first, *others}) == 4


def test_a_silent_copy_is_drawn_again_and_one_always_silent_is_an_error(
    tmp_path: Path, corpus: list[Recording]
) -> None:
    results = [np.zeros(100, np.float32), np.zeros(0, np.float32), np.resize(np.array([0.5, -0.5], np.float32), 100)]
    copy, draws = make_copy(Copy(corpus[0], 1, 1), [lambda *_: results.pop(0)], work=tmp_path, target=tmp_path)
    assert draws == 3
    assert copy.duration_s == 100 / RATE
    with pytest.raises(DataError, match=r"makes .*b\.wav silent, drawn 10 times"):
        make_copy(Copy(corpus[1], 1, 1), [lambda x, _: x * 0], work=tmp_path, target=tmp_path)


def test_a_copy_beyond_full_scale_is_clipped(tmp_path: Path, corpus: list[Recording]) -> None:
    copy, _ = make_copy(Copy(corpus[0], 1, 1), [lambda x, _: x * 100], work=tmp_path, target=tmp_path)
    loud = decode.decode(copy.path)[0]
    assert np.array_equal(np.sign(loud), np.sign(decode.decode(corpus[0].path)[0]))  # no wrap-around
    assert np.abs(loud).max() == 1.0


def test_no_copies_still_give_an_index(tmp_path: Path, corpus: list[Recording]) -> None:
    for params in (AugmentParams(preset="none", copies={"ill": 3}), AugmentParams(copies={})):
        assert augment(params, corpus, splits=SPLITS, target=tmp_path / "out", workers=1) == ([], [])
        assert read_index(tmp_path / "out" / "index.csv") == []


def test_the_masks_are_handed_on_class_by_class(tmp_path: Path, corpus: list[Recording]) -> None:
    params = AugmentParams(preset="none", masks=Masks(copies={"all": 1, "ill": 2}, time=7))
    augment(params, corpus, splits=SPLITS, target=tmp_path / "out", workers=1)
    handed = Masks(**files.read_json(tmp_path / "out" / "masks.json"))
    assert handed == Masks(copies={"ill": 2, "well": 1}, time=7)
    with pytest.raises(ParameterError, match=r"augment\.masks\.copies .*`all`"):
        AugmentParams(masks=Masks(copies={"positive": 2})).masks_per_class({"a", "b"})


def test_copies_per_class() -> None:
    assert AugmentParams(copies={"ill": 2}).copies_per_class({"ill", "well"}) == {"ill": 2, "well": 0}
    assert AugmentParams(copies={"all": 1, "ill": 3}).copies_per_class({"ill", "well"}) == {"ill": 3, "well": 1}
    with pytest.raises(ParameterError, match=r"augment\.copies .*a, b.*got 'positive'"):
        AugmentParams(copies={"positive": 2}).copies_per_class({"a", "b"})


def test_a_recording_without_a_side_is_told(tmp_path: Path, corpus: list[Recording]) -> None:
    with pytest.raises(DataError, match=r"c\.wav and 2 others.*`dvc repro split`"):
        augment(PARAMS, corpus, splits={"a.wav": "train", "b.wav": "train"}, target=tmp_path / "out", workers=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"copies": {"ill": -1}}, r"augment\.copies\.ill must be from 0 to 100; got -1"),
        ({"copies": {"ill": 1.5}}, r"augment\.copies\.ill must be a whole number; got 1\.5"),
        (
            {"preset": "edac_coswar"},
            r"augment\.preset .*mean 'edac_coswara'.*Known: .*edac_coswara",
        ),
        ({"options": {"edac_coswara": {"trim_db": 0}}}, r"augment\.options\.edac_coswara\.trim_db must be above 0"),
        ({"chained": 1}, r"augment\.chained .*got 1"),
    ],
)
def test_wrong_params_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        load(AugmentParams, values, "augment").configure()


@pytest.mark.parametrize(
    ("number", "stretch_p", "rates"), [(1, 0.9, (0.7, 1.4)), (2, 0.5, (0.8, 1.25)), (3, 0.9, (0.7, 1.4))]
)
def test_edac_coswara_is_the_published_configurations_in_turn(
    number: int, stretch_p: float, rates: tuple[float, float]
) -> None:
    chain = edac_coswara.compose(edac_coswara.Config(), number).transforms
    assert [(type(t).__name__, t.p) for t in chain] == [
        ("TimeStretch", stretch_p),
        ("PitchShift", 1.0),
        ("Shift", 0.8),
        ("Trim", 1.0),
        ("Gain", 1.0),
        ("PolarityInversion", 0.8),
    ]
    stretch, pitch, shift, _, gain, _ = chain
    assert (stretch.min_rate, stretch.max_rate, stretch.method) == (*rates, "librosa_phase_vocoder")
    assert (pitch.min_semitones, pitch.max_semitones, pitch.method) == (-2, 4, "librosa_phase_vocoder")
    assert (shift.min_shift, shift.max_shift, shift.shift_unit, shift.rollover, shift.fade) == (
        -0.5,
        0.5,
        "fraction",
        True,
        False,
    )
    assert (gain.min_gain_db, gain.max_gain_db) == (-12, 12)


def test_edac_coughvid_is_librosas_pitch_shift_by_four_semitones_down(rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.1, RATE).astype(np.float32)
    shifted = edac_coughvid.compose(edac_coughvid.Config(), 1)(samples.copy(), RATE)
    expected = pitch_shift(samples, sr=RATE, n_steps=-4)
    np.testing.assert_allclose(shifted, expected, atol=1e-5)


@pytest.mark.thorough
def test_backgrounds_are_mixed_in_at_the_ratio_that_is_drawn(tmp_path: Path, corpus: list[Recording]) -> None:
    folder = tmp_path / "noise"
    folder.mkdir()
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(3 * 16_000) / 16_000)
    soundfile.write(folder / "one tone.flac", np.stack([tone, tone], axis=1), 16_000)
    (folder / "notes.txt").write_text("recorded on Monday")
    options = {"folder": str(folder), "min_snr_db": 10, "max_snr_db": 10}
    params = AugmentParams(preset="background", copies={"ill": 1}, options={"background": options})
    copies, _ = augment(params, corpus, splits=SPLITS, target=tmp_path / "augmented", workers=1)
    assert len(copies) == 2
    for copy, parent in zip(copies, corpus[:2], strict=True):
        clean, noisy = (decode.decode(path)[0].astype(np.float64) for path in (parent.path, copy.path))
        added = noisy - clean
        assert 10 * np.log10(np.mean(clean**2) / np.mean(added**2)) == pytest.approx(10, abs=0.2)
        loudest = np.argmax(np.abs(np.fft.rfft(added))) * RATE / len(added)
        assert loudest == pytest.approx(1000, abs=4)
    before = written(tmp_path / "augmented")
    soundfile.write(folder / "one tone.flac", np.sin(np.arange(30_000) * 0.9), 16_000)
    augment(params, corpus, splits=SPLITS, target=tmp_path / "augmented", workers=1)
    assert written(tmp_path / "augmented") != before, "another background is another result"


def test_a_folder_without_backgrounds_and_what_is_no_sound_are_named(tmp_path: Path, corpus: list[Recording]) -> None:
    def run(folder: Path) -> None:
        params = AugmentParams(preset="background", options={"background": {"folder": str(folder)}})
        augment(params, corpus, splits=SPLITS, target=tmp_path / "augmented", workers=1)

    with pytest.raises(DataError, match=r"augment.options.background.folder .*nowhere"):
        run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"must hold recordings; .*empty holds none"):
        run(tmp_path / "empty")
    (tmp_path / "empty" / "text.wav").write_text("no sound")
    with pytest.raises(EdacError, match=r"text\.wav"):
        run(tmp_path / "empty")
    assert not (tmp_path / "augmented").exists()


def test_every_preset_gives_sound_of_the_same_rate(rng: np.random.Generator) -> None:
    samples = rng.normal(0, 0.1, RATE).astype(np.float32)
    random.seed(1)
    for preset in (edac_coswara, edac_coughvid, environment):
        altered = preset.compose(preset.Config(), 1)(samples.copy(), RATE)  # type: ignore[attr-defined]
        assert altered.dtype == np.float32
        assert 0 < len(altered) <= len(samples)
        assert not np.array_equal(altered, samples)
    assert np.array_equal(none.compose(none.Config(), 1)(samples.copy(), RATE), samples)


@pytest.mark.thorough
def test_an_interrupted_run_goes_on_with_the_copies_it_had(tmp_path: Path, corpus: list[Recording]) -> None:
    target = tmp_path / "augmented"
    away = tmp_path / "away.wav"
    corpus[1].path.replace(away)
    with pytest.raises(DataError, match=r"b\.wav does not exist"):
        augment(PARAMS, corpus, splits=SPLITS, target=target, workers=1)
    assert not target.exists()
    (work,) = tmp_path.glob(".augmented.*.partial")
    kept = {p.name: p.stat().st_ino for p in (work / "audio").iterdir()}
    assert set(kept) == {"a.wav.copy1.wav", "a.wav.copy2.wav"}
    away.replace(corpus[1].path)
    copies, _ = augment(PARAMS, corpus, splits=SPLITS, target=target, workers=1)
    assert len(copies) == 4
    assert {name: (target / "audio" / name).stat().st_ino for name in kept} == kept
    assert list(tmp_path.glob(".augmented.*")) == []
