"""`params.yaml`, read strictly into frozen dataclasses.

Every stage owns the dataclass of its section; this module only knows how to fill one. Unknown keys,
wrong types and out-of-range values are refused before any work is done. Files are read as YAML 1.2,
as DVC reads them, so that `1e-4` is a number.
"""

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.core.project import files
from stages.core.project.errors import ParameterError, notice

PARAMS_FILE = Path("params.yaml")
SECTIONS = (
    "pull",
    "split",
    "augment",
    "features",
    "distill",
    "train",
    "prune",
    "quantize",
    "sweep",
    "evaluate",
    "select",
    "push",
)

T = TypeVar("T")

Options: TypeAlias = dict[str, Any]
"""Parameters of plug-ins as `params.yaml` has them; `load` makes a plug-in's `Config` of them."""
_FORMERLY = "formerly"


def read(path: Path = PARAMS_FILE) -> Options:
    """Read a params file and check that its top level holds known sections only.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        Section name to the section's plain values.

    Raises
    ------
    ParameterError
        If the file is missing, is not YAML, or has a section nobody reads.
    """
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ParameterError(f"{path} must hold sections ({', '.join(SECTIONS)}); got {document!r}.")
    for name in document:
        if name not in SECTIONS:
            raise ParameterError(f"{path} has an unknown section {name!r}. {known(name, SECTIONS)}")
    return document


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain values.

    Raises
    ------
    ParameterError
        If the file is missing, is not YAML, or is no file, such as a folder or a pipe.
    """
    try:
        files.require_regular(path)
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise ParameterError(f"{path} does not exist. Run the command from the project's folder.") from None
    except OSError as error:
        raise ParameterError(f"{path} cannot be read ({error.strerror}). Put a YAML file there.") from None
    except YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None


def section(name: str, cls: type[T], path: Path = PARAMS_FILE) -> T:
    """Read one section of a params file into its dataclass; an absent section takes the defaults.

    Raises
    ------
    ParameterError
        For an unknown key, a wrong type, or a value the dataclass refuses.
    """
    return load(cls, read(path).get(name) or {}, name)


def load(cls: type[T], values: Any, owner: str) -> T:
    """Fill the frozen dataclass `cls` from plain values, strictly; `~` in a path stands for the home folder.

    Parameters
    ----------
    cls : type
        A dataclass; fields may be int, float, bool, str, Path, `X | None`, Literal, tuple[X, ...],
        dict[str, X], Any and nested dataclasses. Ranges are checked by its `__post_init__`.
    values : Mapping
    owner : str
        Dotted name for messages, e.g. ``"features.mfcc"``.

    Raises
    ------
    ParameterError
    """
    if not isinstance(values, Mapping):
        raise ParameterError(f"{owner} must be a table of parameters; got {values!r}.")
    hints = _hints(cls)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = _by_current_names(values, fields, owner)
    for key in values:
        if key not in fields:
            raise ParameterError(f"{owner} has no parameter {key!r}. {known(key, fields)}")
    for name, field in fields.items():
        unset = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if unset and name not in values:
            raise ParameterError(f"{owner}.{name} must be given; it has no default.")
    return cls(**{key: _value(hints[key], value, f"{owner}.{key}") for key, value in values.items()})


def formerly(old: str, *, default: Any) -> Any:
    """Return the dataclass field of a parameter that has been renamed; `load` accepts the old name with a notice.

    Parameters
    ----------
    old : str
        Name that the parameter had in the release before.
    default : Any
        Its default value.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Example:
    ...     workers: int = formerly("jobs", default=1)
    >>> load(Example, {"jobs": 2}, "example")
    Example(workers=2)
    """
    return dataclasses.field(default=default, metadata={_FORMERLY: old})


def _by_current_names(values: Mapping[str, Any], fields: Mapping[str, "dataclasses.Field[Any]"], owner: str) -> Any:
    """Return the values with old names of parameters replaced, after a notice about each."""
    current = {field.metadata[_FORMERLY]: name for name, field in fields.items() if _FORMERLY in field.metadata}
    for old, name in current.items():
        if old in values and name in values:
            raise ParameterError(f"{owner}.{old} and {owner}.{name} are one parameter. Remove {owner}.{old}.")
        if old in values:
            _notice_renamed(f"{owner}.{old}", f"{owner}.{name}")
    return {current.get(key, key): value for key, value in values.items()}


@functools.cache  # one notice per process
def _notice_renamed(old: str, new: str) -> None:
    notice(f"the parameter {old} is now {new}; the old name works for one more release.")


def known(name: str, names: Iterable[str]) -> str:
    """Return the sentence that lists the known names, the closest first suggested."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}."


@functools.cache
def _hints(cls: type[Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, value: Any, owner: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        *others, last = (a for a in arguments if a is not type(None))
        for alternative in others:
            try:
                return _value(alternative, value, owner)
            except ParameterError:
                continue
        return _value(last, value, owner)
    if origin is typing.Literal:
        if value not in arguments:
            choices = ", ".join(str(a) for a in arguments)
            raise ParameterError(f"{owner} must be one of {choices}; got {value!r}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ParameterError(f"{owner} must be a list; got {value!r}. Write [{value}].")
        return tuple(_value(arguments[0], item, f"{owner}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ParameterError(f"{owner} must be a table of names and values; got {value!r}.")
        return {key: _value(arguments[1], item, f"{owner}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return load(typing.cast(type[Any], hint), value, owner)
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ParameterError(f"{owner} must be {_ENGLISH.get(hint, hint.__name__)}; got {value!r}.")
    return value


_ENGLISH = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
