"""ICBHI 2017, the Respiratory Sound Database: 920 recordings of lungs from 126 patients, 6,898 annotated breaths.

Recorded with stethoscopes and microphones on the chest in Portugal and Greece, 10 to 90 s each, at 4, 10 or 44.1 kHz.
Experts marked every *respiratory cycle* (one breath) with its start, its end, and whether crackles or wheezes are heard
in it: 3,642 are normal, 1,864 have crackles, 886 wheezes, 506 both. A clip here is one cycle. The file's name,
`101_1b1_Al_sc_Meditron`, says patient, recording, place on the chest, mode and device; the patient is the group, the
device the site.

    cycles    normal, crackle, wheeze, both: the task of the challenge
    abnormal  normal against any of the others

A fold is `train` or `test` of the challenge's split of the recordings, 60 to 40; `split.folds: {test: [test]}` takes
the validation part by patient. **The published split has two patients on both sides** (156 and 218): their
recordings for training are excluded by name, so that the test stays as published and no patient is on two sides.

A mirror holds the published archive unpacked in any layout (`ICBHI_final_database/`, `audio_and_txt_files/`), and
`ICBHI_challenge_train_test.txt`. No checksum of these files is published.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from stages.core.project.errors import DataError
from stages.pull.archive import extract
from stages.pull.cut import Piece, write_pieces
from stages.pull.download import DOWNLOADS, download, sync
from stages.pull.listing import Listing
from stages.pull.tree import walk

CITATION = (
    "B. M. Rocha et al.: An open access database for the evaluation of respiratory sound classification algorithms. "
    "Physiological Measurement 40(3), 2019, doi:10.1088/1361-6579/ab03ea"
)
LICENCE = "Free for research"
HOMEPAGE = "https://bhichallenge.med.auth.gr/ICBHI_2017_Challenge"
LABELS = None

URL = "https://bhichallenge.med.auth.gr/sites/default/files/ICBHI_final_database"
ARCHIVE, SPLIT = "ICBHI_final_database.zip", "ICBHI_challenge_train_test.txt"
CYCLES = "cycles"
BOTH_SIDES = "patient is in the official test too"
_NAME = re.compile(r"\d{3}_\d+[a-z]+\d+_(?:Tc|Al|Ar|Pl|Pr|Ll|Lr)_(?:sc|mc)_\w+")


@dataclass(frozen=True)
class Config:
    """Which task.

    Attributes
    ----------
    task : {"cycles", "abnormal"}
    """

    task: Literal["cycles", "abnormal"] = "cycles"

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes in output order."""
        return ("normal", "crackle", "wheeze", "both") if self.task == "cycles" else ("normal", "abnormal")

    def label(self, crackles: bool, wheezes: bool) -> str:
        """Return the class of a cycle."""
        if self.task == "abnormal":
            return "abnormal" if crackles or wheezes else "normal"
        return ("both" if wheezes else "crackle") if crackles else "wheeze" if wheezes else "normal"


class _Cycle(NamedTuple):
    start_s: float
    end_s: float
    crackles: bool
    wheezes: bool


def fetch(_config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring recordings, annotations and split, and cut out the cycles."""
    downloads = mirror or folder.parent / DOWNLOADS
    if mirror and not (mirror / ARCHIVE).is_file():
        found = _files(mirror)
        if SPLIT not in found:
            raise DataError(f"the mirror {mirror} must hold {SPLIT} and the recordings; it does not. See {HOMEPAGE}.")
        sync(mirror, [found[SPLIT], *(name for stem, name in found.items() if stem != SPLIT)], folder)
    else:
        if not mirror:
            download(f"{URL}/{ARCHIVE}", downloads / ARCHIVE)
            download(f"{URL}/{SPLIT}", downloads / SPLIT)
        if not (downloads / SPLIT).is_file():
            raise DataError(f"the mirror {mirror} must hold {SPLIT}, as published; it does not. See {HOMEPAGE}.")
        extract(downloads / ARCHIVE, folder, strip=1)
        shutil.copyfile(downloads / SPLIT, folder / SPLIT)
    pieces: dict[Path, list[Piece]] = {}
    for stem, recording in _recordings(folder).items():
        cycles = enumerate(_annotation(recording.with_suffix(".txt")))
        pieces[recording] = [Piece(c.start_s, c.end_s, _target(folder, stem, i)) for i, c in cycles]
    write_pieces({recording: of_it for recording, of_it in pieces.items() if of_it})


def recordings(config: Config, folder: Path) -> list[Listing]:
    """List every cycle with its patient, and the recordings that the split names and that are not there."""
    sides, there = _sides(folder / _files(folder)[SPLIT]), _recordings(folder)
    side_at: dict[str, set[str]] = defaultdict(set)
    for stem, side in sides.items():
        side_at[stem.partition("_")[0]].add(side)
    listed = [
        Listing(Path(f"{stem}.wav"), "", "", excluded="missing")
        for stem in sides
        if stem not in there and _start(stem) not in map(_start, there)
    ]
    for stem, recording in there.items():
        patient, device = stem.partition("_")[0], stem.rpartition("_")[2]
        side = sides.get(stem) or {_start(name): side for name, side in sides.items()}.get(_start(stem), "")
        excluded = "" if side else "not in the official split"
        if side == "train" and len(side_at[patient]) > 1:
            excluded = BOTH_SIDES
        for number, cycle in enumerate(_annotation(recording.with_suffix(".txt"))):
            target, label = _target(folder, stem, number), config.label(cycle.crackles, cycle.wheezes)
            why = excluded or ("" if target.is_file() else "undecodable")
            listed.append(Listing(target.relative_to(folder), label, patient, device, side, why))
    return listed


def _start(stem: str) -> str:
    """Return patient, recording and place of a name; devices were corrected in some names after publication."""
    return "_".join(stem.split("_")[:3])


def _target(folder: Path, stem: str, number: int) -> Path:
    return folder / CYCLES / f"{stem}_{number:02}.flac"


def _files(folder: Path) -> dict[str, str]:
    """Return the paths of the split and, by stem and suffix, of recordings and annotations, wherever they lie."""
    found = {}
    for name in walk(folder).files:
        path = PurePosixPath(name)
        if path.name == SPLIT or (_NAME.fullmatch(path.stem) and path.suffix in (".wav", ".txt")):
            found[path.name] = name
    return found


def _recordings(folder: Path) -> dict[str, Path]:
    """Return every recording that has an annotation beside it, by its name without a suffix."""
    found = _files(folder)
    return {
        name.removesuffix(".wav"): folder / path
        for name, path in sorted(found.items())
        if name.endswith(".wav") and (folder / path).with_suffix(".txt").is_file()
    }


def _sides(table: Path) -> Mapping[str, str]:
    sides = dict(_split_rows(table))
    if not sides:
        raise DataError(
            f"{table} must name a recording and its side in every line; it is empty. Get it from {HOMEPAGE}."
        )
    return sides


def _split_rows(table: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(table.read_text().splitlines(), start=1):
        row = line.split()
        if row and (len(row) != 2 or row[1] not in ("train", "test")):
            raise DataError(
                f"{table}, line {number}: must be a recording and train or test; got {line!r}. Get it from {HOMEPAGE}."
            )
        if row:
            yield row[0], row[1]


def _annotation(table: Path) -> Iterator[_Cycle]:
    for number, line in enumerate(table.read_text().splitlines(), start=1):
        row = line.split()
        if not row:
            continue
        try:
            start, end, crackles, wheezes = map(float, row)
        except ValueError:
            raise DataError(
                f"{table}, line {number}: must hold start and end in s and 0 or 1 for crackles and wheezes; got "
                f"{line!r}. Get it from {HOMEPAGE}."
            ) from None
        yield _Cycle(start, end, bool(crackles), bool(wheezes))
