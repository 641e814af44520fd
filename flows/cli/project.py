"""Parts of the project that several commands need: its registered model, its MLflow and its devices."""

import argparse
from typing import TYPE_CHECKING

from flows.cli.arguments import DEVICE_FILTERS
from stages.core.project import layout, params
from stages.core.project.errors import ParameterError
from stages.push.params import Device, PushParams, choose, devices
from stages.select.params import SelectParams

if TYPE_CHECKING:
    from stages.core.tracking.connection import Tracker


def registered_name() -> str:
    """Return the name of the registered model, `select.registered_name`."""
    return params.section("select", SelectParams).registered_name


def connect() -> "Tracker":
    """Return the tracker of this project's experiment; makes MLflow's database if there is none."""
    from stages.core.tracking import connection  # takes seconds, most of them MLflow's

    return connection.connect(layout.MLRUNS, registered_name())


def find(experiment: str | None = None, uri: str | None = None) -> "Tracker":
    """Return the tracker of an experiment that exists.

    Parameters
    ----------
    experiment : str or None
        Name in MLflow; None takes the registered model's.
    uri : str or None
        Tracking server; None takes MLFLOW_TRACKING_URI or this project's folder.

    Raises
    ------
    DataError
        If there is no such experiment.
    """
    from stages.core.tracking import connection

    return connection.find(layout.MLRUNS, uri=uri, experiment=experiment or registered_name())


def chosen_devices(given: argparse.Namespace) -> tuple[PushParams, list[Device]]:
    """Return the section `push` and the devices that `--name`, `--group` and `--label` pick."""
    section = params.section("push", PushParams)
    asked = {f"{kind}s": getattr(given, kind, ()) for kind in DEVICE_FILTERS}
    return section, choose(devices(section), **asked)


def device(name: str | None) -> Device:
    """Return one device of `push.devices` by its name, or the first local one.

    Raises
    ------
    ParameterError
        If there is none.
    """
    known = devices(params.section("push", PushParams))
    for each in known:
        if each.name == name or (name is None and each.transport == "local"):
            return each
    missing = "no local device" if name is None else f"no device {name!r}"
    raise ParameterError(f"push.devices has {missing}. {params.known(name or '', [d.name for d in known])}")
