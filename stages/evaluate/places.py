"""Labelled recordings from another place: a CSV or class folders, without what was also heard at home."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.recordings import SEPARATOR, labels_of
from stages.core.audio import decode
from stages.core.audio.sources import recordings_below
from stages.core.audio.unusable import UnusableError
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.progress import track
from stages.evaluate.params import Place
from stages.runtime.audio import clip as fit
from stages.runtime.hearing import is_silent
from stages.runtime.litert import Model

LEFT_OUT = "left out by labels"
SAME_GROUP = "its group trained or chose the model"
SAME_SOUND = "the same sound is at home"
SILENT = "silent"
COLUMNS = ("path", "label", "group")


@dataclass(frozen=True)
class Heard:
    """Features of the recordings that are used, and why others are not.

    Attributes
    ----------
    x : np.ndarray, shape (n, ...), float32
    clips : tuple[Clip, ...]
    left_out : tuple[tuple[str, str], ...]
        Path and reason.
    """

    x: np.ndarray
    clips: tuple[Clip, ...]
    left_out: tuple[tuple[str, str], ...]


def listing(name: str, place: Place, labels: Sequence[str]) -> tuple[list[Clip], list[tuple[str, str]]]:
    """List the recordings of a place with their labels at home.

    Parameters
    ----------
    name : str
        Name of the place, for messages.
    place : Place
    labels : Sequence[str]
        Labels that the classifier knows.

    Returns
    -------
    clips : list[Clip]
    left_out : list[tuple[str, str]]
        Path and reason of recordings that `place.labels` leaves out.

    Raises
    ------
    DataError
        If the folder or the CSV is missing or empty, a column is missing, a path has no group, or a label is unknown.
    """
    owner = f"evaluate.elsewhere.{name}"
    if not place.folder.is_dir():
        raise DataError(f"{owner}.folder must be a folder; {place.folder} is none. Correct the path.")
    clips: list[Clip] = []
    left_out: list[tuple[str, str]] = []
    for path, label, group in _rows(owner, place):
        mapped = [place.labels.get(each, each) for each in labels_of(label)]
        known = [each for each in mapped if each is not None]
        unknown = sorted(set(known) - set(labels))
        if unknown:
            raise DataError(
                f"{owner}.labels must lead every label to one of {', '.join(labels)}; {unknown[0]!r} of {path} is none "
                f"of them. Write labels: {{{unknown[0]}: {labels[0]}}}, or {{{unknown[0]}: null}} to leave it out."
            )
        if not known:
            left_out.append((path, LEFT_OUT))
            continue
        joined = SEPARATOR.join(dict.fromkeys(known))
        clips.append(Clip(f"{name}/{path}", place.folder / path, "test", joined, group))
    if not clips:
        raise DataError(f"{owner} must hold labelled recordings; {place.folder} holds none. Correct the folder.")
    return clips, left_out


def hear(name: str, place: Place, features: Path) -> Heard:
    """Compute the features of a place's recordings, as a device does.

    Recordings of a group that trained or chose the model, and recordings whose features are at home to the bit, are
    left out, so that the figures are of unseen groups.

    Parameters
    ----------
    name : str
    place : Place
    features : Path
        Features folder of home.

    Returns
    -------
    Heard

    Raises
    ------
    DataError
        As `listing`, if a file is missing, or if no recording is left.
    """
    frontend, model = frontend_file.read(features), Model(features / "frontend.tflite")
    clips, left_out = listing(name, place, frontend.labels)
    at_home = clips_file.read(features)
    groups = {clip.group for clip in at_home if clip.split != "test"} - {""}
    known = {hashlib.sha256(row.tobytes()).digest() for row in np.load(features / "features.npy", mmap_mode="r")}
    x, used = [], []
    for clip in track(clips, f"elsewhere, {name}"):
        reason, row = "", None
        if clip.group in groups:
            reason = SAME_GROUP
        else:
            try:
                samples = decode.load(clip.path, frontend.sample_rate, frontend.hearing)
                heard = fit(samples, frontend.clip_samples, frontend.align, frontend.hearing)
                row = model.run(heard[np.newaxis])[0]
                reason = SILENT if is_silent(samples, frontend.hearing.silence_dbfs) else ""
                if not reason and hashlib.sha256(row.tobytes()).digest() in known:
                    reason = SAME_SOUND
            except UnusableError as error:
                reason = error.kind
        if reason or row is None:
            left_out.append((clip.path.relative_to(place.folder).as_posix(), reason))
        else:
            x.append(row)
            used.append(clip)
    if not used:
        first = left_out[0]
        raise DataError(
            f"evaluate.elsewhere.{name} must hold recordings that home does not; all {len(left_out)} are left out "
            f"({first[0]}: {first[1]}). Correct its folder, its groups or its labels."
        )
    return Heard(np.stack(x), tuple(used), tuple(left_out))


def _rows(owner: str, place: Place) -> Iterator[tuple[str, str, str]]:
    """Yield path relative to the folder, label and group of each recording."""
    if place.csv is not None:
        table = place.folder / place.csv
        if not table.is_file():
            raise DataError(f"{owner}.csv must be a file below the folder; {table} is none. Correct the path.")
        rows = files.read_csv(table)
        missing = [column for column in COLUMNS if rows and column not in rows[0]]
        if missing:
            raise DataError(f"{table} must have the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing.")
        for row in rows:
            if not row["label"] or not row["group"]:
                raise DataError(f"{table} must give every recording a label and a group; {row['path']} lacks one.")
            if not (place.folder / row["path"]).resolve().is_relative_to(place.folder.resolve()):
                raise DataError(f"{table} must name paths below {place.folder}; {row['path']!r} is not.")
            yield row["path"], row["label"], row["group"]
        return
    for file in recordings_below(place.folder):
        path = file.relative_to(place.folder)
        if len(path.parts) < 2:
            continue
        found = re.search(place.group_pattern or "", path.as_posix())
        if found is None or not found.group(1):
            raise DataError(
                f"{owner}.group_pattern must find a group in every path; {place.group_pattern!r} finds none in {path}. "
                "Correct the pattern or rename the file."
            )
        yield path.as_posix(), path.parts[0], found.group(1)
