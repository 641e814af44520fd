"""The user's own long recordings as streams for `evaluate.stream`: events from a CSV file beside each recording.

    kitchen.wav
    kitchen.csv      onset,offset,label
                     3.2,3.9,cough

A recording of a group that trained the model is left out. Those of groups of the validation split choose the event
rules; those of groups of the test split, and of groups that no clip is of, judge them.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.split import SplitName
from stages.core.audio import decode
from stages.core.audio.sources import recordings_below
from stages.core.project import errors, files
from stages.core.project.errors import DataError
from stages.core.scoring.detection import Sounds, TrueEvent
from stages.evaluate.params import StreamParams
from stages.evaluate.soundscape import BLOCK_S, Stream

OWNER = "evaluate.stream.recordings"
COLUMNS = ("onset", "offset", "label")


@dataclass(frozen=True)
class Annotated:
    """A long recording and its events.

    Attributes
    ----------
    path : Path
    group : str
    side : {"train", "validation", "test"}
    events : tuple[TrueEvent, ...]
        By onset, in seconds of the recording.
    """

    path: Path
    group: str
    side: SplitName
    events: tuple[TrueEvent, ...]


class Recordings(Stream):
    """Recordings one after another, with silence between them that no window reaches across.

    Parameters
    ----------
    recordings : Sequence[Annotated]
    frontend : Frontend

    Raises
    ------
    DataError
        If a recording cannot be decoded, or an event ends after it.
    """

    def __init__(self, recordings: Sequence[Annotated], frontend: Frontend) -> None:
        self._recordings, self._frontend = tuple(recordings), frontend
        self._gap = 2 * frontend.clip_samples
        self.truth = []
        whole: list[TrueEvent] = []
        start = heard = 0
        for each in self._recordings:
            n = len(self._load(each))
            for event in each.events:
                if event.onset_s * frontend.sample_rate >= n:
                    length = f"{n / frontend.sample_rate:.3f} s"
                    raise DataError(
                        f"{_table(each.path)} has an event at {event.onset_s:g} s; {each.path} ends at {length}."
                    )
                at = start / frontend.sample_rate
                self.truth.append(TrueEvent(event.label, at + event.onset_s, at + event.offset_s, event.group))
            whole.append(TrueEvent("", start / frontend.sample_rate, (start + n) / frontend.sample_rate, each.group))
            start += n + self._gap
            heard += n
        self.hours = heard / frontend.sample_rate / 3600
        self.sounds = Sounds.of(whole, hours=self.hours)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the recordings, each followed by silence, in blocks: (n,) float32."""
        size = round(BLOCK_S * self._frontend.sample_rate)
        for each in self._recordings:
            samples = self._load(each)
            for start in range(0, len(samples), size):
                yield samples[start : start + size]
            yield np.zeros(self._gap, np.float32)

    def _load(self, each: Annotated) -> np.ndarray:
        return decode.load(each.path, self._frontend.sample_rate, self._frontend.hearing)


def recordings(given: StreamParams, features: Path, frontend: Frontend, ignored: Sequence[str]) -> list[Annotated]:
    """Read which recordings there are, of which side of the split, and what is in them.

    Parameters
    ----------
    given : StreamParams
    features : Path
        Holds ``clips.csv``, whose groups say which side a recording is of.
    frontend : Frontend
    ignored : Sequence[str]
        Labels that are no event.

    Raises
    ------
    DataError
        If there is no recording, one has no group or no CSV file, or an annotation is not valid.
    """
    folder = given.recordings
    if folder is None or not folder.is_dir():
        raise DataError(f"{OWNER} must be a folder; {folder} is none. Correct the path.")
    sides = {clip.group: clip.split for clip in clips_file.read(features) if clip.group}
    found = []
    for path in recordings_below(folder):
        name = path.relative_to(folder).as_posix()
        matched = re.search(given.recordings_group, name)
        if matched is None or not matched.group(1):
            rule = f"{OWNER}_group must find a group in every path"
            raise DataError(f"{rule}; {given.recordings_group!r} finds none in {name}. Correct the pattern.")
        group = matched.group(1)
        found.append(Annotated(path, group, sides.get(group, "test"), _events(path, group, frontend.labels, ignored)))
    if not found:
        raise DataError(f"{OWNER} must hold recordings; {folder} holds none. Correct the path.")
    return found


def marked(features: Path, side: SplitName, ignored: Sequence[str]) -> list[Annotated]:
    """Return the recordings of a side of which parts are marked, with these parts as events.

    Parameters
    ----------
    features : Path
        Holds ``clips.csv``, whose clips are the parts; clips of one part that follow each other are one event.
    side : {"train", "validation", "test"}
    ignored : Sequence[str]
        Labels that are no event.

    Raises
    ------
    DataError
        If the side has no such recording.
    """
    spans: dict[tuple[Path, str], dict[str, list[tuple[float, float]]]] = {}
    for clip in clips_file.read(features, side):
        if clip.span is None or clip.recording != clip.path.as_posix():  # a clip of a recording that is one part
            continue
        of_label = spans.setdefault((clip.path, clip.group), {})
        for label in clip.labels:
            if label not in ignored:
                of_label.setdefault(label, []).append(clip.span)
    if not spans:
        raise DataError(
            f"evaluate.stream.marked must find recordings with marked parts in the {side} split; there are none. "
            "Set it to false, or give their times in start_s and end_s."
        )
    found = []
    for (path, group), of_label in sorted(spans.items()):
        events = [TrueEvent(label, *span, group) for label, own in of_label.items() for span in _joined(own)]
        found.append(Annotated(path, group, side, tuple(sorted(events, key=lambda e: (e.onset_s, e.label)))))
    return found


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return spans with those that touch or overlap made one."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def of_side(found: Sequence[Annotated], side: SplitName) -> list[Annotated]:
    """Return the recordings of a side; warn of those that training left no use for.

    Raises
    ------
    DataError
        If there is none for the test side.
    """
    chosen = [each for each in found if each.side == side]
    if side == "test":
        trained = [str(each.path) for each in found if each.side == "train"]
        if not chosen:
            rule = f"{OWNER} must hold a recording of a group that neither trained nor chose the model"
            raise DataError(f"{rule}; none of {len(found)} is. Add one, or correct {OWNER}_group.")
        if trained:
            errors.warning(f"{OWNER}: left out, as their groups trained the model: {', '.join(trained)}.")
    return chosen


def digests(folder: Path) -> list[str]:
    """Return the digests of all recordings and annotations of a folder."""
    return [files.sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()]


def _table(path: Path) -> Path:
    return path.with_suffix(".csv")


def _events(path: Path, group: str, labels: Sequence[str], ignored: Sequence[str]) -> tuple[TrueEvent, ...]:
    table = _table(path)
    if not table.is_file():
        header = ",".join(COLUMNS)
        raise DataError(
            f"{path} must have a CSV file {table.name} beside it. Write {header} as its only line for no event."
        )
    try:
        lines = csv.DictReader(io.StringIO(table.read_text("utf-8-sig"), newline=""), skipinitialspace=True)
        head = [name.strip() for name in lines.fieldnames or ()]
        lines.fieldnames = head
        rows = list(lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} must be a CSV file in UTF-8; {error}. Save it as one.") from None
    if not set(COLUMNS) <= set(head):
        raise DataError(f"{table} must have the columns {', '.join(COLUMNS)}; got {', '.join(head) or 'none'}.")
    events = []
    for number, row in enumerate(rows, start=2):
        where = f"{table}, line {number},"
        if None in row:
            raise DataError(f"{where} must have {len(head)} fields; it has more. Put a label with a comma in quotes.")
        try:
            onset, offset = float(row["onset"]), float(row["offset"])
        except (TypeError, ValueError):
            onset = offset = math.nan
        if not 0 <= onset < offset < math.inf:
            got = f"{row['onset']!r} and {row['offset']!r}"
            raise DataError(
                f"{where} must have an onset in seconds, and an offset after it; got {got}. Correct the line."
            )
        label = (row["label"] or "").strip()
        if label in ignored:
            continue
        if label not in labels:
            advice = "Correct it, or add it to evaluate.stream.ignored."
            raise DataError(f"{where} must have a label of the task ({', '.join(labels)}); got {label!r}. {advice}")
        events.append(TrueEvent(label, onset, offset, group))
    return tuple(sorted(events, key=lambda event: event.onset_s))
