"""Forced coughs with COVID-19 status, from a call centre and a Telegram bot (CC0): `raw/*.mp3`, `metadata.json`.

1,324 recordings, 682 of them positive. Three traps, all measured: two files hold no audio; 230 recordings in 111 sets
of identical audio carry both labels; and the site gives the label away (every verified positive comes from the
call centre), so that pooled figures flatter a model which only hears the telephone line. No speaker is published:
the group is the recording itself, and what is identical in content shares one.

`COMMIT` is the publisher's commit that this reads. The publisher gives no checksums: `TREE` is the sha256
of `sha256sum metadata.json raw/*.mp3`, taken from one copy of that commit.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files
from stages.pull.download import PublishedTree, fetch_tree, verify, verify_tree
from stages.pull.listing import Listing

CITATION = (
    "covid19-cough: data set of forced coughs with COVID-19 status, 2021. https://github.com/covid19-cough/dataset"
)
LICENCE = "CC0-1.0"
HOMEPAGE = "https://github.com/covid19-cough/dataset"
LABELS = ("negative", "positive")

COMMIT = "cf494aec6d4f57f201fb22113ca634171f62440f"
METADATA = "sha256:1ef7589f683400dd26a528f9ee572fbfe8ad2979fa464fdf0245035f9e4118a9"
TREE = "sha256:64159de9c498499f6a11727478c082d14c11f87fe544be3904705f9e8d9c3f37"


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


def fetch(_config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tree and check every file's bytes."""
    fetch_tree(
        PublishedTree(
            url=f"{HOMEPAGE}/archive/{COMMIT}.zip",
            archive_name=f"dataset-{COMMIT}.zip",
            names=("covid19-cough", "dataset"),
            landmark="metadata.json",
            check=_check,
        ),
        folder,
        mirror,
    )


def recordings(_config: Config, folder: Path) -> list[Listing]:
    """Read `metadata.json`; the site is its `source`."""
    return [
        Listing(
            path=Path("raw", entry["filename"]),
            label="positive" if entry["covid19"] else "negative",
            group=Path(entry["filename"]).stem,
            site=entry["source"],
        )
        for entry in files.read_json(folder / "metadata.json")
    ]


def _check(folder: Path) -> list[str]:
    verify(folder / "metadata.json", METADATA)
    names = ["metadata.json", *(f"raw/{entry['filename']}" for entry in files.read_json(folder / "metadata.json"))]
    verify_tree(folder, names, TREE)
    return names
