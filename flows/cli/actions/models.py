"""Run `edac models` and `edac promote`."""

import argparse

from flows.cli import registry
from stages.core.project import params
from stages.push import fleet
from stages.select import describe, register
from stages.select.params import SelectParams


def models(_: argparse.Namespace) -> None:
    """Print the registered versions, newest first."""
    name = registry.registered_name()
    rows = [describe.row(version) for version in registry.find().versions(name)]
    print(fleet.table(describe.COLUMNS, rows) if rows else f"{name} has no version yet; `dvc repro` registers one")


def promote(given: argparse.Namespace) -> None:
    """Move an alias to a registered version, after checks."""
    section = params.section("select", SelectParams)
    version = register.promote(registry.find(), given.version, to=given.to, params=section, force=given.force)
    print(f"{section.registered_name} version {version} is {given.to} now")
