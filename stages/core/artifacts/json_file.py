"""Read and write a JSON file that holds one frozen dataclass, or a list of them.

Every artifact module builds its `read` and `write` on these functions, so that a missing, damaged or foreign file is
always the same kind of error.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from stages.core.project import files, params
from stages.core.project.errors import DataError, ParameterError

T = TypeVar("T")

Json: TypeAlias = dict[str, Any]
"""An object of JSON whose keys the reader does not know."""


def read(cls: type[T], path: Path, *, stage: str) -> T:
    """Read one dataclass from a JSON object.

    Parameters
    ----------
    cls : type
        A frozen dataclass; `stages.core.project.params.load` says which field types it may have.
    path : Path
    stage : str
        The pipeline stage that writes the file, for error messages.

    Raises
    ------
    DataError
        If the file is missing, is not JSON or does not have the fields of `cls`.
    """
    return _load(cls, _content(path, stage), str(path), stage)


def read_list(cls: type[T], path: Path, *, stage: str) -> list[T]:
    """Read a list of dataclasses from a JSON array; parameters and errors as for `read`."""
    content = _content(path, stage)
    if not isinstance(content, list):
        raise DataError(f"{path} must hold a list; got {type(content).__name__}. Run `dvc repro {stage}` again.")
    return [_load(cls, each, f"{path}[{i}]", stage) for i, each in enumerate(content)]


def write(path: Path, value: Any, *, omit_defaults: bool = False) -> None:
    """Write a dataclass, or a list of dataclasses, as deterministic JSON.

    Parameters
    ----------
    path : Path
    value : dataclass instance or Sequence of dataclass instances
    omit_defaults : bool
        Leave out the fields that hold their default.
    """
    if isinstance(value, Sequence):
        files.write_json(path, [plain(each, omit_defaults=omit_defaults) for each in value])
    else:
        files.write_json(path, plain(value, omit_defaults=omit_defaults))


def plain(value: Any, *, omit_defaults: bool = False) -> Json:
    """Return a dataclass instance as a dictionary that JSON can hold.

    Parameters
    ----------
    value : dataclass instance
    omit_defaults : bool
        Leave out the fields that hold their default; fields of nested dataclasses are always kept.
    """
    content = dataclasses.asdict(value)
    if not omit_defaults:
        return content
    defaults = {
        field.name: field.default_factory() if callable(field.default_factory) else field.default
        for field in dataclasses.fields(value)
    }
    return {name: each for name, each in content.items() if getattr(value, name) != defaults[name]}


def _content(path: Path, stage: str) -> Any:
    try:
        return files.read_json(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Run `dvc repro {stage}` first.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid JSON ({error}). Run `dvc repro {stage}` again.") from None


def _load(cls: type[T], content: Any, owner: str, stage: str) -> T:
    try:
        return params.load(cls, content, owner)
    except ParameterError as error:
        raise DataError(f"{error} Run `dvc repro {stage}` again.") from None
