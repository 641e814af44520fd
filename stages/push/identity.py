"""What a device knows of itself and of us, written by the runtime that it has: its name, its class, whom it trusts."""

import json
from collections.abc import Sequence
from typing import Any

from stages.core.project.errors import DeviceError
from stages.push.transport import Transport, last_line
from stages.runtime import trust


def identify(transport: Transport, name: str, device_class: str) -> None:
    """Tell a device what it is; from then on it refuses releases for another class.

    Parameters
    ----------
    transport : Transport
    name : str
    device_class : str
        ``"any"`` refuses none.

    Raises
    ------
    DeviceError
        If it cannot be told.
    """
    _ask(transport, ["identify", f"--name={name}", f"--class={device_class}"])


def trust_key(transport: Transport, public_key: bytes) -> list[str]:
    """Have a device trust a public key besides those it trusts; from the first on it takes signed releases only.

    Parameters
    ----------
    transport : Transport
    public_key : bytes
        32 bytes.

    Returns
    -------
    list[str]
        The fingerprints of all keys that it trusts now.

    Raises
    ------
    DeviceError
        If it cannot be told.
    """
    return _ask(transport, ["trust", trust.encode(public_key)])["trusted"]


def _ask(transport: Transport, arguments: Sequence[str]) -> dict[str, Any]:
    with transport.lock():
        done = transport.run(".", ["-I", "-m", "stages.runtime", *arguments, "--device", "."])
    if done.returncode != 0:
        reason = last_line(done.stderr)
        raise DeviceError(f"Device {transport.name} cannot be told ({reason}). Run `edac devices setup` first.")
    return json.loads(done.stdout)
