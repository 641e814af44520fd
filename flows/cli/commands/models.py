"""`edac models` and `edac promote`: the registered versions of the model and their aliases."""

import argparse

from flows.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the commands."""
    models = commands.add_parser("models", help="list the registered versions, newest first")
    models.set_defaults(run=_models)
    promote = commands.add_parser("promote", help="move an alias to a registered version, after checks")
    promote.add_argument("version", metavar="VERSION|ALIAS", help="for example 3 or candidate")
    promote.add_argument("--to", default="champion", metavar="ALIAS", help="alias to move; default: champion")
    promote.add_argument("--force", action="store_true", help="also if it exceeds the budget or is worse")
    promote.set_defaults(run=_promote)


def _models(_: argparse.Namespace) -> None:
    from flows.cli import project
    from stages.push import fleet
    from stages.select import describe

    name = project.registered_name()
    rows = [describe.row(version) for version in project.find().versions(name)]
    print(fleet.table(describe.COLUMNS, rows) if rows else f"{name} has no version yet; `dvc repro` registers one")


def _promote(given: argparse.Namespace) -> None:
    from flows.cli import project
    from stages.core.project import params
    from stages.select import register
    from stages.select.params import SelectParams

    section = params.section("select", SelectParams)
    version = register.promote(project.find(), given.version, to=given.to, params=section, force=given.force)
    print(f"{section.registered_name} version {version} is {given.to} now")
