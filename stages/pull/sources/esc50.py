"""ESC-50 (Piczak): 2,000 environmental clips of 5 s, 50 classes, 5 official folds: `audio/*.wav`, `meta/esc50.csv`.

Clips cut from one source recording share `src_file`, which is the group; the folds respect it. `subset: esc10` takes
the 400 clips of 10 classes that are free for any use.

The publisher's archive is packed on demand, so its bytes vary and have no checksum of their own. What is checked is
the metadata file, by the md5 that independent loaders of the data set state for it, the presence of every clip it
names, and each member's CRC while unpacking. A copy that holds ESC-10 alone, as Ogg, is known byte for byte: `OGG_TREE`
is the sha256 of `sha256sum audio/* meta/esc50.csv`.

With `dead_space`, what is dead in a clip is cut out, into FLAC files beside the published ones. **A device does not cut
it**: the option is for the publication that did.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.pull.download import PublishedTree, fetch_tree, verify, verify_tree
from stages.pull.listing import Listing
from stages.pull.silence import DeadSpace, remove_dead_space, write_cut

CITATION = "K. J. Piczak: ESC: Dataset for Environmental Sound Classification. ACM MM 2015, doi:10.1145/2733373.2806390"
LICENCE = "CC-BY-NC-3.0 (the ESC-10 subset: CC-BY-3.0)"
HOMEPAGE = "https://github.com/karolpiczak/ESC-50"
LABELS = None
CUT = "dead_space_removed"

METADATA = "md5:54a0d0055a10bb7df84ad340a148722e"
OGG_METADATA = "ff21b48e3e2fd1a737f453828ac6b9966af4e589436dc1267298e329a6568182"
OGG_TREE = "sha256:6ad441b183bfe6e729cd9879389b13fa033d731df9693b2ad2e84aa5aaadf70e"


@dataclass(frozen=True)
class Config:
    """Which clips.

    Attributes
    ----------
    subset : {"esc50", "esc10"}
        All 50 classes, or the 10 of ESC-10.
    dead_space : DeadSpace or None
        What to cut out; None leaves the clips as they are.
    """

    subset: Literal["esc50", "esc10"] = "esc50"
    dead_space: DeadSpace | None = None


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tree and check what is known of it."""
    fetch_tree(
        PublishedTree(
            url=f"{HOMEPAGE}/archive/master.zip",
            archive_name="ESC-50-master.zip",
            names=("ESC-50-master", "ESC-50", "ESC-10"),
            landmark="meta/esc50.csv",
            check=_check_any if config.subset == "esc10" else _check_published,
        ),
        folder,
        mirror,
    )
    if config.dead_space:
        rule, paths = config.dead_space, [folder / "audio" / clip["filename"] for clip in _clips(config, folder)]
        write_cut(lambda samples, rate: remove_dead_space(rule, samples, rate), paths, folder / CUT)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read `meta/esc50.csv`."""
    listed = []
    for clip in _clips(config, folder):
        path = Path(CUT, Path(clip["filename"]).with_suffix(".flac"))
        if not config.dead_space or not (folder / path).is_file():
            path = Path("audio", clip["filename"])
        listed.append(Listing(path=path, label=clip["category"], group=clip["src_file"], fold=clip["fold"]))
    return listed


def _clips(config: Config, folder: Path) -> list[dict[str, str]]:
    table = files.read_csv(folder / "meta/esc50.csv")
    return [clip for clip in table if config.subset == "esc50" or clip["esc10"] == "True"]


def _check_any(folder: Path) -> list[str]:
    if not _holds_ogg(folder):
        return _check_published(folder)
    names = _names(folder)
    verify_tree(folder, names, OGG_TREE)
    return names


def _check_published(folder: Path) -> list[str]:
    if _holds_ogg(folder):
        raise DataError(f"{folder} holds ESC-10 alone. Set pull.options.esc50.subset: esc10, or use another mirror.")
    verify(folder / "meta/esc50.csv", METADATA)
    names = _names(folder)
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder} must hold {name}, as published; it does not. Get a complete copy.")
    return names


def _holds_ogg(folder: Path) -> bool:
    metadata = folder / "meta/esc50.csv"
    return metadata.is_file() and files.sha256(metadata) == OGG_METADATA


def _names(folder: Path) -> list[str]:
    return ["meta/esc50.csv", *(f"audio/{clip['filename']}" for clip in files.read_csv(folder / "meta/esc50.csv"))]
