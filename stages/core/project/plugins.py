"""A folder is a registry: every module of a plug-in folder is a plug-in, found by its file's name.

A plug-in module holds a frozen dataclass `Config` (its parameters, with defaults) and the functions that its
folder's contract names. Nothing is registered anywhere: put the file there and name it in `params.yaml`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stages.core.project import params
from stages.core.project.errors import ParameterError


def registry(name: str) -> str:
    """Return the package of the registry of this name, the one folder ``stages/<stage>/<name>/``.

    Whoever is below the stages finds a registry by this rule, without knowing the stage.

    Examples
    --------
    >>> registry("architectures")
    'stages.train.architectures'
    """
    (folder,) = Path(__file__).parents[2].glob(f"*/{name}/__init__.py")
    return f"stages.{folder.parents[1].name}.{name}"


def names(package: str) -> list[str]:
    """Return the sorted names of the plug-ins in a package, e.g. ``"stages.features.frontends"``."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


def load(package: str, name: str, owner: str) -> ModuleType:
    """Import one plug-in.

    Parameters
    ----------
    package : str
    name : str
        The file's name without ``.py``.
    owner : str
        The parameter that named it, for the message.

    Raises
    ------
    ParameterError
        If there is no such plug-in; the sentence lists the known ones.
    """
    available = names(package)
    if name not in available:
        folder = package.replace(".", "/")
        raise ParameterError(f"{owner} must name a file of {folder}/; got {name!r}. {params.known(name, available)}")
    return importlib.import_module(f"{package}.{name}")


def configure(package: str, name: str, options: Mapping[str, Any], owner: str) -> tuple[ModuleType, Any]:
    """Import a plug-in and fill its `Config` from `options[name]`, or from its defaults.

    Parameters
    ----------
    package, name : str
    options : Mapping
        Plug-in name to that plug-in's parameters, so that switching plug-ins keeps each one's settings.
        Tables for other known plug-ins are ignored; for unknown ones they are an error.
    owner : str
        The params section, e.g. ``"features"``.

    Returns
    -------
    (module, config)

    Raises
    ------
    ParameterError
    """
    kind = package.rpartition(".")[2].removesuffix("s")
    module = load(package, name, f"{owner}.{kind}")
    available = names(package)
    for key in options:
        if key not in available:
            raise ParameterError(f"{owner}.options has no plug-in {key!r}. {params.known(key, available)}")
    return module, params.load(module.Config, options.get(name) or {}, f"{owner}.options.{name}")
