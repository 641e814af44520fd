"""The `push` section of `params.yaml`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from stages.core.project import params, plugins
from stages.core.project.errors import ParameterError, require
from stages.core.project.params import Options
from stages.runtime.manifest import ANY_CLASS, CLASS_RULE, is_class, is_day

TRANSPORTS = "stages.push.transports"
_OURS = ("name", "transport", "class", "group", "labels")


@dataclass(frozen=True)
class Device:
    """One device, checked.

    Attributes
    ----------
    name : str
    transport : str
        File of `stages/push/transports/`.
    module : ModuleType
        That file.
    config : Any
        Its `Config`.
    device_class : str
        Kind of device, which refuses releases for another kind; ``"any"`` refuses none.
    group : str
        The one it belongs to, or empty.
    labels : tuple[str, ...]
        Whatever else devices are picked by.
    """

    name: str
    transport: str
    module: ModuleType
    config: Any
    device_class: str = ANY_CLASS
    group: str = ""
    labels: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the device keeps its releases, "" if its transport does not say."""
        return getattr(self.config, "place", "")

    def connect(self) -> Any:
        """Return the way to the device, a `stages.push.transport.Transport`."""
        return self.module.connect(self.config, self.name)


@dataclass(frozen=True)
class RolloutParams:
    """In which order devices get a release, and when the others are spared it.

    Attributes
    ----------
    canary : int
        This many devices, the first in the list, get it one after another; if one fails, no further device is tried.
    parallel : int
        How many of the rest get it at a time.
    stop_at_failures : int
        After this many failures among the rest, no further device is tried.
    """

    canary: int = 1
    parallel: int = 4
    stop_at_failures: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.canary >= 0, "push.rollout.canary", "be at least 0", self.canary)
        require(self.parallel >= 1, "push.rollout.parallel", "be at least 1", self.parallel)
        advice = "Write a number above that of the devices to try them all."
        require(
            self.stop_at_failures >= 1, "push.rollout.stop_at_failures", "be at least 1", self.stop_at_failures, advice
        )


@dataclass(frozen=True)
class PushParams:
    """What is sent where.

    Attributes
    ----------
    keep_releases : int
        Releases a device keeps, the current one included; at least 2, so that there is always a way back.
    device_class : str
        Kind of device that releases are for; ``"any"`` for all.
    not_after : str or None
        Last day on which devices take the release, ``YYYY-MM-DD``, by their clocks or home's; None for no such day.
    signing_key : Path or None
        File of the private key that signs releases, outside the repository; None for the one that the environment's
        EDAC_SIGNING_KEY names, or for unsigned releases.
    rollout : RolloutParams
    devices : tuple[dict, ...]
        Per device `name`, `transport`, what that transport's `Config` takes and, if wanted, `class`, `group` (text)
        and `labels` (a list).
    inventory : Path or None
        YAML file that is a list of more devices. DVC does not watch it: push to new devices by `edac push`.
    """

    keep_releases: int = 3
    device_class: str = ANY_CLASS
    not_after: str | None = None
    signing_key: Path | None = None
    rollout: RolloutParams = field(default_factory=RolloutParams)
    devices: tuple[Options, ...] = ()
    inventory: Path | None = None

    def __post_init__(self) -> None:
        """Check the ranges and every device's table, the inventory's included."""
        require(
            self.keep_releases >= 2,
            "push.keep_releases",
            "be at least 2",
            self.keep_releases,
            "A device needs the release before the current one to return to.",
        )
        require(is_class(self.device_class), "push.device_class", f"be {CLASS_RULE}", self.device_class)
        day = self.not_after is None or is_day(self.not_after)
        require(day, "push.not_after", "be a day, YYYY-MM-DD", self.not_after, "Put it in quotes, or leave it out.")
        known = devices(self)
        where = f"push.devices{f' with {self.inventory}' if self.inventory else ''}"
        for device in known:
            named = [other.name for other in known if other.name == device.name]
            require(len(named) == 1, where, "have one entry per name", device.name, "Rename one of them.")
        for device in known:
            there = [other.name for other in known if device.place and other.place == device.place]
            advice = f"All are {device.place}: correct a `folder` or remove an entry."
            require(len(there) <= 1, where, "have one entry per folder of a device", there, advice)


def devices(push: PushParams) -> list[Device]:
    """Return the devices of `push` with their transports loaded and configured: in the order given, the inventory last.

    Raises
    ------
    ParameterError
        For a device without a name or transport, an unknown transport, or a parameter its transport does not know; for
        an inventory that cannot be read.
    """
    listed = [_device(table, f"push.devices[{i}]") for i, table in enumerate(push.devices)]
    if push.inventory is None:
        return listed
    return listed + [_device(table, f"{push.inventory}[{i}]") for i, table in enumerate(_read(push.inventory))]


def choose(
    known: Sequence[Device], *, names: Sequence[str] = (), groups: Sequence[str] = (), labels: Sequence[str] = ()
) -> list[Device]:
    """Return the devices that have one of `names`, one of `groups` and one of `labels`; what is empty asks nothing.

    Raises
    ------
    ParameterError
        For a name, group or label that no device has, or if no device has them together.
    """
    for kind, asked, there in (
        ("device", names, {device.name for device in known}),
        ("group", groups, {device.group for device in known} - {""}),
        ("label", labels, {label for device in known for label in device.labels}),
    ):
        for one in asked:
            if one not in there:
                raise ParameterError(f"push.devices has no {kind} {one!r}. {params.known(one, there)}")
    chosen = [
        device
        for device in known
        if (not names or device.name in names)
        and (not groups or device.group in groups)
        and (not labels or set(labels) & set(device.labels))
    ]
    if known and not chosen:
        raise ParameterError("push.devices has no device with that name, group and label together. Ask for fewer.")
    return chosen


def _device(table: Any, owner: str) -> Device:
    require(isinstance(table, dict), owner, "be a table", table, "Write {name: ..., transport: local, folder: ...}.")
    for key in ("name", "transport"):
        require(_is_text(table.get(key)), f"{owner}.{key}", "be text", table.get(key), f"Give the device a {key}.")
    device_class, group, labels = table.get("class", ANY_CLASS), table.get("group", ""), table.get("labels", ())
    require(is_class(device_class), f"{owner}.class", f"be {CLASS_RULE}", device_class)
    require(group == "" or _is_text(group), f"{owner}.group", "be text", group)
    listed = isinstance(labels, list | tuple) and all(map(_is_text, labels))
    require(listed, f"{owner}.labels", "be a list of texts", labels, f"Write [{labels}].")
    name, transport = table["name"], table["transport"]
    module = plugins.load(TRANSPORTS, transport, f"{owner}.transport")
    options = {key: value for key, value in table.items() if key not in _OURS}
    return Device(
        name, transport, module, params.load(module.Config, options, owner), device_class, group, tuple(labels)
    )


def _read(inventory: Path) -> list[Any]:
    content = params.read_yaml(inventory)
    require(isinstance(content, list), str(inventory), "be a list of devices", content, "Write `- {name: ...}` lines.")
    return content


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
