"""A recording and the index: the one table every stage hands to the next.

A *recording* is a file somebody published. A *clip* is what the classifier sees: a recording, or an augmented
copy of one, at the front end's rate and length. A *group* is whoever or whatever must not be on two sides of
a split (speaker, patient, source recording); it travels with every recording and every clip.

A recording of a *multi-label* task may hold several things at once: its label is then their names, joined by `|`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files

SEPARATOR = "|"


@dataclass(frozen=True)
class Recording:
    """One usable recording or one augmented copy of one.

    Attributes
    ----------
    recording_id : str
        Unique in the index.
    path : Path
        Audio file, relative to the project.
    label : str
        One, or several joined by `SEPARATOR`.
    group : str
    site : str
        Where or with what it was recorded; empty if unknown.
    fold : str
        The publisher's fold or split name; empty if none.
    sha256 : str
        Of the decoded audio (mono float32 samples at the file's own rate), not of the file.
    duration_s : float
    sample_rate : int
        The file's own rate (Hz).
    parent : str
        `recording_id` that an augmented copy was made from; empty for a recording.
    """

    recording_id: str
    path: Path
    label: str
    group: str
    site: str
    fold: str
    sha256: str
    duration_s: float
    sample_rate: int
    parent: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names that `label` joins."""
        return labels_of(self.label)


def labels_of(label: str) -> tuple[str, ...]:
    """Return the names that a label joins."""
    return tuple(label.split(SEPARATOR))


COLUMNS = tuple(field.name for field in dataclasses.fields(Recording))


def write_index(path: Path, recordings: Sequence[Recording]) -> None:
    """Write an index as CSV, in the order given."""
    files.write_csv(path, COLUMNS, (dataclasses.asdict(r) | {"path": r.path.as_posix()} for r in recordings))


def read_index(path: Path) -> list[Recording]:
    """Read an index written by `write_index`."""
    return [
        Recording(
            **row  # type: ignore[arg-type]
            | {
                "path": Path(row["path"]),
                "duration_s": float(row["duration_s"]),
                "sample_rate": int(row["sample_rate"]),
            }
        )
        for row in files.read_csv(path)
    ]
