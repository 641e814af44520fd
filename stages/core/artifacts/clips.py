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
    """

    clip_id: str
    path: Path
    split: SplitName
    label: str
    group: str = ""
    site: str = ""
    parent: str = ""

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
    if rows and set(rows[0]) != set(COLUMNS):
        raise DataError(f"{path} must have the columns {', '.join(COLUMNS)}. Run `dvc repro features` again.")
    clips = [Clip(**row | {"path": Path(row["path"])}) for row in rows]  # type: ignore[arg-type]
    return [clip for clip in clips if split in (None, clip.split)]


def write(folder: Path, clips: Sequence[Clip]) -> None:
    """Write the clips of a features folder."""
    files.write_csv(folder / FILE, COLUMNS, (asdict(clip) | {"path": clip.path.as_posix()} for clip in clips))


COLUMNS = tuple(field.name for field in fields(Clip))
