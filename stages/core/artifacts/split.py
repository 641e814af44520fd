"""`splits.csv` and `split_report.json`: the split of every recording, and the counts and audit of the split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stages.core.artifacts import json_file
from stages.core.project import files
from stages.core.project.errors import DataError

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


def write(path: Path, splits: Mapping[str, SplitName]) -> None:
    """Write the split table: `recording_id` and split, in the order given."""
    rows = ({"recording_id": recording, "split": split} for recording, split in splits.items())
    files.write_csv(path, ("recording_id", "split"), rows)


def read(path: Path) -> dict[str, SplitName]:
    """Read the split table as a mapping from `recording_id` to split.

    Raises
    ------
    DataError
        If the file is missing or names an unknown split.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro split` first.")
    known: dict[str, SplitName] = {name: name for name in SPLITS}
    splits: dict[str, SplitName] = {}
    for row in files.read_csv(path):
        if row["split"] not in known:
            raise DataError(
                f"{path} must name one of {', '.join(SPLITS)}; got {row['split']!r}. Run `dvc repro split`."
            )
        splits[row["recording_id"]] = known[row["split"]]
    return splits


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split, or of one site in it.

    Attributes
    ----------
    recordings, groups : int
    prevalence : dict[str, float]
        Label to the fraction of recordings that have it.
    """

    recordings: int
    groups: int
    prevalence: dict[str, float]


@dataclass(frozen=True)
class SplitSummary(SplitCounts):
    """Counts of one split and, where recordings have sites, of each site in it."""

    site: dict[str, SplitCounts] = field(default_factory=dict)


@dataclass(frozen=True)
class LeakageAudit:
    """Result of the search for leaks between splits.

    Attributes
    ----------
    groups, contents : int
        Number of groups and of distinct audio contents that were checked.
    on_two_sides : int
        Number of them that are in more than one split; always 0 in a split that was written.
    similar_names_on_two_sides : int
        Number of sets of groups in more than one split whose names are similar and which the user says are different.
    near_duplicates_on_two_sides : int
        Number of pairs of near-duplicates in more than one split; above 0 only with `pull.near_duplicates.action:
        report`.
    """

    groups: int
    contents: int
    on_two_sides: int = 0
    similar_names_on_two_sides: int = 0
    near_duplicates_on_two_sides: int = 0


@dataclass(frozen=True)
class SplitReport:
    """Counts of every split and the leakage audit.

    Attributes
    ----------
    train, validation, test : SplitSummary
    audit : LeakageAudit
    published_split_not_used : dict[str, int]
        Published fold to its number of recordings, where `split.method` does not use the published split.
    """

    train: SplitSummary
    validation: SplitSummary
    test: SplitSummary
    audit: LeakageAudit
    published_split_not_used: dict[str, int] = field(default_factory=dict)

    def of(self, split: SplitName) -> SplitSummary:
        """Return the counts of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


def read_report(path: Path) -> SplitReport:
    """Read the split report; raises `DataError` if it is missing or invalid."""
    return json_file.read(SplitReport, path, stage="split")


def write_report(path: Path, report: SplitReport) -> None:
    """Write the split report."""
    json_file.write(path, report)
