"""AudioSet (Google): segments of 10 s out of videos, each with one or more of 527 labels. It publishes no audio.

The publisher gives the lists of segments (`balanced_train_segments.csv`, `unbalanced_train_segments.csv`,
`eval_segments.csv`), the labels' names (`class_labels_indices.csv`) and an ontology, a graph in which `Animal` stands
above `Dog`. You bring the clips, cut to their segments: audio files anywhere below one folder, named as download tools
do: `<video>.wav`, `<video>_<start>.wav` or `<video>_<start>_<end>.wav`, with or without a `Y` before, with times in
seconds or milliseconds, of any audio format. A picture or a text of the same name is passed over.

    pull:
      source: audioset
      options:
        audioset: {clips: /home/me/audioset, labels: [Dog, Siren, Speech]}

The task is multi-label. Segments with none of the chosen labels are not listed; those without a clip are excluded by
name. The video is the group. The fold is the list, so that the publisher's test is `split.folds: {test: [eval]}`.
No checksum of these files is published.
"""

import csv
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from stages.core.artifacts.recordings import SEPARATOR
from stages.core.project import files, params
from stages.core.project.errors import DataError, ParameterError, require
from stages.pull.download import download, find_tree, sync
from stages.pull.listing import Listing
from stages.pull.tree import not_audio, walk

CITATION = (
    "J. F. Gemmeke et al.: Audio Set: An ontology and human-labeled dataset for audio events. ICASSP 2017, "
    "doi:10.1109/ICASSP.2017.7952261"
)
LICENCE = "CC-BY-4.0 (the ontology: CC-BY-SA-4.0); the clips are their owners'"
HOMEPAGE = "https://research.google.com/audioset/"
LABELS = None

TABLES_URL = "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv"
ONTOLOGY_URL = "https://raw.githubusercontent.com/audioset/ontology/master/ontology.json"
NAMES, ONTOLOGY, CLIPS = "class_labels_indices.csv", "ontology.json", "clips"
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_TIMES = re.compile(r"(?:[_,-]\d+(?:\.\d+)?){0,2}")


@dataclass(frozen=True)
class Config:
    """Which segments and labels, and where the clips are.

    Attributes
    ----------
    clips : str or None
        Folder of the clips; None is the mirror.
    segments : tuple of {"balanced_train", "unbalanced_train", "eval"}
        Lists to read.
    labels : tuple of str
        Names, in output order; all if empty.
    descendants : bool
        Count a label's descendants in the ontology as the label: a segment of `Bark` as one of `Dog`.
    """

    clips: str | None = None
    segments: tuple[Literal["balanced_train", "unbalanced_train", "eval"], ...] = ("balanced_train", "eval")
    labels: tuple[str, ...] = ()
    descendants: bool = True

    def __post_init__(self) -> None:
        """Check that nothing is named twice."""
        for name, chosen in (("segments", self.segments), ("labels", self.labels)):
            once = len(set(chosen)) == len(chosen)
            require(once, f"pull.options.audioset.{name}", "name each one once", list(chosen))
        require(
            bool(self.segments), "pull.options.audioset.segments", "name a list", [], "Write [balanced_train, eval]."
        )

    @property
    def own_paths(self) -> dict[str, Path]:
        """What is the user's own, by the parameter that names it."""
        return {} if self.clips is None else {"pull.options.audioset.clips": Path(self.clips).expanduser()}


def fetch(config: Config, folder: Path, mirror: Path | None) -> None:
    """Bring the tables, and copy the clips of the chosen segments."""
    root = find_tree(mirror, ("audioset", "AudioSet"), NAMES) if mirror else None
    clips = Path(config.clips).expanduser() if config.clips is not None else root
    if clips is None:
        raise DataError("AudioSet publishes no audio. Name the folder of your clips in pull.options.audioset.clips.")
    if not clips.is_dir():
        raise DataError(f"pull.options.audioset.clips must be a folder; {clips} is none. Correct the path.")
    for name in (NAMES, *map(_table, config.segments), *([ONTOLOGY] if config.descendants else [])):
        if root is None:
            download(ONTOLOGY_URL if name == ONTOLOGY else f"{TABLES_URL}/{name}", folder / name)
        elif not (root / name).is_file():
            raise DataError(f"{root} must hold {name}, as published; it does not. Get it from {HOMEPAGE}.")
        else:
            with files.atomic(folder / name) as temporary:
                shutil.copyfile(root / name, temporary)
    there = _clips(clips)
    found = (_clip(segment, there) for segment in _segments(config, folder))
    sync(clips, [name for name in found if name], folder / CLIPS)


def recordings(config: Config, folder: Path) -> list[Listing]:
    """Read the lists; a segment's label joins all that it has of the chosen ones."""
    there = _clips(folder / CLIPS)
    listed = []
    for segment in _segments(config, folder):
        clip = _clip(segment, there)
        listed.append(
            Listing(
                path=Path(CLIPS, clip or segment.video),
                label=SEPARATOR.join(segment.labels),
                group=segment.video,
                fold=segment.fold,
                excluded="" if clip else "missing",
            )
        )
    return listed


@dataclass(frozen=True)
class _Segment:
    video: str
    start: float  # s
    end: float
    labels: tuple[str, ...]
    fold: str


def _table(fold: str) -> str:
    return f"{fold}_segments.csv"


def _segments(config: Config, folder: Path) -> Iterator[_Segment]:
    """Yield the segments that have one of the chosen labels."""
    meant = _meant(config, folder)
    for fold in config.segments:
        with (folder / _table(fold)).open(newline="", encoding="utf-8") as stream:
            rows = csv.reader((line for line in stream if not line.startswith("#")), skipinitialspace=True)
            for row in filter(None, rows):
                if len(row) != 4 or not _VIDEO.fullmatch(row[0]):
                    raise DataError(
                        f"{folder / _table(fold)} must hold a video, two times and labels in every row; got {row}. "
                        f"Get it from {HOMEPAGE}."
                    )
                own = set(row[3].split(","))
                labels = tuple(name for name, ids in meant.items() if own & ids)
                if labels:
                    yield _Segment(row[0], float(row[1]), float(row[2]), labels, fold)


def _meant(config: Config, folder: Path) -> dict[str, set[str]]:
    """Return, of each chosen label, the ids that stand for it."""
    ids = {row["display_name"]: row["mid"] for row in files.read_csv(folder / NAMES)}
    children: Mapping[str, list[str]] = {}
    names = list(ids)
    if config.descendants:
        ontology = files.read_json(folder / ONTOLOGY)
        children = {entry["id"]: entry["child_ids"] for entry in ontology}
        ids = {entry["name"]: entry["id"] for entry in ontology} | ids  # with those that no segment has by itself
    for name in config.labels:
        if name not in ids:
            raise ParameterError(f"pull.options.audioset.labels has no label {name!r}. {params.known(name, ids)}")

    def below(mid: str) -> set[str]:
        return {mid}.union(*map(below, children.get(mid, ())))

    return {name: below(ids[name]) for name in config.labels or names}


_Times = tuple[float, ...]  # start, or start and end, as a file's name has them


def _clips(folder: Path) -> dict[str, list[tuple[_Times, str]]]:
    """Return (times in its name, path) of every audio file below a folder, by the video in its name."""
    found: dict[str, list[tuple[_Times, str]]] = defaultdict(list)
    for name in walk(folder).files:
        stem = PurePosixPath(name).stem
        for video, rest in ((stem[:11], stem[11:]), (stem[1:12], stem[12:]) if stem[0] == "Y" else ("", "")):
            if _VIDEO.fullmatch(video) and _TIMES.fullmatch(rest) and not not_audio(folder / name):
                found[video].append((tuple(map(float, re.findall(r"[\d.]+", rest))), name))
    return found


def _clip(segment: _Segment, there: Mapping[str, list[tuple[_Times, str]]]) -> str | None:
    """Return the file of a segment: one whose name has its start in s or ms, else one with the video alone."""
    of_video = there.get(segment.video, [])
    for scale in (1, 1000):
        for times, name in of_video:
            if times and abs(times[0] - scale * segment.start) < 0.001 * scale:
                return name
    return next((name for times, name in of_video if not times), None)
