"""`index.csv` and `labels.json`: the recordings, and the labels in output order.

A *recording* is a published file. A *clip* is the input of the classifier: a recording, or an augmented copy of one, at
the front end's sample rate and length. A *group* (speaker, patient, source recording) must not be in more than one
split; every recording and every clip carries its group.

A recording of a *multi-label* task may have several labels, joined by ``|``.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import DataError

SEPARATOR = "|"


@dataclass(frozen=True)
class Recording:
    """One usable recording, or an augmented copy of one.

    Attributes
    ----------
    recording_id : str
        Unique in the index.
    path : Path
        Audio file, relative to the project.
    label : str
        One label, or several joined by `SEPARATOR`.
    group : str
    site : str
        Recording place or device; empty if unknown.
    fold : str
        The publisher's fold or split name; empty if none.
    sha256 : str
        Digest of the decoded audio (mono float32 samples at the file's own rate), not of the file.
    duration_s : float
    sample_rate : int
        Sample rate of the file (Hz).
    parent : str
        `recording_id` of the source of an augmented copy; empty for a recording.
    start_s, end_s : float or None
        Part of the file that it is (seconds), if it is not all of it. The table has these columns if any recording is
        a part.
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
    start_s: float | None = None
    end_s: float | None = None

    @property
    def span(self) -> tuple[float, float] | None:
        """Part of the file that it is (seconds); None for all of it."""
        return None if self.start_s is None or self.end_s is None else (self.start_s, self.end_s)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that `label` joins."""
        return labels_of(self.label)


def labels_of(label: str) -> tuple[str, ...]:
    """Return the labels that a joined label consists of.

    >>> labels_of("dog|rain")
    ('dog', 'rain')
    """
    return tuple(label.split(SEPARATOR))


def part_id(name: str, start_s: float, end_s: float) -> str:
    """Return the id of a part of a recording.

    >>> part_id("a.wav", 1.5, 3)
    'a.wav@1.5-3'
    """
    return f"{name}@{start_s:.10g}-{end_s:.10g}"


COLUMNS = tuple(field.name for field in dataclasses.fields(Recording))
PART_COLUMNS = ("start_s", "end_s")


def write_index(path: Path, recordings: Sequence[Recording]) -> None:
    """Write recordings as CSV, in the order given."""
    columns = COLUMNS if any(r.span for r in recordings) else [name for name in COLUMNS if name not in PART_COLUMNS]
    rows = [dataclasses.asdict(r) | {"path": r.path.as_posix()} for r in recordings]
    files.write_csv(path, columns, ({name: row[name] for name in columns} for row in rows))


def read_index(path: Path) -> list[Recording]:
    """Read an index written by `write_index`.

    Raises
    ------
    DataError
        If the file is missing.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro pull` first.")
    return [
        Recording(
            **row  # type: ignore[arg-type]
            | {
                "path": Path(row["path"]),
                "duration_s": float(row["duration_s"]),
                "sample_rate": int(row["sample_rate"]),
            }
            | {name: float(row[name]) if row.get(name) else None for name in PART_COLUMNS}
        )
        for row in files.read_csv(path)
    ]


def write_labels(path: Path, labels: Sequence[str]) -> None:
    """Write the labels in output order as a JSON list."""
    files.write_json(path, list(labels))


def read_labels(path: Path) -> tuple[str, ...]:
    """Read the labels in output order.

    Raises
    ------
    DataError
        If the file is missing.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro pull` first.")
    return tuple(files.read_json(path))
