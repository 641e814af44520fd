"""Run `edac check` and `edac preset`."""

import argparse
from importlib import resources
from pathlib import Path

from flows import check
from stages.core.project import files, params
from stages.core.project.errors import ParameterError


def check_all(_: argparse.Namespace) -> None:
    """Check every parameter in params.yaml."""
    check.check()
    for remark in check.forecast():
        print(f"note: {remark}")
    print(f"{params.PARAMS_FILE} is valid")


def preset(given: argparse.Namespace) -> None:
    """Print the presets, or put one into params.yaml."""
    folder = resources.files("stages.presets")
    presets = {Path(p.name).stem: p.read_text() for p in folder.iterdir() if p.name.endswith(".yaml")}
    if given.name is None:
        for name, text in sorted(presets.items()):
            print(f"{name:22} {text.splitlines()[0].lstrip('# ')}")
        return
    if given.name not in presets:
        raise ParameterError(f"There is no preset {given.name!r}. {params.known(given.name, presets)}")
    target = params.PARAMS_FILE
    if target.exists() and target.read_text() not in presets.values() and not given.force:
        raise ParameterError(f"{target} holds changes of your own. Save it elsewhere, or add --force to lose them.")
    files.write_text(target, presets[given.name])
    print(f"{target} is now the preset {given.name}; `dvc repro` runs it")
