"""`sweep.json`: which grid a sweep folder holds, so that it can be logged to MLflow later."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.artifacts import json_file

FILE = "sweep.json"


@dataclass(frozen=True)
class SweepDescription:
    """The grid of a sweep.

    Attributes
    ----------
    key : str
        Digest of all cells.
    parameters : dict[str, str]
        Parameters of the grid, as MLflow shows them.
    """

    key: str
    parameters: dict[str, str] = field(default_factory=dict)


def read(folder: Path) -> SweepDescription:
    """Read the description of a sweep folder; raises `DataError` if it is missing or invalid."""
    return json_file.read(SweepDescription, folder / FILE, stage="sweep")


def write(folder: Path, description: SweepDescription) -> None:
    """Write the description into a sweep folder."""
    json_file.write(folder / FILE, description)
