"""A small tree in the layout of Speech Commands, and the publisher's split of speakers against its own lists."""

import doctest
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.pull.sources import speech_commands
from stages.pull.sources.speech_commands import KEYWORDS, side_of
from stages.split.params import SplitParams
from stages.split.stage import split
from tests.pull.conftest import Publisher, Run
from tests.trees import bursts, encode, tar_gz

LISTED = {  # lines of the publisher's own lists
    "validation": ["e11fbc6e", "52e228e9", "ce0cb033", "1816b768", "a69b9b3e", "439c84f4", "026290a7", "44bc77f7"],
    "test": ["bfd26d6b", "b7e9f841", "b83c1acf", "47d01978", "e0c782d5", "63f7a489", "d0faf7e4", "8494fba8"],
}
RATE = 16_000
OTHERS = ("bed", "cat", "learn")
TRAINED = ("0a7c2a8d", "0132a06d", "01b4757a", "02746d24")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "speech_commands_v0.02"
    lists: dict[str, list[str]] = {"validation": [], "test": []}
    number = 0
    for word in (*KEYWORDS, *OTHERS):
        for speaker in (*TRAINED, *LISTED["validation"][:2], *LISTED["test"][:2]):
            name = f"{word}/{speaker}_nohash_0.wav"
            encode(folder / name, bursts(number, sample_rate=RATE, seconds=0.1), RATE)
            lists.get(side_of(speaker), []).append(name)
            number += 1
    for i, noise in enumerate(("doing_the_dishes", "pink_noise", "running_tap", "white_noise")):
        encode(folder / "_background_noise_" / f"{noise}.wav", bursts(1000 + i, sample_rate=RATE, seconds=3.2), RATE)
    (folder / "validation_list.txt").write_text("\n".join(lists["validation"]) + "\n")
    (folder / "testing_list.txt").write_text("\n".join(lists["test"]) + "\n")
    return folder


def test_the_split_of_speakers_is_the_publishers() -> None:
    assert all(side_of(speaker) == "train" for speaker in TRAINED)
    assert {side: {side_of(speaker) for speaker in of_it} for side, of_it in LISTED.items()} == {
        "validation": {"validation"},
        "test": {"test"},
    }
    speakers = [f"{number:08x}" for number in range(20_000)]
    shares = Counter(map(side_of, speakers))
    assert shares["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert shares["test"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert not doctest.testmod(speech_commands).failed


@pytest.mark.thorough
def test_twelve_classes_with_silence_of_noise_that_is_on_one_side(tree: Path, run: Run) -> None:
    report, index = run("speech_commands", tree.parent)
    assert files.read_json(tree.parents[1] / "data" / "labels.json") == [*KEYWORDS, "_silence_", "_unknown_"]
    # A second every half of 3.2 s: 5 of each of four recordings; per side, as many other words as a keyword has.
    assert report["labels"]["_silence_"] == {"found": 20, "usable": 20}
    assert report["labels"]["_unknown_"] == {"found": 8, "usable": 8}
    assert Counter(r.fold for r in index.values() if r.label == "_unknown_") == {"train": 4, "validation": 2, "test": 2}
    assert {r.group: r.fold for r in index.values() if r.label == "_silence_"} == {
        "doing_the_dishes": "train",
        "pink_noise": "validation",
        "running_tap": "test",
        "white_noise": "train",
    }
    sides = split(SplitParams(method="official"), list(index.values()))
    assert all(sides[name] == r.fold for name, r in index.items())
    piece = index["_silence_/running_tap_002.flac"]
    got, _ = soundfile.read(piece.path)
    whole, _ = soundfile.read(tree / "_background_noise_" / "running_tap.wav")
    np.testing.assert_allclose(got, whole[RATE : 2 * RATE], atol=1e-6)


@pytest.mark.thorough
def test_all_words_and_all_other_words(tree: Path, run: Run) -> None:
    report, index = run("speech_commands", tree, task="words35")
    assert (report["usable"], set(report["labels"])) == (13 * 8, {*KEYWORDS, *OTHERS})
    assert index["yes/bfd26d6b_nohash_0.wav"].group == "bfd26d6b"
    report, _ = run("speech_commands", tree, unknown=None, silence_hop_s=1.0)
    assert report["labels"]["_unknown_"]["found"] == 3 * 8
    assert report["labels"]["_silence_"]["found"] == 4 * 3


@pytest.mark.thorough
def test_the_published_archive_is_checked(
    tree: Path, run: Run, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    archive = tar_gz((f"./{path.relative_to(tree).as_posix()}", path.read_bytes()) for path in paths)
    publisher.contents["/speech_commands_v0.02.tar.gz"] = archive
    monkeypatch.setattr(speech_commands, "URL", f"{publisher.url}/speech_commands_v0.02.tar.gz")
    with pytest.raises(DataError, match="must have sha256 af14739ee7dc"):
        run("speech_commands", None)
    monkeypatch.setattr(speech_commands, "ARCHIVE", f"sha256:{hashlib.sha256(archive).hexdigest()}")
    assert run("speech_commands", None)[0]["usable"] == 10 * 8 + 8 + 20


def test_a_tree_of_another_version_is_refused(tree: Path, run: Run) -> None:
    table = tree / "testing_list.txt"
    table.write_text(table.read_text() + "yes/0a7c2a8d_nohash_0.wav\n")
    with pytest.raises(DataError, match=r"testing_list\.txt .*yes/0a7c2a8d"):
        run("speech_commands", tree)
    table.unlink()
    with pytest.raises(DataError, match=r"must hold testing_list\.txt"):
        run("speech_commands", tree)
    with pytest.raises(ParameterError, match=r"speech_commands\.unknown .*got 0\.0"):
        run("speech_commands", tree, unknown=0.0)
