"""Many devices at once: a release onto the canaries first and then onto the rest, or a question to all of them."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from stages.core.artifacts import selection as selection_file
from stages.core.project.errors import DeviceError, EdacError
from stages.core.project.progress import track
from stages.push import bundle, rollout, signing
from stages.push.answers import printable
from stages.push.params import Device, PushParams
from stages.push.rollout import Delivery
from stages.push.transport import Transport

if TYPE_CHECKING:
    from stages.core.tracking.connection import Tracker

Outcome = Literal["installed", "already there", "failed", "not tried"]
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What became of one device.

    Attributes
    ----------
    device : Device
    outcome : {"installed", "already there", "failed", "not tried"}
    delivery : Delivery or None
        What the device runs, if it took the release.
    reason : str
        Why it failed, else empty.
    """

    device: Device
    outcome: Outcome
    delivery: Delivery | None = None
    reason: str = ""

    def plain(self) -> dict[str, object]:
        """Return the device's entry of ``push.json``: the same for the same release, whenever it was installed.

        Raises
        ------
        DeviceError
            If the device did not take the release.
        """
        if self.delivery is None:
            raise DeviceError(f"Device {self.device.name} runs no release of this push ({self.outcome}).")
        return {
            "name": self.device.name,
            "transport": self.device.transport,
            "release": self.delivery.release,
            "model_sha256": self.delivery.model_sha256,
            "max_difference": round(self.delivery.max_difference, 4),
            "differences": {file: round(value, 4) for file, value in self.delivery.differences.items()},
        }


def push(
    devices: Sequence[Device], selected: Path, *, version: int, params: PushParams, force: bool = False
) -> list[Result]:
    """Make a release and bring devices to it.

    Parameters
    ----------
    devices : Sequence[Device]
    selected : Path
        What the select stage leaves, or the registry gives back.
    version : int
        Version of the model in the registry.
    params : PushParams
    force : bool
        Install it also where a newer version runs.

    Returns
    -------
    list[Result]
        See `roll_out`.

    Raises
    ------
    EdacError
        If there can be no release of it.
    """
    key = signing.key_path(params.signing_key)
    with tempfile.TemporaryDirectory() as temporary:
        release = Path(temporary) / "release"
        bundle.build(
            release,
            selected=selected,
            version=version,
            device_class=params.device_class,
            not_after=params.not_after,
            key=key,
        )
        return roll_out(devices, release, params=params, force=force)


def push_registered(
    devices: Sequence[Device], tracker: "Tracker", name: str, alias: str, *, params: PushParams, force: bool = False
) -> list[Result]:
    """Bring devices to the version of a registered model that has an alias; otherwise as `push`."""
    with tempfile.TemporaryDirectory() as temporary:
        selected = Path(temporary) / "selected"
        version = tracker.download(name, alias, selected)
        selection = selection_file.read(selected)
        if not selection.may_be_deployed and alias != "champion" and not force:
            raise EdacError(f"{name} version {version} is {selection.warning} Or add --force.")
        return push(devices, selected, version=version, params=params, force=force)


class Deliver(Protocol):
    """What brings one device to a release; `stages.push.rollout.deliver`."""

    def __call__(self, transport: Transport, bundle: Path, /, *, keep: int, force: bool) -> Delivery:
        """Raise `DeviceError` if the device refuses it."""


def roll_out(
    devices: Sequence[Device],
    release: Path,
    *,
    params: PushParams,
    force: bool = False,
    deliver: Deliver = rollout.deliver,
) -> list[Result]:
    """Bring devices to a release: the canaries one after another, then the rest, some at a time.

    Parameters
    ----------
    devices : Sequence[Device]
        The first `params.rollout.canary` are the canaries.
    release : Path
        As `stages.push.bundle.build` makes it.
    params : PushParams
        `keep_releases` and `rollout`.
    force : bool
        Install it also where a newer version runs.
    deliver : Callable
        Called with one device.

    Returns
    -------
    list[Result]
        In the order of `devices`. After a failing canary, or `params.rollout.stop_at_failures` failures among the rest,
        no further device is tried; those under way end in peace.
    """
    failures, limit, counting = 0, 1, threading.Lock()

    def push(device: Device) -> Result:
        nonlocal failures
        if failures >= limit:
            return Result(device, "not tried")
        try:
            delivery = deliver(device.connect(), release, keep=params.keep_releases, force=force)
        except DeviceError as error:
            with counting:
                failures += 1
            return Result(device, "failed", reason=str(error))
        return Result(device, "installed" if delivery.installed else "already there", delivery)

    def in_order() -> Iterator[Result]:
        nonlocal limit
        yield from map(push, devices[: params.rollout.canary])
        if not failures:
            limit = params.rollout.stop_at_failures
        with ThreadPoolExecutor(params.rollout.parallel) as threads:
            yield from threads.map(push, devices[params.rollout.canary :])

    return list(track(in_order(), "push", total=len(devices), delay_s=1.0))


def ask(devices: Sequence[Device], question: Callable[[Device], T], *, parallel: int) -> list[T | DeviceError]:
    """Put a question to devices, some at a time.

    Parameters
    ----------
    devices : Sequence[Device]
    question : Callable
        Called with one device; a `DeviceError` is its answer too.
    parallel : int
        Devices at a time.

    Returns
    -------
    list
        Each device's answer, or why there is none, in the order of `devices`.
    """

    def one(device: Device) -> T | DeviceError:
        try:
            return question(device)
        except DeviceError as error:
            return error

    with ThreadPoolExecutor(parallel) as threads:
        return list(track(threads.map(one, devices), "devices", total=len(devices), delay_s=1.0))


def show(results: Sequence[Result]) -> None:
    """Print one line per device.

    Raises
    ------
    DeviceError
        Afterwards, if a device did not take the release.
    """
    rows = []
    for result in results:
        delivery = result.delivery
        said = result.reason
        if delivery:
            said = "; ".join((f"scores within {delivery.max_difference:.2g} of home's", *delivery.notes))
        rows.append((result.device.name, result.outcome, delivery.release if delivery else "", said))
    print(table(("device", "outcome", "release", ""), rows))
    left = [result.device.name for result in results if result.delivery is None]
    if left:
        raise DeviceError(f"{', '.join(left)} did not take the release, see above. Correct that, then push again.")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return text in columns, the last one as wide as it is; no cell can control the terminal."""
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)).rstrip() for line in lines
    )
