import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.artifacts.pull_report import NearDuplicate
from stages.core.artifacts.recordings import Recording
from stages.core.project.errors import DataError
from stages.core.project.params import load
from stages.pull.fingerprint import SAMPLE_RATE, fingerprint, read, write
from stages.pull.near_duplicates import find
from stages.pull.params import NearDuplicateParams, PullParams
from stages.pull.stage import pull
from stages.split.stage import Known, audit

THRESHOLD = NearDuplicateParams().threshold


def bursts(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Return bursts of coloured noise, as of coughs, over a little noise."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SAMPLE_RATE)
    envelope = 0.01 + sum(np.exp(-((np.arange(n) / SAMPLE_RATE - at) ** 2) / 0.01) for at in rng.uniform(0.2, 2.8, 5))
    poles = [1, -1.2 * rng.uniform(0.5, 1), 0.6]
    return (0.1 * envelope * scipy.signal.lfilter([1], poles, rng.standard_normal(n))).astype(np.float32)


def noisy(samples: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(99).standard_normal(len(samples)).astype(np.float32)
    return samples + 0.1 * float(np.sqrt(np.square(samples).mean())) * noise


ORIGINALS = [bursts(seed) for seed in range(12)]
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gain": lambda x: 0.1 * x,
    "cut": lambda x: x[4000:20000],
    "offset": lambda x: np.concatenate([np.zeros(1234, np.float32), x]),
    "noise at 20 dB": noisy,
    "mixed with itself backwards at 6 dB": lambda x: x + 0.5 * x[::-1],
    "inverted": lambda x: -x,
    "low-pass": lambda x: scipy.signal.lfilter(scipy.signal.firwin(101, 2500, fs=SAMPLE_RATE), 1, x).astype(np.float32),
}


def pairs(recordings: list[np.ndarray]) -> set[tuple[int, int]]:
    with tempfile.TemporaryDirectory() as folder:
        prints = [Path(folder, str(i)) for i in range(len(recordings))]
        for path, samples in zip(prints, recordings, strict=True):
            write(path, fingerprint(samples))
        return {(pair.first, pair.second) for pair in find(prints, THRESHOLD)}


def test_a_fingerprint_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = fingerprint(bursts(0))
    write(tmp_path / "print", found)
    for name in ("hashes", "frames", "white"):
        np.testing.assert_array_equal(getattr(read(tmp_path / "print"), name), getattr(found, name))
    assert len(read(tmp_path / "print", white=False).white) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str) -> None:
    copies = [CHANGES[change](x) for x in ORIGINALS[:6]]
    assert pairs([*ORIGINALS, *copies]) == {(i, len(ORIGINALS) + i) for i in range(6)}


@settings(max_examples=15, deadline=None)
@given(st.integers(100, 10_000), st.floats(0.01, 10), st.integers(0, 8000))
def test_level_and_offset_do_not_matter(seed: int, gain: float, offset: int) -> None:
    sound = bursts(seed)
    assert pairs([sound, np.float32(gain) * np.pad(sound, (offset, 0))]) == {(0, 1)}


def test_a_sound_that_is_there_many_times_is_linked_throughout() -> None:
    linked = pairs([noisy(bursts(1) * np.float32(1 + i)) for i in range(40)])
    assert {place for pair in linked for place in pair} == set(range(40))


@pytest.mark.parametrize("samples", [[], [0.0] * 8000, [1.0] + [0.0] * 8000, [0.5] * 100])
def test_what_has_no_peaks_has_no_duplicates(samples: list[float]) -> None:
    sound = np.array(samples, np.float32)
    assert pairs([sound, sound]) == set()


def test_overlapping_parts_of_one_file_with_other_labels_are_kept_and_copies_elsewhere_are_not(tmp_path: Path) -> None:
    """An event and the background before it may be annotated with a common half second."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, sound in (("long", bursts(1)), ("other", bursts(2)), ("copy", 0.5 * bursts(2))):
        soundfile.write(mine / f"{name}.wav", sound / (2 * np.abs(sound).max()), SAMPLE_RATE)
    rows = ["long.wav,a,g1,0,1.5", "long.wav,b,g1,1,3", "other.wav,a,g2,0,3", "copy.wav,b,g3,0.1,3"]
    rows += [f"{i}.wav,{label},h{i},0,1" for i, label in enumerate("ab")]
    for i in range(2):
        soundfile.write(
            mine / f"{i}.wav", 0.1 * np.random.default_rng(50 + i).standard_normal(SAMPLE_RATE), SAMPLE_RATE
        )
    (mine / "list.csv").write_text("\n".join(["path,label,group,start_s,end_s", *rows]) + "\n")
    options = {"root": str(mine), "csv": str(mine / "list.csv")}
    found = pull(
        load(PullParams, {"source": "folder", "options": {"folder": options}}, "pull"),
        mirror=None,
        **{name: tmp_path / "out" / name for name in ("recordings", "index", "labels", "report")},
    )
    assert [(pair.first, pair.second) for pair in found.near_duplicates] == [("copy.wav@0.1-3", "other.wav@0-3")]
    assert {each.path for each in found.excluded} == {"copy.wav@0.1-3", "other.wav@0-3"}
    assert found.usable == 4


def test_near_duplicates_never_join_most_recordings_in_silence(tmp_path: Path) -> None:
    """As of a synthesiser: 6 of 8 speakers have one recording in common."""
    mine = tmp_path / "mine"
    for number in range(8):
        (mine / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        own = [bursts(100 + 10 * number + k) for k in range(3)]
        for k, sound in enumerate([*own, (1 + number) * bursts(1)] if number % 2 == 0 or number < 4 else own):
            name = mine / "ab"[number % 2 if k < 3 else 0] / f"s{number}-{k}.wav"
            soundfile.write(name, sound / (2 * np.abs(sound).max() + number), SAMPLE_RATE, subtype="FLOAT")
    options = {"root": str(mine), "group_pattern": "/(s[0-9])-"}

    def run(**near: object) -> int:
        params = {"source": "folder", "options": {"folder": options}, "near_duplicates": near}
        out = {name: tmp_path / "out" / name for name in ("recordings", "index", "labels", "report")}
        return pull(load(PullParams, params, "pull"), mirror=None, **out).groups

    with pytest.raises(DataError) as refused:
        run()
    sentence = (
        r"would join 6 of 8 groups, with 80% of the recordings, into one, .* such as a/s\d-3\.wav and a/s\d-3\.wav\."
    )
    assert re.search(sentence, str(refused.value))
    assert "or set pull.near_duplicates.action: report" in str(refused.value)
    assert run(action="report") == run(threshold=1000.0) == 8


def test_the_audit_refuses_near_duplicates_on_two_sides_and_counts_them_if_they_may_part() -> None:
    sides = {f"{label}{i}": side for label in "ab" for i, side in enumerate(("train", "validation", "test"))}
    corpus = [Recording(name, Path(name), name[0], name, "", "", name, 1.0, 8000) for name in sides]
    near = [NearDuplicate("a0", "a2", 80.0)]
    with pytest.raises(DataError, match="a0 and a2"):
        audit(corpus, sides, Known(near_duplicates=near))
    assert audit(corpus, sides, Known((), near, True)).near_duplicates_on_two_sides == 1
    assert audit(corpus, sides, Known((), [NearDuplicate("a0", "gone", 80.0)])).near_duplicates_on_two_sides == 0
