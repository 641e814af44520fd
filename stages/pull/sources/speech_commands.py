"""Speech Commands, version 2 (Google): 105,829 spoken English words of at most 1 s at 16 kHz, by 2,618 speakers.

Each of 35 folders holds one word, said by anybody with a browser: `yes/<speaker>_nohash_<n>.wav`. The speaker is the
group. The publisher's split is by a hash of the speaker, about 80 % for training, 10 % for validation and 10 % for
testing, and stands in `validation_list.txt` and `testing_list.txt` too; a fold is `train`, `validation` or `test`.

    words35     every word is a class
    keywords12  ten words (`yes no up down left right on off stop go`), `_silence_` and `_unknown_`: the task of MLPerf
                Tiny's keyword spotting. `_unknown_` are other words. `_silence_` is cut from the six recordings of
                noise in `_background_noise_`.

MLPerf Tiny tests on an archive of its own, whose silence is cut from the same recordings of noise as the silence for
training. **Here no recording of noise is on two sides of the split**, so figures are near published ones, not equal.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import soundfile

from stages.core.project.errors import DataError, require
from stages.pull.cut import Piece, write_pieces
from stages.pull.download import PublishedTree, fetch_tree
from stages.pull.listing import Listing
from stages.pull.tree import walk

CITATION = (
    "P. Warden: Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition. arXiv:1804.03209, 2018; the task "
    "of 12 classes: C. Banbury et al.: MLPerf Tiny Benchmark. NeurIPS 2021, Datasets and Benchmarks"
)
LICENCE = "CC-BY-4.0"
HOMEPAGE = "https://arxiv.org/abs/1804.03209"
LABELS = None

URL = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
ARCHIVE = "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SILENCE, UNKNOWN, NOISE = "_silence_", "_unknown_", "_background_noise_"
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
NOISE_SIDES = {"pink_noise": "validation", "running_tap": "test"}  # the others are for training
_MOST = 2**27 - 1  # of the publisher's hash


@dataclass(frozen=True)
class Config:
    """Which task.

    Attributes
    ----------
    task : {"keywords12", "words35"}
    unknown : float or None
        Size of `_unknown_` on each side, as a multiple of the mean size of a keyword there; None takes every other
        word, as MLPerf Tiny's training does.
    silence_hop_s : float
        Time from one second of `_silence_` to the next in a recording of noise.
    """

    task: Literal["keywords12", "words35"] = "keywords12"
    unknown: float | None = 1.0
    silence_hop_s: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "pull.options.speech_commands"
        require(self.unknown is None or self.unknown > 0, f"{owner}.unknown", "be above 0, or null", self.unknown)
        require(
            0 < self.silence_hop_s <= 10, f"{owner}.silence_hop_s", "be above 0 and at most 10 s", self.silence_hop_s
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes in output order; of all 35 words, sorted by name."""
        return (*KEYWORDS, SILENCE, UNKNOWN) if self.task == "keywords12" else ()


def side_of(speaker: str) -> str:
    """Return the side of the publisher's split that a speaker is on.

    Examples
    --------
    >>> side_of("e11fbc6e"), side_of("bfd26d6b"), side_of("0a7c2a8d")
    ('validation', 'test', 'train')
    """
    percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (_MOST + 1) * (100.0 / _MOST)
    return "validation" if percent < 10 else "test" if percent < 20 else "train"


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tree, check that its lists are the speakers' split, and cut the silence."""
    fetch_tree(
        PublishedTree(
            url=URL,
            archive_name="speech_commands_v0.02.tar.gz",
            names=("speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02"),
            landmark="testing_list.txt",
            check=_check,
            checksum=ARCHIVE,
            strip=0,
        ),
        folder,
        mirror,
    )
    if config.task == "keywords12":
        write_pieces({path: list(_silence(config, path)) for path in _noise(folder)})


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read the folders of words; `_silence_` is the pieces of the recordings of noise."""
    words = [_word(folder, name) for name in _words(folder)]
    if config.task == "words35":
        return words
    keywords = [word for word in words if word.label in KEYWORDS]
    return [*keywords, *_unknown(config, keywords, words), *_cut_silence(config, folder)]


def _word(folder: Path, name: str) -> Listing:
    path = PurePosixPath(name)
    speaker = path.name.partition("_nohash_")[0]
    missing = "" if (folder / name).is_file() else "missing"
    return Listing(Path(name), path.parts[0], speaker, fold=side_of(speaker), excluded=missing)


def _unknown(config: Config, keywords: list[Listing], words: list[Listing]) -> Iterator[Listing]:
    """Yield as many other words of each side as are wanted, chosen by a hash of their names."""
    of_side = Counter(word.fold for word in keywords)
    others = [word for word in words if word.label not in KEYWORDS]
    others.sort(key=lambda word: hashlib.sha256(word.path.as_posix().encode()).hexdigest())
    taken = Counter[str]()
    for word in others:
        wanted = None if config.unknown is None else round(config.unknown * of_side[word.fold] / len(KEYWORDS))
        if wanted is None or taken[word.fold] < wanted:
            taken[word.fold] += 1
            yield Listing(word.path, UNKNOWN, word.group, fold=word.fold)


def _cut_silence(config: Config, folder: Path) -> Iterator[Listing]:
    for noise in _noise(folder):
        for piece in _silence(config, noise):
            side = NOISE_SIDES.get(noise.stem, "train")
            yield Listing(piece.target.relative_to(folder), SILENCE, noise.stem, fold=side)


def _noise(folder: Path) -> list[Path]:
    return sorted((folder / NOISE).glob("*.wav"))


def _silence(config: Config, noise: Path) -> Iterator[Piece]:
    try:
        seconds, start, number = soundfile.info(noise).duration, 0.0, 0
    except soundfile.LibsndfileError:
        raise DataError(f"{noise} must be a WAV file, as published; it is damaged. Get a whole copy.") from None
    while start + 1 <= seconds:
        yield Piece(start, start + 1, noise.parents[1] / SILENCE / f"{noise.stem}_{number:03}.flac")
        number += 1
        start = number * config.silence_hop_s


def _words(folder: Path) -> list[str]:
    names = (name for name in walk(folder).files if PurePosixPath(name).suffix == ".wav" and "_nohash_" in name)
    return [name for name in names if name.count("/") == 1]


def _check(folder: Path) -> list[str]:
    """Refuse a tree whose lists are not the split of its speakers, or which lacks what they name."""
    names = _words(folder)
    if not names or not _noise(folder):
        raise DataError(
            f"{folder} must hold folders of words and {NOISE}, as published; it does not. Get a whole copy."
        )
    for table, side in LISTS.items():
        if not (folder / table).is_file():
            raise DataError(f"{folder} must hold {table}, as published; it does not. Get a whole copy.")
        listed = set((folder / table).read_text().split())
        expected = {name for name in names if side_of(PurePosixPath(name).name.partition("_nohash_")[0]) == side}
        if listed != expected:
            some = sorted(listed ^ expected)[0]
            raise DataError(
                f"{folder / table} must name the {side} recordings that are there, as published; it differs in "
                f"{len(listed ^ expected)}, such as {some}. Get a whole copy of version 2."
            )
    return [*names, *LISTS, *(path.relative_to(folder).as_posix() for path in _noise(folder))]
