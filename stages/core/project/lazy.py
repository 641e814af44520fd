"""Import a heavy package on its first use: an import at the top of the file that costs nothing until then.

The names are written twice, once for the type checker and once for the process::

    if TYPE_CHECKING:
        import av
    else:
        av = lazy.module("av")
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A module that is imported when one of its attributes is first asked for.

    Parameters
    ----------
    name : str
        Full name, ``"matplotlib.ticker"``.
    load : callable or None
        Imports it; None takes `importlib.import_module`.
    """

    def __init__(self, name: str, load: Callable[[], ModuleType] | None = None) -> None:
        super().__init__(name)
        self.__dict__["_load"] = load or (lambda: importlib.import_module(name))

    def __getattr__(self, name: str) -> Any:  # noqa: D105
        if name.startswith("__") and name not in ("__internal__", "__version__"):
            raise AttributeError(name)  # introspection loads nothing
        value = getattr(self._load(), name)
        setattr(self, name, value)
        return value


def module(name: str) -> Any:
    """Return a module that is imported on its first use.

    Parameters
    ----------
    name : str
        Full name of a package that is not this project's own.

    Examples
    --------
    >>> fractions = module("fractions")
    >>> fractions.Fraction(1, 2) + 1
    Fraction(3, 2)
    """
    return LazyModule(name)
