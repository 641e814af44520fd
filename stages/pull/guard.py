"""Nobody's data is touched: what a person names must not lie where the pipeline writes and DVC deletes."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.core.project import params
from stages.core.project.errors import ParameterError

_KINDS = ("outs", "metrics", "plots")


def outputs(pipeline: Path = Path("dvc.yaml")) -> list[Path]:
    """Return every output of every stage of a pipeline; none if there is no such file."""
    if not pipeline.is_file():
        return []
    stages: Mapping[str, Mapping[str, Any]] = params.read_yaml(pipeline)["stages"]
    listed = [out for stage in stages.values() for kind in _KINDS for out in stage.get(kind, [])]
    return [pipeline.parent / (out if isinstance(out, str) else next(iter(out))) for out in listed]


def named(config: Any, mirror: Path | None) -> dict[str, Path]:
    """Return what a person names for a source to read, by parameter: the mirror, and the source's `own_paths`."""
    own: dict[str, Path] = dict(getattr(config, "own_paths", {}))
    return own | ({"pull.mirror": mirror} if mirror else {})


def protect(paths: Mapping[str, Path], outs: Sequence[Path]) -> None:
    """Refuse folders and files of the user's that an output of the pipeline holds or that hold one.

    Places are compared by what they resolve to, through links and `..`, without case, and by the file system's own
    identity. Links within a folder count too. `pull.mirror` may hold outputs if it lies outside the project, as the
    folder above it does, since only published files are taken out of it.

    Parameters
    ----------
    paths : mapping of str to Path
        As of `named`.
    outs : sequence of Path

    Raises
    ------
    ParameterError
        For the first that is not safe; nothing was touched.
    """
    for parameter, path in paths.items():
        may_hold = parameter == "pull.mirror" and not _within(path, Path.cwd())
        for out in outs:
            if _within(path, out):
                raise _refusal(parameter, path, f"lies in {out}", out)
            if not may_hold and _within(out, path):
                raise _refusal(parameter, path, f"holds {out}", out)
        for link in _links(path) if not may_hold else ():
            for out in outs:
                if _within(link, out):
                    raise _refusal(parameter, path, f"has a link, {link.relative_to(path)}, into {out}", out)


def _refusal(parameter: str, path: Path, how: str, out: Path) -> ParameterError:
    return ParameterError(
        f"{parameter} must be apart from what the pipeline writes; {path} {how}, and DVC deletes {out} before it is "
        "made anew. Move your files to a folder of their own, and name that; nothing was touched."
    )


def _links(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (place := Path(at, name)).is_symlink():
                yield place


def _within(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder, or anything in it."""
    resolved = _real(path)
    return any(_same(part, folder) for part in (resolved, *resolved.parents))


def _same(first: Path, second: Path) -> bool:
    first, second = _real(first), _real(second)
    if str(first).casefold() == str(second).casefold():
        return True
    return first.exists() and second.exists() and first.samefile(second)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises for a link to itself
