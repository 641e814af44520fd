"""Class folders as people have them: splits, links, leftovers, empty folders, files that are no audio."""

import os
from pathlib import Path
from typing import Any

import pytest

from stages.core.project.errors import DataError, ParameterError
from stages.pull.tree import chosen, not_audio, walk
from tests.pull.test_labels_and_groups import PATTERN, Own, own

__all__ = ["own"]


@pytest.fixture
def classes(own: Own) -> Own:
    for name in ("dog/anna-1.wav", "dog/ben-1.wav", "cat/carl-1.wav", "cat/dora-1.wav"):
        own.sound(name)
    return own


def reasons(report: dict[str, Any]) -> dict[str, str]:
    return {entry["path"]: entry["reason"] for entry in report["excluded"]}


def test_what_nobody_put_there_is_counted_and_passed_over(classes: Own) -> None:
    for name in ("dog/._anna-1.wav", "cat/.DS_Store", "Thumbs.db", "cat/desktop.ini", "__MACOSX/dog/x.wav"):
        (classes.root / name).parent.mkdir(parents=True, exist_ok=True)
        (classes.root / name).write_bytes(b"\0\1")
    report = classes.pull(**PATTERN)
    assert report["excluded_by_reason"] == {"hidden file": 5}
    assert set(reasons(report)) == {"dog/._anna-1.wav", "cat/.DS_Store", "Thumbs.db", "cat/desktop.ini", "__MACOSX"}
    assert report["usable"] == 4


def test_links_are_followed_once_loops_are_not_and_dangling_ones_are_named(classes: Own, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    elsewhere = Own(tmp_path / "disk")
    elsewhere.written = 100
    elsewhere.sound("emil-1.wav")
    elsewhere.sound("deep/fred-1.wav")
    (classes.root / "dog" / "more").symlink_to(elsewhere.root)
    (classes.root / "dog" / "again").symlink_to(elsewhere.root)
    (classes.root / "dog" / "up").symlink_to("..")
    (classes.root / "dog" / "above").symlink_to(tmp_path)
    (classes.root / "cat" / "dogs").symlink_to("../dog")
    (classes.root / "cat" / "gone-1.wav").symlink_to("nowhere.wav")
    (classes.root / "cat" / "gil-1.wav").symlink_to(elsewhere.root / elsewhere.sound("gil.wav"))
    report = classes.pull(**PATTERN, exclude=["gil.wav"])
    expected = {
        "dog/above": "link to a folder that holds it",
        "dog/up": "link to a folder that holds it",
        "cat/dogs": "link to dog,",
        "dog/more": "link to dog/again,",
        "cat/gone-1.wav": "dangling link",
        "dog/again/gil.wav": "include or exclude",
    }
    assert reasons(report).keys() == expected.keys()
    assert all(expected[path] in reason for path, reason in reasons(report).items()), reasons(report)
    assert set(classes.index()) == {
        "dog/anna-1.wav",
        "dog/ben-1.wav",
        "cat/carl-1.wav",
        "cat/dora-1.wav",
        "cat/gil-1.wav",
        "dog/again/emil-1.wav",
        "dog/again/deep/fred-1.wav",
    }
    assert report["found"] == report["usable"] + len(report["excluded"])


def test_a_folder_that_links_to_itself_and_a_pipe_do_not_hang(classes: Own) -> None:
    (classes.root / "dog" / "self").symlink_to("self")
    os.mkfifo(classes.root / "dog" / "pipe-1.wav")
    assert reasons(classes.pull(**PATTERN)) == {"dog/self": "dangling link", "dog/pipe-1.wav": "no regular file"}


def test_a_class_folder_without_recordings_is_named(classes: Own) -> None:
    (classes.root / "bird").mkdir()
    (classes.root / "notes" / "old").mkdir(parents=True)
    (classes.root / "notes" / "old" / "readme.txt").write_text("nothing to hear")
    (classes.root / "list.csv").write_text("path,label\n")
    report = classes.pull(**PATTERN)
    assert reasons(report) == {
        "bird": "class folder without recordings",
        "notes": "class folder without recordings",
        "notes/old/readme.txt": "no audio: text",
        "list.csv": "no audio: text",
    }
    with pytest.raises(DataError, match=r"class 'bird' .*no usable"):
        classes.pull(**PATTERN, labels=["bird", "cat", "dog"])


def test_a_file_beside_the_class_folders_is_named(classes: Own) -> None:
    classes.sound("lost-1.wav")
    assert reasons(classes.pull(**PATTERN)) == {"lost-1.wav": "in no class folder"}


@pytest.mark.parametrize("layout", ["{side}/{label}/{name}", "{label}/{side}/{name}"])
@pytest.mark.parametrize(
    ("sides", "folds"),
    [
        (("train", "test"), {"train", "test"}),
        (("Training", "Validation", "TEST"), {"train", "validation", "test"}),
        (("fold1", "fold2"), {"fold1", "fold2"}),
        (("dev", "eval"), {"dev", "eval"}),
        (("train_set", "testset"), {"train", "test"}),
        (("Training Data", "Testing Data"), {"train", "test"}),
    ],
)
def test_folders_of_a_split_are_asked_about(own: Own, layout: str, sides: tuple[str, ...], folds: set[str]) -> None:
    for number, side in enumerate(sides):
        for label in ("dog", "cat"):
            own.sound(layout.format(side=side, label=label, name=f"{label}{chr(97 + number) * 3}-1.wav"))
    with pytest.raises(DataError, match=r"\(.*\); set pull\.options\.folder\.split_folders"):
        own.pull(**PATTERN)
    report = own.pull(**PATTERN, split_folders=True)
    assert set(report["labels"]) == {"dog", "cat"}
    assert {r.fold for r in own.index().values()} == folds
    report = own.pull(**PATTERN, split_folders=False)
    assert set(report["labels"]) == (set(sides) if layout.startswith("{side}") else {"dog", "cat"})


def test_an_empty_class_folder_in_a_split_is_named_and_groups_span_the_split(own: Own) -> None:
    for name in ("train/dog/anna-1.wav", "train/cat/ben-1.wav", "test/cat/anna-2.wav"):
        own.sound(name)
    (own.root / "test" / "dog").mkdir()
    report = own.pull(group_pattern=r"/(.+)-\d+\.", split_folders=True)
    assert reasons(report) == {"test/dog": "class folder without recordings"}
    assert {r.group for r in own.index().values()} == {"anna", "ben"}


def test_a_class_named_train_is_a_class(own: Own) -> None:
    for name in ("train/a-1.wav", "bus/b-1.wav", "tram/c-1.wav"):
        own.sound(name)
    assert set(own.pull(**PATTERN)["labels"]) == {"train", "bus", "tram"}
    with pytest.raises(DataError, match="split_folders must be false"):
        own.pull(**PATTERN, split_folders=True)


def test_one_flat_folder_with_two_patterns(own: Own) -> None:
    for name in ("dog_anna_1.wav", "dog_ben_1.wav", "cat_anna_1.wav"):
        own.sound(name)
    (own.root / "readme.md").write_text("# mine")
    report = own.pull(label_pattern="^([^_]+)_", group_pattern="_(.+)_")
    assert {i: (r.label, r.group) for i, r in own.index().items()} == {
        "dog_anna_1.wav": ("dog", "anna"),
        "dog_ben_1.wav": ("dog", "ben"),
        "cat_anna_1.wav": ("cat", "anna"),
    }
    assert reasons(report) == {"readme.md": "no audio: text"}
    own.sound("lost.wav")
    with pytest.raises(DataError, match=r"label_pattern .*lost\.wav"):
        own.pull(label_pattern="^([^_]+)_", group_pattern="(.)")
    with pytest.raises(ParameterError, match=r"label_pattern .*one pair"):
        own.pull(label_pattern="^[^_]+_", group_pattern="_(.+)_")


def test_files_are_known_by_what_they_hold(tmp_path: Path) -> None:
    contents = {
        "a.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        "b": (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        "c": (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        "d": ("Füße\n".encode() * 200, "text"),
        "e": (b"RIFF\0\0\0\0WAVEfmt ", ""),
        "f": (b"fLaC\0\0\0\x22", ""),
        "g": (b"ID3\x03\0", ""),
        "h": (b"", ""),
        "i": (b"PK\x03\x04", "a zip archive"),
    }
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    assert {name: not_audio(tmp_path / name) for name in contents} == {
        name: kind for name, (_, kind) in contents.items()
    }


def test_globs() -> None:
    assert chosen("ward/dog/a.wav", [], [])
    assert chosen("ward/dog/a.wav", ["*.wav"], [])
    assert chosen("ward/dog/a.wav", ["ward/*"], [])
    assert not chosen("ward/dog/a.wav", ["*.flac"], [])
    assert not chosen("ward/dog/a.wav", ["*.wav"], ["a.*"])


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert walk(tmp_path / "nowhere").files == []
