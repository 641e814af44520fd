"""`hearing.json`: the rules by which the recordings of the index are heard, where they differ from the defaults."""

from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.runtime.hearing import Hearing, parse


def read(path: Path) -> Hearing:
    """Read the rules; raises `DataError` if the file is missing or holds others."""
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro pull` first.")
    try:
        return parse(files.read_json(path))
    except ValueError as error:
        raise DataError(f"{path}: {error}. Run `dvc repro pull` again.") from None


def write(path: Path, hearing: Hearing) -> None:
    """Write the rules that differ from the defaults."""
    files.write_json(path, hearing.changed())
