"""FSD50K (Universitat Pompeu Fabra): 51,197 clips from Freesound, 0.3 to 30 s, 200 classes of AudioSet's ontology.

Volunteers labelled them; a clip usually has several labels, since each brings its ancestors in the ontology (`Bark`,
`Dog`, `Animal`): the task is multi-label. 40,966 clips are for development, with a published division into training
and validation, and 10,231, labelled exhaustively, for testing; a fold is `train`, `validation` or `test`. The group is
who uploaded the clip. The publishers kept uploaders apart between development and testing; should one have clips in
both training and validation, the split's audit says so, and `split.folds: {test: [test]}` takes the validation part by
uploader instead.

The audio is published as zip archives in several parts, which have to be joined first. In one folder, which is then the
mirror:

    zip -s 0 FSD50K.dev_audio.zip --out dev.zip && unzip dev.zip
    zip -s 0 FSD50K.eval_audio.zip --out eval.zip && unzip eval.zip
    unzip FSD50K.ground_truth.zip && unzip FSD50K.metadata.zip

`ARCHIVES` are the publisher's checksums, checked of the small archives where they lie in the mirror too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.core.artifacts.recordings import SEPARATOR
from stages.core.project import files, params
from stages.core.project.errors import DataError, ParameterError, require
from stages.pull.download import find_tree, sync, verify
from stages.pull.listing import Listing

CITATION = (
    "E. Fonseca, X. Favory, J. Pons, F. Font, X. Serra: FSD50K: An Open Dataset of Human-Labeled Sound Events. "
    "IEEE/ACM Transactions on Audio, Speech, and Language Processing 30, 2022, doi:10.1109/TASLP.2021.3133208"
)
LICENCE = "CC-BY-4.0 for the whole; every clip its own (CC0, CC-BY, CC-BY-NC or CC Sampling+), named in the metadata"
HOMEPAGE = "https://zenodo.org/records/4060432"
LABELS = None

ARCHIVES = {
    "FSD50K.dev_audio.z01": "md5:faa7cf4cc076fc34a44a479a5ed862a3",
    "FSD50K.dev_audio.z02": "md5:8f9b66153e68571164fb1315d00bc7bc",
    "FSD50K.dev_audio.z03": "md5:1196ef47d267a993d30fa98af54b7159",
    "FSD50K.dev_audio.z04": "md5:d088ac4e11ba53daf9f7574c11cccac9",
    "FSD50K.dev_audio.z05": "md5:81356521aa159accd3c35de22da28c7f",
    "FSD50K.dev_audio.zip": "md5:c480d119b8f7a7e32fdb58f3ea4d6c5a",
    "FSD50K.eval_audio.z01": "md5:3090670eaeecc013ca1ff84fe4442aeb",
    "FSD50K.eval_audio.zip": "md5:6fa47636c3a3ad5c7dfeba99f2637982",
    "FSD50K.ground_truth.zip": "md5:ca27382c195e37d2269c4c866dd73485",
    "FSD50K.metadata.zip": "md5:b9ea0c829a411c1d42adb9da539ed237",
}
SMALL = ("FSD50K.ground_truth.zip", "FSD50K.metadata.zip")
TABLES = {part: f"FSD50K.ground_truth/{part}.csv" for part in ("dev", "eval")}
UPLOADERS = {part: f"FSD50K.metadata/{part}_clips_info_FSD50K.json" for part in ("dev", "eval")}
_FOLDS = {"train": "train", "val": "validation"}


@dataclass(frozen=True)
class Config:
    """Which classes, and what must not be on two sides of a split.

    Attributes
    ----------
    labels : tuple of str
        Names as in `vocabulary.csv`, in output order; all if empty. Clips with none of them are not listed.
    group : {"uploader", "clip"}
    """

    labels: tuple[str, ...] = ()
    group: Literal["uploader", "clip"] = "uploader"

    def __post_init__(self) -> None:
        """Check that nothing is named twice."""
        once = len(set(self.labels)) == len(self.labels)
        require(once, "pull.options.fsd50k.labels", "name each one once", list(self.labels))


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tables and the clips of the chosen classes from the mirror."""
    if mirror is None:
        raise DataError(
            f"FSD50K is published as zip archives in several parts. Get them from {HOMEPAGE}, join and unpack them as "
            "stages/pull/sources/fsd50k.py says, and name the folder in pull.mirror."
        )
    root = find_tree(mirror, ("FSD50K", "fsd50k"), TABLES["dev"])
    for name in SMALL:
        if (root / name).is_file():
            verify(root / name, ARCHIVES[name])
    tables = [*TABLES.values(), *(UPLOADERS.values() if config.group == "uploader" else ())]
    for name in tables:
        if not (root / name).is_file():
            raise DataError(f"{root} must hold {name}, as published; it does not. Get it from {HOMEPAGE}.")
    sync(root, [*tables, *(e.path.as_posix() for e in recordings(config, root) if not e.excluded)], folder)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read `dev.csv` and `eval.csv`; a clip's label joins all that it has of the chosen ones."""
    known: set[str] = set()
    listed = []
    for part, row in _rows(folder):
        own = row["labels"].split(",")
        known.update(own)
        chosen = [label for label in config.labels if label in own] if config.labels else own
        if not chosen:
            continue
        path = Path(f"FSD50K.{part}_audio", f"{row['fname']}.wav")
        fold = "test" if part == "eval" else _FOLDS[row["split"]]
        missing = "" if (folder / path).is_file() else "missing"
        group = row["group"] if config.group == "uploader" else row["fname"]
        listed.append(Listing(path, SEPARATOR.join(chosen), group, fold=fold, excluded=missing))
    for label in config.labels:
        if label not in known:
            raise ParameterError(f"pull.options.fsd50k.labels has no label {label!r}. {params.known(label, known)}")
    return listed


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (part, row) of every clip, the row with its uploader as `group`, or its name where none is known."""
    for part, table in TABLES.items():
        info = files.read_json(folder / UPLOADERS[part]) if (folder / UPLOADERS[part]).is_file() else {}
        for row in files.read_csv(folder / table):
            lost = sorted({"fname", "labels", *(["split"] if part == "dev" else [])} - set(row))
            if lost or (part == "dev" and row["split"] not in _FOLDS):
                raise DataError(
                    f"{folder / table} must have a name, labels and, of the clips for development, the split train or "
                    f"val in every row; got {row}. Get it from {HOMEPAGE}."
                )
            yield part, row | {"group": info.get(row["fname"], {}).get("uploader") or row["fname"]}
