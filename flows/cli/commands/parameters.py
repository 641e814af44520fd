"""`edac check` and `edac preset`: the file `params.yaml`."""

import argparse
from pathlib import Path

from flows.cli.arguments import Commands
from stages.core.project.errors import ParameterError


def add(commands: Commands) -> None:
    """Add the commands."""
    check = commands.add_parser("check", help="check every parameter in params.yaml")
    check.set_defaults(run=_check)
    preset = commands.add_parser("preset", help="list the published experiments, or put one into params.yaml")
    preset.add_argument("name", nargs="?", metavar="NAME")
    preset.add_argument("--force", action="store_true", help="overwrite a params.yaml of your own")
    preset.set_defaults(run=_preset)


def _check(_: argparse.Namespace) -> None:
    from flows import check
    from stages.core.project import params

    check.check()
    print(f"{params.PARAMS_FILE} is valid")


def _preset(given: argparse.Namespace) -> None:
    from importlib import resources

    from stages.core.project import files, params

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
