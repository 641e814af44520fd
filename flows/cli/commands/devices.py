"""`edac push`, `edac devices ...` and `edac classify`: what runs on the devices."""

import argparse
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.arguments import DEVICE_FILTERS, Commands, device_filters, renamed
from stages.core.project import errors

if TYPE_CHECKING:
    from stages.push.params import Device

_LONG_S = 24 * 3600.0  # for recordings of any length on this machine


def add(commands: Commands) -> None:
    """Add the commands."""
    filters, push = device_filters(), _push_arguments()
    classify = commands.add_parser("classify", help="classify recordings as a device does")
    classify.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recordings of any format, or folders of them; WAV on a remote device",
    )
    where = classify.add_mutually_exclusive_group()
    where.add_argument("--device", metavar="NAME", help="name in push.devices; default: the first local one")
    where.add_argument("--folder", type=Path, metavar="F", help="folder of a release")
    classify.set_defaults(run=_classify)

    commands.add_parser("push", parents=[filters, push], help="bring devices to the registered model with an alias")

    devices = commands.add_parser("devices", parents=[filters], help="look after the devices; show their status")
    devices.set_defaults(run=_status, verbose=False)
    actions = devices.add_subparsers(metavar="ACTION")
    status = actions.add_parser("status", parents=[filters], help="show each device's release and self-test")
    status.add_argument("--verbose", action="store_true", help="also differences of its golden scores from home's")
    status.set_defaults(run=_status)
    back = actions.add_parser("rollback", parents=[filters], help="return devices to their release before")
    back.set_defaults(run=_roll_back)
    bench = actions.add_parser("bench", parents=[filters], help="measure releases on devices; logs to MLflow")
    bench.add_argument("--runs", type=int, default=200, help="timed runs; default: 200")
    bench.set_defaults(run=_bench)
    setup = actions.add_parser("setup", parents=[filters], help="install or update the runtime, and set the class")
    setup.set_defaults(run=_set_up)
    trust = actions.add_parser("trust", parents=[filters], help="make devices accept only releases signed with a key")
    trust.add_argument("key", type=Path, metavar="KEY", help="file of the public key; added to those trusted already")
    trust.set_defaults(run=_trust)
    distrust = actions.add_parser("distrust", parents=[filters], help="make devices stop trusting a key")
    distrust.add_argument("key", metavar="KEY", help="file of the key, or its fingerprint")
    distrust.set_defaults(run=_distrust)
    listed = actions.add_parser("keys", parents=[filters], help="list the keys that each device trusts")
    listed.set_defaults(run=_keys)

    # Old spellings; a subparser without `help` is not listed.
    old_push = actions.add_parser("push", parents=[filters, push])
    old_push.set_defaults(run=_push_in_old_spelling)
    old_rollback = commands.add_parser("rollback")
    old_rollback.add_argument("name", metavar="NAME", help="name in push.devices")
    old_rollback.set_defaults(run=_roll_back_in_old_spelling)


def _push_arguments() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--alias", default="champion", help="alias of the registered model; default: champion")
    parent.add_argument("--force", action="store_true", help="also replace a newer version")
    parent.set_defaults(run=_push)
    return parent


def _classify(given: argparse.Namespace) -> None:
    from flows.cli import project
    from stages.push import listening, rollout
    from stages.push.transports import local

    if given.folder is None:
        device = project.device(given.device)
        ask = partial(rollout.classify, device.connect())
        here = device.config.folder / rollout.CURRENT if isinstance(device.config, local.Config) else None
    else:
        ask = partial(
            rollout.classify,
            local.connect(local.Config(given.folder, timeout_s=_LONG_S), str(given.folder)),
            folder=".",
        )
        here = given.folder
    if here is None:  # the paths are the device's own
        answers = ask([str(path.absolute()) for path in given.files])
    else:
        answers = listening.classify(ask, given.files, listening.hearing_of(here))
    for answer in answers:
        print(json.dumps(answer))


def _status(given: argparse.Namespace) -> int:
    from flows.cli import project
    from stages.core.project import layout
    from stages.push import fleet, heard, rollout

    section, devices = project.chosen_devices(given)
    answers = fleet.ask(devices, lambda device: rollout.status(device.connect()), parallel=section.rollout.parallel)
    answered = [d.name for d, found in zip(devices, answers, strict=True) if not isinstance(found, errors.DeviceError)]
    last = heard.note(layout.HEARD, answered)
    rows, differences = [], []
    for device, found in zip(devices, answers, strict=True):
        status = rollout.Status("", "", "", str(found)) if isinstance(found, errors.DeviceError) else found
        rows.append(
            (
                device.name,
                status.release,
                status.variant,
                status.model_sha256[:12],
                status.signed_by,
                f"{status.free_bytes / 2**20:,.0f} MiB" if device.name in answered else "",
                last.get(device.name, "never"),
                status.health,
            )
        )
        differences += [(device.name, file, f"{value:.2g}") for file, value in status.differences.items()]
    head = ("device", "release", "variant", "model", "signed by", "free", "last heard of", "health")
    print(fleet.table(head, rows))
    if given.verbose:
        print("\n" + fleet.table(("device", "recording", "largest difference of a score from home's"), differences))
    return int(any(row[-1] != "healthy" for row in rows))


def _push(given: argparse.Namespace) -> None:
    from flows.cli import project
    from stages.push import fleet

    section, devices = project.chosen_devices(given)
    name, tracker = project.registered_name(), project.connect()
    fleet.show(fleet.push_registered(devices, tracker, name, given.alias, params=section, force=given.force))


def _push_in_old_spelling(given: argparse.Namespace) -> None:
    renamed("edac devices push", "edac push")
    _push(given)


def _bench(given: argparse.Namespace) -> int:
    from flows.cli import project
    from stages.push import measure

    _, devices = project.chosen_devices(given)
    table, failed = measure.measure(devices, project.connect(), project.registered_name(), runs=given.runs)
    print(table)
    return int(bool(failed))


def _roll_back(given: argparse.Namespace) -> int:
    from stages.push import rollout

    if not any(hasattr(given, kind) for kind in DEVICE_FILTERS):
        raise errors.ParameterError("A rollback must name its devices; got none. Add --name, --group or --label.")
    return _each(given, lambda device: f"back on release {rollout.rollback(device.connect())}")


def _roll_back_in_old_spelling(given: argparse.Namespace) -> None:
    from flows.cli import project
    from stages.push import rollout

    renamed("edac rollback NAME", "edac devices rollback --name NAME")
    print(f"{given.name}: back on release {rollout.rollback(project.device(given.name).connect())}")


def _set_up(given: argparse.Namespace) -> int:
    import tempfile

    from stages.core.project import layout
    from stages.push import identity, setup, wheels

    def set_up(device: "Device") -> str:
        transport = device.connect()
        changed = setup.set_up(transport, wheel, cache=layout.WHEELS)
        identity.identify(transport, device.name, device.device_class)
        return f"{'set up' if changed else 'was set up already'}, class {device.device_class}"

    with tempfile.TemporaryDirectory() as folder:
        wheel = wheels.runtime_wheel(Path(folder))
        return _each(given, set_up)


def _trust(given: argparse.Namespace) -> int:
    from stages.push import identity, signing

    key = signing.public_key(given.key)
    return _each(given, lambda device: f"trusts {', '.join(identity.trust_key(device.connect(), key))}")


def _distrust(given: argparse.Namespace) -> int:
    from stages.push import identity, signing
    from stages.runtime import trust

    path = Path(given.key)
    name = trust.fingerprint(signing.public_key(path)) if path.exists() else given.key
    if not re.fullmatch(r"[0-9a-f]{16}", name):
        raise errors.ParameterError(
            f"KEY must be the file of a key or a fingerprint of 16 hexadecimal digits; got {given.key!r}. "
            "`edac devices keys` lists the fingerprints."
        )

    def distrust(device: "Device") -> str:
        removed, left = identity.distrust_key(device.connect(), name)
        said = "trusts it no more" if removed else "did not trust it"
        return f"{said}; it trusts {', '.join(left) or 'no key, and takes no release until it is given one'}"

    return _each(given, distrust)


def _keys(given: argparse.Namespace) -> int:
    from stages.push import identity

    def keys(device: "Device") -> str:
        found = identity.keys(device.connect())
        if found is None:
            return "asks for no signature: run `edac devices trust`"
        return ", ".join(found) or "trusts no key, and takes no release"

    return _each(given, keys)


def _each(given: argparse.Namespace, action: "Callable[[Device], str]") -> int:
    """Apply an action to every chosen device, print one line for each, and return 1 if any failed."""
    from flows.cli import project
    from stages.push import fleet

    section, devices = project.chosen_devices(given)
    answers = fleet.ask(devices, action, parallel=section.rollout.parallel)
    for device, answer in zip(devices, answers, strict=True):
        print(f"{device.name}: {answer}")
    return int(any(isinstance(answer, errors.DeviceError) for answer in answers))
