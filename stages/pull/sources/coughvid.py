"""COUGHVID (EPFL), third version: 34,434 coughs sent in by anybody: `<uuid>.webm`, `.ogg` or `.wav`, and one table.

The choice is EDAC's (arXiv 2309.05357, appendix A.2, after Hamdi et al. 2022): a cough is detected with a probability
of at least 0.7; symptomatic and COVID-19 together are positive, healthy is negative; recordings without a status are
left out. EDAC counts 8,958 healthy, 1,935 symptomatic and 731 COVID-19 recordings, of a release of Hamdi et al. out of
which all silence was cut with the tool Unsilence, by settings nobody published; here `silence_removal` does it by that
tool's defaults, into FLAC files beside the published ones. **A device does not cut silence**: for a model to deploy set
`silence_removal: null`.

A status is what the sender said of themselves. No speaker is published: the group is the recording itself, and one
person's coughs may be on two sides of a split.

A mirror holds the archive, or its tree. `ARCHIVE` is the checksum of the publisher's `public_dataset_v3.zip`.
"""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stages.core.project import files
from stages.core.project.errors import DataError, require
from stages.pull.archive import extract
from stages.pull.download import DOWNLOADS, download, find_tree, sync, verify
from stages.pull.listing import Listing
from stages.pull.silence import SilenceRemoval, remove_silence, write_cut

CITATION = (
    "L. Orlandic, T. Teijeiro, D. Atienza: The COUGHVID crowdsourcing dataset, a corpus for the study of large-scale "
    "cough analysis algorithms. Scientific Data 8, 2021, doi:10.1038/s41597-021-00937-4"
)
LICENCE = "CC-BY-4.0"
HOMEPAGE = "https://doi.org/10.5281/zenodo.7024894"
LABELS = ("negative", "positive")

URL = "https://zenodo.org/records/7024894/files/public_dataset_v3.zip"
ARCHIVE = "sha256:37544c58ac5a7d79cb68af56fb3d0a690773b100bef8a03aac96570086fea335"

TREE = "coughvid_20211012"
METADATA = "metadata_compiled.csv"
SUFFIXES = (".webm", ".ogg", ".wav")
CUT = "silence_removed"


@dataclass(frozen=True)
class Config:
    """Which coughs, and what of them.

    Attributes
    ----------
    min_cough_detected : float
        Smallest probability, by the publisher's classifier, that a cough is heard.
    positive, negative : tuple of str
        Which `status` makes which class; recordings of another status are left out.
    silence_removal : SilenceRemoval or None
        What to cut out as silence; None leaves the recordings as they are.
    """

    min_cough_detected: float = 0.7
    positive: tuple[str, ...] = ("symptomatic", "COVID-19")
    negative: tuple[str, ...] = ("healthy",)
    silence_removal: SilenceRemoval | None = field(default_factory=SilenceRemoval)

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "pull.options.coughvid"
        require(
            0 <= self.min_cough_detected <= 1,
            f"{owner}.min_cough_detected",
            "be a probability in [0, 1]",
            self.min_cough_detected,
            "EDAC takes 0.7; 0 takes every recording.",
        )
        chosen = {"positive": self.positive, "negative": self.negative}
        statuses = [*self.positive, *self.negative]
        require(
            bool(self.positive and self.negative)
            and len(set(statuses)) == len(statuses)
            and set(statuses) <= {"healthy", "symptomatic", "COVID-19"},
            owner,
            "give positive and negative each at least one of healthy, symptomatic, COVID-19, and none twice",
            chosen,
            "EDAC takes positive: [symptomatic, COVID-19], negative: [healthy].",
        )


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the table and the chosen recordings, and cut out the silence."""
    tree = folder / TREE
    archive = (mirror or folder.parent / DOWNLOADS) / "public_dataset_v3.zip"
    if mirror and not archive.is_file():
        names = (TREE, f"public_dataset_v3/{TREE}", "public_dataset", "coughvid", archive.name)
        root = find_tree(mirror, names, METADATA)
        sync(root, [METADATA, *_published(config, root).values()], tree)
    else:
        if mirror:
            verify(archive, ARCHIVE)
        else:
            download(URL, archive, checksum=ARCHIVE)
        extract(archive, tree, strip=1, only=METADATA.__eq__)
        chosen = {uuid for uuid, _, excluded in _rows(config, tree) if not excluded}
        extract(archive, tree, strip=1, only=lambda name: _is_audio(name) and PurePosixPath(name).stem in chosen)
    if config.silence_removal:
        rule, paths = config.silence_removal, [tree / name for name in _published(config, tree).values()]
        write_cut(lambda samples, rate: remove_silence(rule, samples, rate), paths, folder / CUT)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read `metadata_compiled.csv`; where silence was cut out, list what is left."""
    published = _published(config, folder / TREE)
    listed = []
    for uuid, label, excluded in _rows(config, folder / TREE):
        path = Path(CUT, f"{uuid}.flac")
        if excluded or uuid not in published or not (folder / path).is_file():
            path = Path(TREE, published.get(uuid, uuid))
        missing = "" if uuid in published else "missing"
        listed.append(Listing(path=path, label=label, group=uuid, excluded=excluded or missing))
    return listed


def _rows(config: Config, tree: Path) -> list[tuple[str, str, str]]:
    """Return (uuid, label, why it is left out) of each row of the table."""
    rows = files.read_csv(tree / METADATA)
    for column in ("uuid", "status", "cough_detected"):
        if rows and column not in rows[0]:
            raise DataError(f"{tree / METADATA} must have the column {column}; it has not. Get it from {HOMEPAGE}.")

    def judged(row: dict[str, str]) -> tuple[str, str, str]:
        status = row["status"]
        label = "positive" if status in config.positive else "negative" if status in config.negative else ""
        if not label:
            return row["uuid"], "", f"status {status}" if status else "no status"
        if float(row["cough_detected"] or 0) < config.min_cough_detected:
            return row["uuid"], label, f"cough_detected below {config.min_cough_detected}"
        return row["uuid"], label, ""

    return [judged(row) for row in rows]


def _published(config: Config, tree: Path) -> dict[str, str]:
    """Return the file name of each chosen recording that is there."""
    there = {path.stem: path.name for path in sorted(tree.iterdir()) if _is_audio(path.name)}
    return {uuid: there[uuid] for uuid, _, excluded in _rows(config, tree) if not excluded and uuid in there}


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix in SUFFIXES
