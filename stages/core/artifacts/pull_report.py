"""`pull_report.json`: where the recordings come from, what is usable, and what was excluded and why."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.project import files


@dataclass(frozen=True)
class ClassCounts:
    """Recordings of one class: those in the source, and the usable ones."""

    found: int
    usable: int


@dataclass(frozen=True)
class Excluded:
    """A recording that was left out, with the reason in a word or two and, where there is more to say, a sentence."""

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Note:
    """A remark about one recording, used or excluded."""

    path: str
    note: str


@dataclass(frozen=True)
class NearDuplicate:
    """Two recordings that hold the same sound although their samples differ.

    Attributes
    ----------
    first, second : str
        As the report names recordings.
    similarity : float
        Height of the correlation of their waveforms in its root mean squares.
    contradictory : bool
        Whether their labels differ.
    """

    first: str
    second: str
    similarity: float
    contradictory: bool = False


@dataclass(frozen=True)
class PullReport:
    """Origin of the recordings, counts of those found and usable, and every excluded one by name.

    Attributes
    ----------
    source : str
        Plug-in name, a file of ``stages/pull/sources/``.
    citation, licence, homepage : str
        As the publisher states them; empty if there is none.
    found, usable : int
        Recordings in the source, and those that passed every check.
    groups : int
        Groups among the usable recordings.
    labels : dict[str, ClassCounts]
    excluded : tuple[Excluded, ...]
    excluded_by_reason : dict[str, int]
    distinct_contents : int
        Distinct audio contents among the usable recordings.
    merged_groups : int
        Groups that were merged with another because they share a content.
    sites : dict[str, dict[str, ClassCounts]]
        Site to the counts of each class there.
    notes : tuple[Note, ...]
    renamed : dict[str, dict[str, str]]
        Kind of name (`labels`, `groups`, `sites`, `splits`) to each name that was cleaned, renamed or merged, and what
        it became.
    similar_names : dict[str, tuple[tuple[str, ...], ...]]
        Kind of name to the sets of similar names that stay apart because `pull.similar_names` is `allow`.
    near_duplicates : tuple[NearDuplicate, ...]
        Pairs of recordings that hold the same sound.
    near_duplicates_action : str
        `group`, `report` or `off`, as `pull.near_duplicates.action` says.
    """

    source: str
    citation: str
    licence: str
    homepage: str
    found: int
    usable: int
    groups: int
    labels: dict[str, ClassCounts]
    excluded: tuple[Excluded, ...] = ()
    excluded_by_reason: dict[str, int] = field(default_factory=dict)
    distinct_contents: int = 0
    merged_groups: int = 0
    sites: dict[str, dict[str, ClassCounts]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)
    similar_names: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    near_duplicates: tuple[NearDuplicate, ...] = ()
    near_duplicates_action: str = "off"


def read(path: Path) -> PullReport:
    """Read the pull report; raises `DataError` if it is missing or invalid."""
    return json_file.read(PullReport, path, stage="pull")


def write(path: Path, report: PullReport) -> None:
    """Write the pull report; an exclusion without a detail has no such key."""
    content = json_file.plain(report)
    content["excluded"] = [{k: v for k, v in each.items() if v or k != "detail"} for each in content["excluded"]]
    files.write_json(path, content)
