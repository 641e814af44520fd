"""COVID-19 Sounds (Cambridge): coughs, breaths and voices of 36,116 participants, given on request.

Who asks for them signs an agreement and gets archives; unpacked side by side they are a mirror. Each part has a table:

    covid19    the benchmark's task 2, tested positive against tested negative, with its split:
               data_0426_en_task2.csv and 0426_EN_used_task2/<participant>/<time>/<file>
    symptoms   its task 1, with symptoms against without:
               data_0426_en_task1.csv and 0426_EN_used_task1/...
    all        everything, by what the participants said of their last test, without a split:
               all_metadata/results_raw_20210426_lan_yamnet_{android,ios,web}_noloc.csv and covid19_data_0426/...

All who took part in the web are one participant, `form-app-users`, there: each of their visits is a group of its own.
This was written by the layout that the publishers' code reads (github.com/cam-mobsys/covid19-sounds-neurips), which of
the first two tables names but a few columns; the others go by their place.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from stages.core.project.errors import DataError, require
from stages.pull.download import find_tree, sync
from stages.pull.listing import Listing

CITATION = (
    "T. Xia et al.: COVID-19 Sounds: A Large-Scale Audio Dataset for Digital Respiratory Screening. NeurIPS 2021, "
    "Datasets and Benchmarks"
)
LICENCE = "Data transfer agreement with the University of Cambridge; not to be passed on"
HOMEPAGE = "https://www.covid-19-sounds.org"
LABELS = ("negative", "positive")

TASKS = {"covid19": "task2", "symptoms": "task1"}
PLATFORMS = ("android", "ios", "web")
METADATA = "all_metadata/results_raw_20210426_lan_yamnet_{}_noloc.csv"
EVERYTHING = "covid19_data_0426"
WEB = "form-app-users"
SOUNDS = ("cough", "breath", "voice")
_SPLIT = {"0": "train", "1": "validation", "2": "test"}


@dataclass(frozen=True)
class Config:
    """Which part, and which sound of each visit.

    Attributes
    ----------
    part : {"covid19", "symptoms", "all"}
    sound : {"cough", "breath", "voice"}
    positive, negative : tuple of str
        Values of `Covid-Tested` that make each class of ``"all"``; visits of another are left out.
    """

    part: Literal["covid19", "symptoms", "all"] = "covid19"
    sound: Literal["cough", "breath", "voice"] = "cough"
    positive: tuple[str, ...] = ("positiveLast14", "last14", "yes")
    negative: tuple[str, ...] = ("negativeNever", "negativeLast14", "negativeOver14", "no")

    def __post_init__(self) -> None:
        """Check the classes."""
        both = [*self.positive, *self.negative]
        apart = bool(self.positive and self.negative) and len(set(both)) == len(both)
        given = {"positive": self.positive, "negative": self.negative}
        require(apart, "pull.options.covid19_sounds", "give positive and negative each a status, and none twice", given)


class _Visit(NamedTuple):
    """One recording as its table has it; `path` is in the part's tree."""

    path: str
    label: str
    group: str
    fold: str = ""
    excluded: str = ""


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the part's tables and the chosen recordings from the mirror."""
    if mirror is None:
        raise DataError(
            f"COVID-19 Sounds is given on request alone ({HOMEPAGE}). Unpack what you were given, and name the folder "
            "in pull.mirror."
        )
    tables = _tables(config)
    root = find_tree(mirror, ("covid19-sounds", "data"), tables[0])
    for name in tables:
        if not (root / name).is_file():
            raise DataError(f"{root} must hold {name}, as published; it does not. Get a complete copy.")
    wanted = {f"{_tree(config)}/{visit.path}" for visit in _visits(config, root) if not visit.excluded}
    sync(root, [*tables, *(name for name in wanted if (root / name).is_file())], folder)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read the part's tables."""
    listed = []
    for visit in _visits(config, folder):
        path = Path(_tree(config), visit.path)
        missing = "" if (folder / path).is_file() else "missing"
        site = "web" if visit.path.startswith(f"{WEB}/") else "app"
        listed.append(Listing(path, visit.label, visit.group, site, visit.fold, visit.excluded or missing))
    return listed


def _tables(config: Config) -> list[str]:
    if config.part == "all":
        return [METADATA.format(platform) for platform in PLATFORMS]
    return [f"data_0426_en_{TASKS[config.part]}.csv"]


def _tree(config: Config) -> str:
    return EVERYTHING if config.part == "all" else f"0426_EN_used_{TASKS[config.part]}"


def _visits(config: Config, root: Path) -> Iterator[_Visit]:
    read = {"covid19": _of_covid19, "symptoms": _of_symptoms, "all": _of_all}[config.part]
    for table in _tables(config):
        yield from read(config, root / table)


def _of_covid19(config: Config, table: Path) -> Iterator[_Visit]:
    """Read the table of task 2: number, path of each sound, label, uid, category, fold."""
    for row in _rows(table, ",", ("uid", "label", "fold"), 8):
        path = list(row.values())[1 + SOUNDS.index(config.sound)].replace("\\", "/")
        yield _Visit(_safe(path, table), LABELS[int(row["label"])], row["uid"], row["fold"])


def _of_symptoms(config: Config, table: Path) -> Iterator[_Visit]:
    """Read the table of task 1, whose columns 7 and 12 to 16 are folder, voice, cough, breath, split and label."""
    for row in _rows(table, ";", (), 17):
        values = list(row.values())
        uid, folder, split, label = (values[i] for i in (0, 7, 15, 16))
        path = f"{_owner(uid)}/{folder}/{values[12 + ('voice', 'cough', 'breath').index(config.sound)]}"
        yield _Visit(_safe(path, table), LABELS[int(label)], uid, _SPLIT[split])


def _of_all(config: Config, table: Path) -> Iterator[_Visit]:
    """Read one platform's table."""
    name, check = f"{config.sound.capitalize()} filename", f"{config.sound.capitalize()} check"
    for row in _rows(table, ";", ("Uid", "Folder Name", "Covid-Tested", name, check), 5):
        uid, folder, status = row["Uid"], row["Folder Name"], row["Covid-Tested"]
        label = "positive" if status in config.positive else "negative" if status in config.negative else ""
        excluded = "" if label else f"status {status or 'not given'}"
        if label and row[check] != config.sound[0]:
            excluded = f"the publisher hears no {config.sound}"
        group = folder if uid == WEB else uid
        yield _Visit(_safe(f"{uid}/{folder}/{row[name]}", table), label, group, excluded=excluded)


def _owner(uid: str) -> str:
    """Return the folder of a participant; a visit to the web site goes by its time, of a year from 2020 on."""
    return WEB if uid.startswith("202") else uid


def _rows(table: Path, delimiter: str, columns: tuple[str, ...], least: int) -> Iterator[dict[str, str]]:
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, delimiter=delimiter)
        names = list(reader.fieldnames or ())
        lost = sorted(set(columns) - set(names))
        if lost or len(names) < least:
            what = f"the column {lost[0]}" if lost else f"at least {least} columns"
            raise DataError(f"{table} must have {what}; it has {', '.join(names) or 'none'}. Get it from {HOMEPAGE}.")
        for row in reader:
            yield {name: row[name] or "" for name in names}


def _safe(path: str, table: Path) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise DataError(f"{table} must name files within its tree; got {path!r}. Get it from {HOMEPAGE}.")
    return path
