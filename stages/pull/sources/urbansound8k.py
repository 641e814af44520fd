"""UrbanSound8K (Salamon et al.): 8,732 clips of at most 4 s, 10 classes, 10 official folds: `audio/fold<N>/*.wav`.

Clips cut from one Freesound recording share `fsID`, which is the group; the folds respect it. The publishers ask to
test on each of the ten folds in turn and to average, without shuffling: `edac folds` does. The clips keep their
recordings' formats, from 8 kHz mono to 192 kHz stereo, in 4 to 32 bits per sample.

`ARCHIVE` is the checksum of the publisher's archive, `METADATA` that of its table; independent loaders of the data set
state both. Of a mirror's tree the table is checked, and that every clip it names is there.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.pull.download import PublishedTree, fetch_tree, verify
from stages.pull.listing import Listing

CITATION = (
    "J. Salamon, C. Jacoby, J. P. Bello: A Dataset and Taxonomy for Urban Sound Research. ACM MM 2014, "
    "doi:10.1145/2647868.2655045"
)
LICENCE = "CC-BY-NC-3.0"
HOMEPAGE = "https://urbansounddataset.weebly.com/urbansound8k.html"
LABELS = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)

URL = "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz"
ARCHIVE = "md5:9aa69802bbf37fb986f71ec1483a196e"
METADATA = "md5:5015c37ce7d54c0bb8cd40a0b5ee2074"
TABLE = "metadata/UrbanSound8K.csv"
CREDITS = "FREESOUNDCREDITS.txt"  # the attribution that the licence asks for


@dataclass(frozen=True)
class Config:
    """There is nothing to choose."""


def fetch(_config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tree and check what is known of it."""
    fetch_tree(
        PublishedTree(
            url=URL,
            archive_name="UrbanSound8K.tar.gz",
            names=("UrbanSound8K",),
            landmark=TABLE,
            check=_check,
            checksum=ARCHIVE,
        ),
        folder,
        mirror,
    )


def recordings(_config: Config, folder: Path) -> list[Listing]:
    """Read `metadata/UrbanSound8K.csv`."""
    return [
        Listing(path=Path(_name(clip)), label=clip["class"], group=clip["fsID"], fold=clip["fold"])
        for clip in files.read_csv(folder / TABLE)
    ]


def _check(folder: Path) -> list[str]:
    verify(folder / TABLE, METADATA)
    names = [TABLE, *map(_name, files.read_csv(folder / TABLE))]
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder} must hold {name}, as published; it does not. Get a complete copy.")
    return names + [CREDITS] * (folder / CREDITS).is_file()


def _name(clip: dict[str, str]) -> str:
    return f"audio/fold{clip['fold']}/{clip['slice_file_name']}"
