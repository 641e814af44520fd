"""Which of our files a module is made of, read from its imports: the code half of a cache key."""

import ast
import functools
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from stages.core.project import files

ROOT = Path(__file__).resolve().parents[3]
_PACKAGES = ("stages", "flows")


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of this project that a module imports itself, anywhere in its source."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source_file(module).read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if _exists(name) else node.module for name in submodules)
    return frozenset(name for name in found if name.split(".")[0] in _PACKAGES and _exists(name))


@functools.cache
def closure(module: str) -> tuple[str, ...]:
    """Return the sorted modules of this project that a module needs, itself included.

    Plug-ins are loaded by name and so are not among them: add the chosen one's own closure.
    """
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(imports(name))
    return tuple(sorted(seen))


def source_file(module: str) -> Path:
    """Return the absolute path of a module's source."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def code_hash(modules: Iterable[str], packages: Iterable[str] = ()) -> str:
    """Return a digest of all the source that `modules` are made of, and of the versions of installed packages.

    Parameters
    ----------
    modules : Iterable[str]
    packages : Iterable[str]
        Distribution names whose version shapes the result, e.g. ``"tensorflow"``.
    """
    names = sorted({name for module in modules for name in closure(module)})
    sources = {name: files.sha256(source_file(name)) for name in names}
    return files.digest(sources, {package: importlib.metadata.version(package) for package in packages})


def _exists(module: str) -> bool:
    return source_file(module).is_file()
