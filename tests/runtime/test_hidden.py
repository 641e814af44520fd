import doctest
from pathlib import Path, PurePath

import pytest

from stages.runtime import hidden
from stages.runtime.audio import wav_files
from stages.runtime.hidden import is_hidden

HIDDEN = (
    "._x.wav",
    ".DS_Store",
    "Thumbs.db",
    "THUMBS.DB",
    "desktop.ini",
    "__MACOSX/dog/a.wav",
    ".git/a.wav",
    "~$a.csv",
)


@pytest.mark.parametrize("name", HIDDEN)
def test_what_nobody_put_there_is_hidden_wherever_it_lies(name: str) -> None:
    assert is_hidden(PurePath(name))
    assert is_hidden(PurePath("dog", name))


@pytest.mark.parametrize(
    "name", ["a.wav", "dog/a.b.wav", "_background_noise_/a.wav", "thumbs/a.wav", "desktop.ini.wav"]
)
def test_what_a_person_named_is_not(name: str) -> None:
    assert not is_hidden(PurePath(name))


def test_a_folder_given_to_a_device_yields_its_recordings_alone(tmp_path: Path) -> None:
    for name in ("a.wav", "._a.wav", ".trash/b.wav", "__MACOSX/c.wav", "d/e.wav"):
        (tmp_path / ".sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".sounds" / name).write_bytes(b"")
    found = wav_files([tmp_path / ".sounds"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [".sounds/a.wav", ".sounds/d/e.wav"]


def test_the_examples_run() -> None:
    assert not doctest.testmod(hidden).failed
