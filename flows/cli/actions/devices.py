"""Run `edac devices ...`: ask or change every chosen device, and print one line for each."""

import argparse
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.cli import project
from flows.cli.arguments import DEVICE_FILTERS, renamed
from stages.core.project import errors, layout
from stages.push import fleet, heard, identity, rollout, setup, signing, wheels
from stages.push.params import Device
from stages.runtime import trust


def status(given: argparse.Namespace) -> int:
    """Print each device's release, space and health; return 1 unless all are healthy."""
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
                status.drift,
                status.health,
            )
        )
        differences += [(device.name, file, f"{value:.2g}") for file, value in status.differences.items()]
    head = ("device", "release", "variant", "model", "signed by", "free", "last heard of", "drift", "health")
    print(fleet.table(head, rows))
    if given.verbose:
        print("\n" + fleet.table(("device", "recording", "largest difference of a score from home's"), differences))
    return int(any(row[-1] != "healthy" for row in rows))


def roll_back(given: argparse.Namespace) -> int:
    """Return the named devices to their release before; return 1 if any failed."""
    if not any(hasattr(given, kind) for kind in DEVICE_FILTERS):
        raise errors.ParameterError("A rollback must name its devices; got none. Add --name, --group or --label.")
    return _each(given, lambda device: f"back on release {rollout.rollback(device.connect())}")


def roll_back_in_old_spelling(given: argparse.Namespace) -> None:
    """Run `edac rollback NAME`, with a notice."""
    renamed("edac rollback NAME", "edac devices rollback --name NAME")
    print(f"{given.name}: back on release {rollout.rollback(project.device(given.name).connect())}")


def set_up(given: argparse.Namespace) -> int:
    """Install or update the runtime on every device; return 1 if any failed."""

    def set_up(device: Device) -> str:
        transport = device.connect()
        changed = setup.set_up(transport, wheel, cache=layout.WHEELS)
        identity.identify(transport, device.name, device.device_class)
        return f"{'set up' if changed else 'was set up already'}, class {device.device_class}"

    with tempfile.TemporaryDirectory() as folder:
        wheel = wheels.runtime_wheel(Path(folder))
        return _each(given, set_up)


def trust_key(given: argparse.Namespace) -> int:
    """Make every device trust a key; return 1 if any failed."""
    key = signing.public_key(given.key)
    return _each(given, lambda device: f"trusts {', '.join(identity.trust_key(device.connect(), key))}")


def distrust_key(given: argparse.Namespace) -> int:
    """Make every device stop trusting a key; return 1 if any failed."""
    path = Path(given.key)
    name = trust.fingerprint(signing.public_key(path)) if path.exists() else given.key
    if not re.fullmatch(r"[0-9a-f]{16}", name):
        raise errors.ParameterError(
            f"KEY must be the file of a key or a fingerprint of 16 hexadecimal digits; got {given.key!r}. "
            "`edac devices keys` lists the fingerprints."
        )

    def distrust(device: Device) -> str:
        removed, left = identity.distrust_key(device.connect(), name)
        said = "trusts it no more" if removed else "did not trust it"
        return f"{said}; it trusts {', '.join(left) or 'no key, and takes no release until it is given one'}"

    return _each(given, distrust)


def list_keys(given: argparse.Namespace) -> int:
    """Print the keys that each device trusts; return 1 if any failed."""

    def keys(device: Device) -> str:
        found = identity.keys(device.connect())
        if found is None:
            return "asks for no signature: run `edac devices trust`"
        return ", ".join(found) or "trusts no key, and takes no release"

    return _each(given, keys)


def _each(given: argparse.Namespace, action: Callable[[Device], str]) -> int:
    """Apply an action to every chosen device, print one line for each, and return 1 if any failed."""
    section, devices = project.chosen_devices(given)
    answers = fleet.ask(devices, action, parallel=section.rollout.parallel)
    for device, answer in zip(devices, answers, strict=True):
        print(f"{device.name}: {answer}")
    return int(any(isinstance(answer, errors.DeviceError) for answer in answers))
