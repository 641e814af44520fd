"""Entry point of the console command `edac`: builds the parser from the files in `flows/cli/commands/`."""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence

from flows.cli import commands
from stages.core.project import errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code.

    Parameters
    ----------
    arguments : Sequence[str] or None
        Words after `edac`; None takes those of the process.
    """

    def run() -> int | None:
        given = parser().parse_args(arguments)
        return given.run(given)

    errors.run(run)


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command in `flows/cli/commands/`."""
    parser = argparse.ArgumentParser(prog="edac", description="Look after the devices and this project's experiments.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in sorted(file.name for file in pkgutil.iter_modules(commands.__path__)):
        importlib.import_module(f"{commands.__name__}.{module}").add(subparsers)
    return parser


if __name__ == "__main__":
    main()
