"""`clips.csv`: one row per clip of a features folder, in the order of `features.npy`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from stages.core.artifacts.recordings import labels_of
from stages.core.artifacts.split import SplitName
from stages.core.project import files
from stages.core.project.errors import DataError

FILE = "clips.csv"


@dataclass(frozen=True)
class Clip:
    """One clip: a recording, an augmented copy or a masked copy.

    Attributes
    ----------
    clip_id : str
        Unique in the table.
    path : Path
        Audio file; a masked copy has the path of the clip that it masks.
    split : {"train", "validation", "test"}
    label : str
        One label, or several joined by ``|``.
    group : str
    site : str
        Empty if unknown.
    parent : str
        Recording that a copy was made from; empty for a recording.
    start_s, end_s : float or None
        Part of the audio file that it is (seconds), if it is not all of it.
    recording : str
        Id of the recording, if the clip is one of several parts of it; else empty. The table has this column and the
        two before if any clip is part of a file.
    """

    clip_id: str
    path: Path
    split: SplitName
    label: str
    group: str = ""
    site: str = ""
    parent: str = ""
    start_s: float | None = None
    end_s: float | None = None
    recording: str = ""

    @property
    def span(self) -> tuple[float, float] | None:
        """Part of the audio file that it is (seconds); None for all of it."""
        return None if self.start_s is None or self.end_s is None else (self.start_s, self.end_s)

    @property
    def recording_id(self) -> str:
        """Recording that it is a part or all of: what a figure per recording counts."""
        return self.recording or self.clip_id

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that `label` joins."""
        return labels_of(self.label)


def read(folder: Path, split: SplitName | None = None) -> list[Clip]:
    """Read the clips of a features folder, or those of one split.

    Raises
    ------
    DataError
        If the folder has no `clips.csv`, or the table has other columns.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder} holds no {FILE}. Run `dvc repro features` first.")
    rows = files.read_csv(path)
    if rows and set(rows[0]) not in (set(COLUMNS), set(COLUMNS) - set(PART_COLUMNS)):
        columns = ", ".join(name for name in COLUMNS if name not in PART_COLUMNS)
        raise DataError(f"{path} must have the columns {columns}. Run `dvc repro features` again.")
    clips = [
        Clip(
            **row  # type: ignore[arg-type]
            | {"path": Path(row["path"])}
            | {name: float(row[name]) if row.get(name) else None for name in ("start_s", "end_s")}
        )
        for row in rows
    ]
    return [clip for clip in clips if split in (None, clip.split)]


def write(folder: Path, clips: Sequence[Clip]) -> None:
    """Write the clips of a features folder."""
    parts = any(clip.span for clip in clips)
    columns = [name for name in COLUMNS if parts or name not in PART_COLUMNS]
    rows = [asdict(clip) | {"path": clip.path.as_posix()} for clip in clips]
    files.write_csv(folder / FILE, columns, ({name: row[name] for name in columns} for row in rows))


COLUMNS = tuple(field.name for field in fields(Clip))
PART_COLUMNS = ("start_s", "end_s", "recording")
