"""Write the page of the recordings: one HTML file without any dependency, not even on the network, and without scripts.

The same facts give the same bytes. It holds at most `MOST_PAIRS` pairs and `MOST_SUSPECTS` suspects as sounds of four
seconds, about 35 kB each with its picture, so that it stays below 2.5 MB whatever the data.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts.label_errors import LabelErrors, Suspect
from stages.core.artifacts.levels import Levels
from stages.core.artifacts.pull_report import NearDuplicate, PullReport
from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SPLITS, SplitName, SplitReport
from stages.core.audio.unusable import shown
from stages.core.project import files, pages
from stages.core.project.palette import COLOURS, GREY
from stages.overview import drawing, sounds
from stages.overview.sounds import Clip
from stages.runtime.hearing import Hearing

MOST_PAIRS, MOST_SUSPECTS = 12, 24
MOST_ROWS = 200
"""Rows of a list at most; the files beside the page hold all."""
_FLOOR_DB = -120.0


@dataclass(frozen=True)
class Facts:
    """The artifacts that the page shows.

    Attributes
    ----------
    folder : Path
        Folder of the recordings.
    recordings : tuple of Recording
    levels : tuple of Levels
    labels : tuple of str
    hearing : Hearing
    pull : PullReport
    sides : dict of str to SplitName
    split : SplitReport
    doubted : LabelErrors
    """

    folder: Path
    recordings: tuple[Recording, ...]
    levels: tuple[Levels, ...]
    labels: tuple[str, ...]
    hearing: Hearing
    pull: PullReport
    sides: dict[str, SplitName]
    split: SplitReport
    doubted: LabelErrors


@dataclass(frozen=True)
class Sound:
    """A recording that a person can look at and listen to."""

    name: str
    about: str
    clip: Clip | None


@dataclass(frozen=True)
class PairShown:
    """A pair of near-duplicates."""

    title: str
    contradictory: bool
    two_sides: bool
    sounds: tuple[Sound, Sound]


@dataclass(frozen=True)
class SuspectShown:
    """A recording whose label is doubted."""

    rank: int
    suspect: Suspect
    sound: Sound


@dataclass(frozen=True)
class Row:
    """Counts of one class, site or group."""

    name: str
    found: int
    usable: int
    groups: int
    sides: dict[str, int]
    share: float


def write(facts: Facts, target: Path) -> None:
    """Write the page.

    Parameters
    ----------
    facts : Facts
    target : Path
        The HTML file.
    """
    text = pages.template("stages.overview", "page.html.j2").render(_content(facts))
    files.write_text(target, text + "\n")


def _content(facts: Facts) -> dict[str, object]:
    """Return what the template shows, by name."""
    pull, recordings = facts.pull, facts.recordings
    pairs = sorted(pull.near_duplicates, key=lambda p: (not p.contradictory, p.similarity, p.first, p.second))
    rest = [suspect for suspect in facts.doubted.suspects if suspect.recording_id in facts.sides]
    return {
        "pull": pull,
        "audit": facts.split.audit,
        "splits": SPLITS,
        "hours": sum(r.duration_s for r in recordings) / 3600,
        "n": len(recordings),
        "classes": classes(facts),
        "sites": sites(facts),
        "largest_groups": [row for row in largest_groups(facts)[:10] if row.usable > 1],
        "plots": plots(facts),
        "excluded": pull.excluded[:MOST_ROWS],
        "notes": pull.notes[:MOST_ROWS],
        "pairs": [_pair(facts, pair) for pair in pairs[:MOST_PAIRS]],
        "n_contradictory": sum(pair.contradictory for pair in pairs),
        "listed_pairs": pairs[:MOST_ROWS],
        "doubted": facts.doubted,
        "suspects": [_suspect(facts, i, suspect) for i, suspect in enumerate(rest[:MOST_SUSPECTS], 1)],
        "width": drawing.WIDTH,
        "height": drawing.HEIGHT,
        "base": drawing.BASE,
        "longest_s": sounds.LONGEST_S,
        "colours": COLOURS,
        "grey": GREY,
    }


def classes(facts: Facts) -> list[Row]:
    """Return the counts of every class."""
    most = max((facts.pull.labels[label].usable for label in facts.labels if label in facts.pull.labels), default=1)
    rows = []
    for label in facts.labels:
        members = [r for r in facts.recordings if label in r.labels]
        found = facts.pull.labels[label].found if label in facts.pull.labels else len(members)
        rows.append(_row(facts, label, members, found, most))
    return rows


def sites(facts: Facts) -> list[Row]:
    """Return the counts of every site, if there are any."""
    names = sorted({r.site for r in facts.recordings} - {""})
    members = {name: [r for r in facts.recordings if r.site == name] for name in names}
    most = max(map(len, members.values()), default=1)
    found = {name: sum(c.found for c in facts.pull.sites.get(name, {}).values()) for name in names}
    return [_row(facts, name, members[name], found[name] or len(members[name]), most) for name in names]


def largest_groups(facts: Facts) -> list[Row]:
    """Return the counts of every group, the largest first."""
    members: dict[str, list[Recording]] = defaultdict(list)
    for recording in facts.recordings:
        members[recording.group].append(recording)
    order = sorted(members, key=lambda name: (-len(members[name]), name))
    most = len(members[order[0]]) if order else 1
    return [_row(facts, name, members[name], len(members[name]), most) for name in order]


def plots(facts: Facts) -> list[drawing.Plot]:
    """Return the histograms of the recordings."""
    recordings, levels = facts.recordings, facts.levels
    if not recordings or not levels:
        return []
    per_group = Counter(r.group for r in recordings).values()
    return [
        drawing.histogram("Duration", "s", [max(r.duration_s, 1e-3) for r in recordings], log=True),
        drawing.categories("Sample rate", "Hz", [r.sample_rate for r in recordings]),
        drawing.categories("Channels of the file", "", [each.n_channels for each in levels]),
        drawing.categories("Recordings of a group", "", per_group),
        drawing.histogram("Peak", "dBFS", _db([each.peak for each in levels])),
        drawing.histogram("Loudness (root mean square)", "dBFS", _db([each.rms for each in levels])),
        drawing.histogram("DC offset", "% of full scale", [100 * each.mean for each in levels]),
        drawing.histogram("Silence within", "% of frames", [100 * each.quiet for each in levels]),
        drawing.histogram("Clipping", "% of samples", [100 * each.clipped for each in levels]),
    ]


def _db(values: Sequence[float]) -> list[float]:
    return np.maximum(20 * np.log10(np.maximum(values, 1e-9)), _FLOOR_DB).tolist()


def _row(facts: Facts, name: str, members: Sequence[Recording], found: int, most: int) -> Row:
    sides = Counter(facts.sides[r.recording_id] for r in members if r.recording_id in facts.sides)
    n_groups = len({r.group for r in members})
    return Row(name, found, len(members), n_groups, {side: sides[side] for side in SPLITS}, len(members) / max(most, 1))


def _pair(facts: Facts, pair: NearDuplicate) -> PairShown:
    sides = [facts.sides.get(name, "") for name in (pair.first, pair.second)]
    return PairShown(
        title=f"similarity {pair.similarity:g}",
        contradictory=pair.contradictory,
        two_sides=all(sides) and sides[0] != sides[1],
        sounds=(_sound(facts, pair.first), _sound(facts, pair.second)),
    )


def _suspect(facts: Facts, rank: int, suspect: Suspect) -> SuspectShown:
    return SuspectShown(rank, suspect, _sound(facts, shown(suspect.recording_id)))


def _sound(facts: Facts, name: str) -> Sound:
    """Return a recording by its name in the reports; an excluded one is looked for by that name."""
    known = next((r for r in facts.recordings if shown(r.recording_id) == name), None)
    if known is None:
        path = facts.folder / name
        inside = path.is_file() and path.resolve().is_relative_to(facts.folder.resolve())
        return Sound(name, "excluded", sounds.clip(path, None, facts.hearing) if inside else None)
    site = f", {known.site}" if known.site else ""
    about = f"{known.label}, group {known.group}{site}, {facts.sides.get(known.recording_id, 'no side')}"
    return Sound(name, about, sounds.clip(known.path, known.span, facts.hearing))
