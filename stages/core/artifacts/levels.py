"""`levels.csv`: how loud every usable recording is, as a task hears it, and what its file is."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import DataError

FILE = "levels.csv"


@dataclass(frozen=True)
class Levels:
    """Levels of one recording.

    Attributes
    ----------
    recording_id : str
    n_channels : int
        Channels of the file; the rest is about the one channel that is heard.
    peak, rms : float
        Largest distance from the mean, and root mean square about it; 1 is full scale.
    mean : float
        DC offset.
    clipped : float
        Share of samples at full scale.
    quiet : float
        Share of frames of 20 ms that are silent.
    """

    recording_id: str
    n_channels: int
    peak: float
    rms: float
    mean: float
    clipped: float
    quiet: float


COLUMNS = tuple(field.name for field in dataclasses.fields(Levels))


def write(path: Path, levels: Sequence[Levels]) -> None:
    """Write the table, in the order given; numbers have six significant digits."""
    rows = (dataclasses.asdict(each) for each in levels)
    files.write_csv(path, COLUMNS, ({n: f"{v:.6g}" if isinstance(v, float) else v for n, v in r.items()} for r in rows))


def read(path: Path) -> list[Levels]:
    """Read the table.

    Raises
    ------
    DataError
        If it is missing.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro pull` first.")
    numbers = COLUMNS[2:]
    return [
        Levels(row["recording_id"], int(row["n_channels"]), **{name: float(row[name]) for name in numbers})
        for row in files.read_csv(path)
    ]
