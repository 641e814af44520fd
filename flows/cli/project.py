"""The devices that a command is about."""

import argparse

from flows.cli.arguments import DEVICE_FILTERS
from stages.core.project import params
from stages.core.project.errors import ParameterError
from stages.push.params import Device, PushParams, choose, devices


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
