"""One run of the cross-validation and its folder: this project's code, its parameters but for the fold and the seed."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.project import files, layout, params
from stages.core.project.errors import require
from stages.core.project.params import Options

_CODE = ("stages", "flows")
_COPIED = ("dvc.yaml", ".dvcignore", "pyproject.toml", "constraints.txt")
_PATHS = (  # parameters that may hold a path relative to this project
    (("pull",), "mirror"),
    (("distill", "options", "tflite"), "model"),
    (("distill", "options", "wav2vec2"), "checkpoint"),
)

_DVC_CONFIG = """[core]
    no_scm = True
    analytics = false
[cache]
    dir = {cache}
    type = "reflink,hardlink,copy"
"""


@dataclass(frozen=True)
class Run:
    """One run of the pipeline: a test fold and a seed.

    Attributes
    ----------
    fold : str
        Test fold; empty if the split is not by folds.
    seed : int
        Seed of training and of the sweep.
    folder : Path
        Folder of the run's project.
    changes : Mapping
        Dotted names of parameters to values that replace this project's.
    parts : int
        Parts of groups that `fold`, from 1, is one of; 0 if the folds are the publisher's.
    site : str
        Site that is tested, `fold` being its number; empty if folds are no sites.
    """

    fold: str
    seed: int
    folder: Path
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    parts: int = 0
    site: str = ""

    @property
    def title(self) -> str:
        """Name for people, for example ``"fold 2, seed 1234"``."""
        fold = f"fold {self.fold} ({self.site})" if self.site else f"fold {self.fold}"
        named = f"{fold}, seed {self.seed}" if self.fold else f"seed {self.seed}"
        return f"{named}, with {', '.join(self.changes)}" if self.changes else named


def prepare(run: Run) -> None:
    """Update a run's project to this one's code and parameters.

    Parameters
    ----------
    run : Run

    Raises
    ------
    ParameterError
        If a parameter to change does not exist.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    for name in _CODE:
        _mirror(Path(name), run.folder / name)
    for name in _COPIED:
        if Path(name).is_file():
            shutil.copyfile(name, run.folder / name)
    yaml = YAML()
    document = yaml.load(params.PARAMS_FILE)
    for name, value in run.changes.items():
        change(document, name, value)
    if run.parts:
        document["split"] |= {"method": "groups", "folds": {}, "parts": run.parts, "part": int(run.fold) - 1}
        document["split"]["ignore_published"] = True
    elif run.site:
        document["split"] |= {"method": "groups", "folds": {}, "parts": None, "test_sites": [run.site]}
        document["split"]["ignore_published"] = True
    elif run.fold:
        document["split"]["folds"] = {"test": [run.fold]}
    document["train"]["seed"] = run.seed
    document["sweep"]["seeds"] = [run.seed]
    for section, name in _PATHS:
        given = document
        for key in section:
            given = given.get(key) or {}
        if given.get(name):
            given[name] = str(Path(given[name]).expanduser().absolute())
    with files.atomic(run.folder / params.PARAMS_FILE) as temporary:
        yaml.dump(document, temporary)
    files.write_text(run.folder / ".dvc/config", _DVC_CONFIG.format(cache=Path(".dvc/cache").absolute()))
    _share_teacher(run)


def change(document: Options, name: str, value: Any) -> None:
    """Set a parameter by its dotted name; its section must exist, the parameter need not."""
    *sections, last = name.split(".")
    for section in sections:
        document = document.get(section) if isinstance(document, dict) else None  # type: ignore[assignment]
    require(
        isinstance(document, dict) and bool(sections),
        "--against",
        "name a parameter of params.yaml",
        name,
        "For example, train.mixup=0.",
    )
    document[last] = value


def _share_teacher(run: Run) -> None:
    """Copy the newest teacher that another seed trained on this fold, if any; the stage `distill` checks it."""
    mine, of_fold = run.folder / layout.TEACHER, f"fold{run.fold}-seed*" if run.fold else "seed*"
    theirs = list(run.folder.parent.glob(f"{of_fold}/{layout.TEACHER / 'teacher.json'}"))
    if theirs and not mine.exists():
        newest = max(theirs, key=lambda path: path.stat().st_mtime).parent
        with files.growing_folder(mine, files.digest(str(newest))) as work:
            shutil.copytree(newest, work, dirs_exist_ok=True)


def _mirror(source: Path, target: Path) -> None:
    """Make a folder of sources equal to another; equal files keep their modification time, which DVC looks at."""
    names = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    for path in [path for path in target.rglob("*") if path.is_file() and path.suffix != ".pyc"]:
        if path.relative_to(target) not in names:
            path.unlink()
    for name in names:
        if not (target / name).is_file() or (target / name).read_bytes() != (source / name).read_bytes():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
