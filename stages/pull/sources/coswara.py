"""Coswara (IISc Bangalore): coughs of 2,746 participants: `<day>/<day>.tar.gz.aa, .ab, ...`, `combined_data.csv`.

The labels are EDAC's (arXiv 2309.05357, appendix A.1): healthy, exposed without an illness, ill of something not
identified and recovered are negative, 1,984 participants; mild, moderate and asymptomatic are positive, 681; the 81
under validation are left out. One cough of each participant, the shallow one, makes one recording; the participant is
the group. The publisher's quality labels (0 bad, 1 good, 2 excellent) are ignored, as EDAC does; `min_quality` heeds
them.

Many recordings are missing, empty or silent. EDAC dropped what any error stopped; here the rule is stated: what is not
in the participant's folder is missing, what holds no sample is empty, and what never reaches `pull.silence_dbfs` is
silent. Each is excluded by name.

`COMMIT` is the publisher's commit that this reads; git's names of its files are their checksums. The parts stay
in `data/downloads`. A mirror is a clone at that commit, with the archives or with `Extracted_data`, which the
publisher's `extract_data.py` makes of them; `LABELLED` is the digest of its participants and their status.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from stages.core.project import files
from stages.core.project.errors import DataError, require
from stages.core.project.progress import track
from stages.pull.archive import extract_parts
from stages.pull.download import DOWNLOADS, download, find_tree
from stages.pull.listing import Listing

CITATION = (
    "N. Sharma et al.: Coswara: a database of breathing, cough, and voice sounds for COVID-19 diagnosis. "
    "Interspeech 2020, doi:10.21437/Interspeech.2020-2768"
)
LICENCE = "CC-BY-4.0"
HOMEPAGE = "https://github.com/iiscleap/Coswara-Data"
LABELS = ("negative", "positive")

COMMIT = "4942c97"
LABELLED = "f9b1431ac76b4d13ae2e14be7ad82990586d2c19200ec61645b9d7b5b0e3fc2d"
API = "https://api.github.com/repos/iiscleap/Coswara-Data"
RAW = "https://raw.githubusercontent.com/iiscleap/Coswara-Data"

LABEL = {
    "healthy": "negative",
    "no_resp_illness_exposed": "negative",
    "resp_illness_not_identified": "negative",
    "recovered_full": "negative",
    "positive_mild": "positive",
    "positive_moderate": "positive",
    "positive_asymp": "positive",
}
METADATA = "combined_data.csv"
EXTRACTED = "Extracted_data"
DAY = r"\d{8}"


@dataclass(frozen=True)
class Config:
    """Which coughs.

    Attributes
    ----------
    sounds : tuple of {"cough-shallow", "cough-heavy"}
        Each makes one recording per participant.
    min_quality : int
        0 takes every recording; 1 or 2 only those that the publisher's listeners gave that label or a better one.
    """

    sounds: tuple[Literal["cough-shallow", "cough-heavy"], ...] = ("cough-shallow",)
    min_quality: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "pull.options.coswara"
        once = bool(self.sounds) and len(set(self.sounds)) == len(self.sounds)
        require(once, f"{owner}.sounds", "name one sound or two, each once", self.sounds, "EDAC takes [cough-shallow].")
        require(
            self.min_quality in (0, 1, 2),
            f"{owner}.min_quality",
            "be 0, 1 or 2",
            self.min_quality,
            "0 ignores the labels, as EDAC does; 2 is excellent.",
        )


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tables, and of each day's archive the chosen sounds, day by day."""
    if mirror:
        root = find_tree(mirror, ("Coswara-Data", "coswara"), METADATA)
    else:
        root = folder.parent / DOWNLOADS / "Coswara-Data"
        _download(config, root)
    _check_labels(root / METADATA)
    days = sorted(p.name for p in {*root.glob("*"), *root.glob(f"{EXTRACTED}/*")} if re.fullmatch(DAY, p.name))
    if not days:
        raise DataError(f"{root} must hold a folder for each day (20200413, ...); it holds none. Get a complete copy.")
    tables = [METADATA, *(f"{day}/{day}.csv" for day in days)]
    if config.min_quality:
        tables += [f"annotations/{sound}_labels.csv" for sound in config.sounds]
    for name in tables:
        if not (root / name).is_file():
            raise DataError(f"{root} must hold {name}, as published; it does not. Get a complete copy.")
        with files.atomic(folder / name) as temporary:
            shutil.copyfile(root / name, temporary)
    for day in track(days, "unpack days"):
        if not (folder / EXTRACTED / day).is_dir():
            _unpack(config, root, day, folder / EXTRACTED / day)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read the participants' status, and from the days' tables where each participant's folder is."""
    day_of = {
        row.get("id", ""): table.parent.name  # their columns vary
        for table in sorted(folder.glob("*/*.csv"), reverse=True)  # of two days the first
        if re.fullmatch(DAY, table.parent.name)
        for row in files.read_csv(table)
    }
    listed = []
    for sound in config.sounds:
        quality = _quality(folder, sound) if config.min_quality else {}
        for row in files.read_csv(folder / METADATA):
            name, status = row["id"], row["covid_status"]
            path = Path(EXTRACTED, day_of.get(name, ""), name, f"{sound}.wav")
            excluded = ""
            if status not in LABEL:
                excluded = f"status {status or 'not given'}"
            elif config.min_quality and quality.get(name, 0) < config.min_quality:
                excluded = f"quality below {config.min_quality}"
            elif not (folder / path).is_file():
                excluded = "missing"
            listed.append(Listing(path=path, label=LABEL.get(status, ""), group=name, excluded=excluded))
    return listed


def _download(config: Config, root: Path) -> None:
    """Bring from GitHub what is needed, each file checked by git's name of its content."""
    download(f"{API}/commits/{COMMIT}", root / "commit.json")
    commit = files.read_json(root / "commit.json")
    download(f"{API}/git/trees/{commit['commit']['tree']['sha']}?recursive=1", root / "tree.json")
    tree = files.read_json(root / "tree.json")
    if tree["truncated"]:
        raise DataError(f"{API} does not list all of commit {COMMIT}. Name a clone of {HOMEPAGE} in pull.mirror.")
    labels = "|".join(f"annotations/{sound}_labels.csv" for sound in config.sounds)
    wanted = re.compile(rf"{METADATA}|{labels}|({DAY})/(\1\.csv|[^/]+\.tar\.gz\.[a-z]{{2}})")
    for entry in track([entry for entry in tree["tree"] if wanted.fullmatch(entry["path"])], "download"):
        path = entry["path"]
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        download(f"{RAW}/{commit['sha']}/{path}", root / path, checksum=f"git:{entry['sha']}")


def _unpack(config: Config, root: Path, day: str, target: Path) -> None:
    """Put `<participant>/<sound>.wav` below `target`, from the parts of the day's archive or from a copy of it."""
    wanted = {f"{sound}.wav" for sound in config.sounds}

    def place(name: str) -> str | None:
        path = PurePosixPath(name)
        return f"{path.parent.name}/{path.name}" if path.name in wanted else None

    parts = sorted((root / day).glob("*.tar.gz.[a-z][a-z]"))
    if parts:
        extract_parts(parts, target, place=place)
    elif (root / EXTRACTED / day).is_dir():
        work = target.with_name(f".{day}.partial")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for path in sorted(p for name in wanted for p in (root / EXTRACTED / day).glob(f"*/{name}")):
            (work / path.parent.name).mkdir(exist_ok=True)
            shutil.copyfile(path, work / path.parent.name / path.name)
        work.replace(target)
    else:
        raise DataError(
            f"{root / day} must hold the parts of the day's archive ({day}.tar.gz.aa, ...), or {root / EXTRACTED} the "
            "day; neither does. Get a complete copy."
        )


def _check_labels(metadata: Path) -> None:
    rows = files.read_csv(metadata)
    if not rows or not {"id", "covid_status"} <= rows[0].keys():
        raise DataError(f"{metadata} must have the columns id and covid_status; it has not. Get it from {HOMEPAGE}.")
    got = files.digest(sorted((row["id"], row["covid_status"]) for row in rows))
    if got != LABELLED:
        raise DataError(
            f"{metadata} must hold the participants and status of commit {COMMIT}; its {len(rows)} rows differ. Check "
            f"out that commit of {HOMEPAGE}."
        )


def _quality(folder: Path, sound: str) -> dict[str, int]:
    """Return the label of each labelled participant, from rows of `<participant>_<sound>, <label>`."""
    rows = (row.values() for row in files.read_csv(folder / "annotations" / f"{sound}_labels.csv"))
    return {name.removesuffix(f"_{sound}"): int(label) for name, label in rows}
