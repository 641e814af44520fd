"""The `push` section of `params.yaml`."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stages.core import params, plugins
from stages.core.errors import require

TRANSPORTS = "stages.push.transports"


@dataclass(frozen=True)
class Device:
    """One entry of `push.devices`, checked.

    Attributes
    ----------
    name : str
    transport : str
        File of `stages/push/transports/`.
    module : ModuleType
        That file.
    config : Any
        Its `Config`.
    """

    name: str
    transport: str
    module: ModuleType
    config: Any


@dataclass(frozen=True)
class PushParams:
    """What is sent where.

    Attributes
    ----------
    golden_recordings : int
        Validation recordings that travel with the model, with their expected scores; at least 1.
    keep_releases : int
        Releases a device keeps, the current one included; at least 2, so that there is always a way back.
    devices : tuple[dict[str, Any], ...]
        Per device `name`, `transport` and what that transport's `Config` takes.
    """

    golden_recordings: int = 4
    keep_releases: int = 3
    devices: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges and every device's table."""
        require(self.golden_recordings >= 1, "push.golden_recordings", "be at least 1", self.golden_recordings)
        require(
            self.keep_releases >= 2,
            "push.keep_releases",
            "be at least 2",
            self.keep_releases,
            "A device needs the release before the current one to return to.",
        )
        names = [device.name for device in devices(self)]
        for name in names:
            require(names.count(name) == 1, "push.devices", "have one entry per name", name, "Rename one of them.")


def devices(push: PushParams) -> list[Device]:
    """Return the devices of `push` with their transports loaded and configured, in the order given.

    Raises
    ------
    ParameterError
        For a device without a name or transport, an unknown transport, or a parameter its transport does not know.
    """
    return [_device(table, f"push.devices[{i}]") for i, table in enumerate(push.devices)]


def _device(table: dict[str, Any], owner: str) -> Device:
    require(isinstance(table, dict), owner, "be a table", table, "Write {name: ..., transport: local, folder: ...}.")
    for key in ("name", "transport"):
        value = table.get(key)
        require(isinstance(value, str) and value != "", f"{owner}.{key}", "be text", value, f"Give the device a {key}.")
    name, transport = table["name"], table["transport"]
    module = plugins.load(TRANSPORTS, transport, f"{owner}.transport")
    options = {key: value for key, value in table.items() if key not in ("name", "transport")}
    return Device(name, transport, module, params.load(module.Config, options, owner))
