"""Arguments that several commands share, what runs a command, and notices about new spellings."""

import argparse
import importlib
from collections.abc import Callable
from typing import TypeAlias

from stages.core.project import errors

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEVICE_FILTERS = ("name", "group", "label")


def device_filters() -> argparse.ArgumentParser:
    """Return a parent parser with `--name`, `--group` and `--label`, which pick devices; absent ones set nothing."""
    parent = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for kind in DEVICE_FILTERS:
        parent.add_argument(
            f"--{kind}", action="append", metavar=kind[0].upper(), help=f"only devices with this {kind}; repeatable"
        )
    return parent


def action(name: str) -> Callable[[argparse.Namespace], int | None]:
    """Return a function that runs a command and imports what it needs only then.

    Parameters
    ----------
    name : str
        File and function in `flows/cli/actions/`, such as ``"models.promote"``.
    """
    module, _, function = name.partition(".")

    def run(given: argparse.Namespace) -> int | None:
        return getattr(importlib.import_module(f"flows.cli.actions.{module}"), function)(given)

    run.__name__ = name
    return run


def renamed(old: str, new: str) -> None:
    """Tell the person, in one line on stderr, that a command has a new spelling."""
    errors.notice(f"`{old}` is now `{new}`; the old spelling works for one more release.")
