"""Run `edac push` and `edac devices bench`: what devices and MLflow's registry have to do with each other."""

import argparse

from flows.cli import project, registry
from flows.cli.arguments import renamed
from stages.push import fleet, measure


def push(given: argparse.Namespace) -> None:
    """Bring the chosen devices to the registered model with an alias."""
    section, devices = project.chosen_devices(given)
    name, tracker = registry.registered_name(), registry.connect()
    fleet.show(fleet.push_registered(devices, tracker, name, given.alias, params=section, force=given.force))


def push_in_old_spelling(given: argparse.Namespace) -> None:
    """Run `edac devices push`, with a notice."""
    renamed("edac devices push", "edac push")
    push(given)


def bench(given: argparse.Namespace) -> int:
    """Measure the releases on the chosen devices and log the figures; return 1 if any failed."""
    _, devices = project.chosen_devices(given)
    table, failed = measure.measure(devices, registry.connect(), registry.registered_name(), runs=given.runs)
    print(table)
    return int(bool(failed))
