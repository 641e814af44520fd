"""Bring a release onto a device, whole or not at all.

On the device
    releases/0007-3f2a90c1d5e4   verified releases in the order they came: number, then release id
    current                      link to the one that runs
    aside/                       what is on its way in or out; swept by the next push, unless it goes on with it
    accepted.json                the highest version that the device ever accepted, per registered model

The state of a device is its set of sound releases and a link, and the link may be wrong. A sound release is never
removed before another sound one runs, whatever `current` says, and entries that no push made are left alone. A push may
be killed at any moment: the device runs the old release or the new one, each whole.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.core.project.errors import DeviceError, ModelError
from stages.push import on_device
from stages.push.answers import Held, State
from stages.push.bundle import release_id
from stages.push.on_device import ASIDE, CURRENT, RELEASES, Status, benchmark, classify, status
from stages.push.transport import FullError, Transport
from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError

__all__ = ["CURRENT", "Delivery", "Status", "benchmark", "classify", "deliver", "rollback", "status"]


@dataclass(frozen=True)
class Delivery:
    """What a device runs after a push.

    Attributes
    ----------
    release : str
        First 12 hexadecimal digits of the sha256 of its manifest.
    model_sha256 : str
    differences : dict[str, float]
        Golden recording to the largest absolute difference of a score on the device from the one at home.
    installed : bool
        False if the device ran this release already.
    notes : tuple[str, ...]
        Whatever else a person should know of the device, a sentence each.
    """

    release: str
    model_sha256: str
    differences: dict[str, float]
    installed: bool
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def max_difference(self) -> float:
        """Largest of the differences."""
        return max(self.differences.values())


def deliver(transport: Transport, bundle: Path, *, keep: int, force: bool = False) -> Delivery:
    """Bring a device to the release in `bundle`, and back to what it ran before if that fails.

    The release is uploaded aside, accepted there by the runtime that the device has already (signature, checksums,
    class, version), tested by its own (every golden score), moved among the releases, made current in one step, and
    checked again through `current`.

    Parameters
    ----------
    transport : Transport
    bundle : Path
        As `stages.push.bundle.build` makes it.
    keep : int
        Releases the device keeps, the current one included; at least 2. Fewer, if there is no room for them.
    force : bool
        Install it also where a newer version was accepted.

    Raises
    ------
    ModelError
        If the release's manifest is broken.
    DeviceError
        If the device refuses any step; it then runs what it ran before.
    """
    try:
        expected = manifest.load(bundle)
    except RuntimeInputError as error:
        raise ModelError(str(error)) from None
    release = release_id(bundle)
    with transport.lock():
        state = transport.state()
        number = state.next_number + (state.current.kind == "folder")  # a folder at `current` becomes a release below
        name = f"{number:04d}-{release}"
        _go_on(transport, name)
        _drop_taken_back(transport, state)
        differences, signed_by = None, None
        if state.current.name and state.current.release == release:
            with contextlib.suppress(DeviceError):  # damaged, or not signed: it is installed anew, beside it
                signed_by = on_device.accept(transport, CURRENT, release, force=force)
                differences = on_device.check_health(transport, release, expected)
        installed = differences is None
        if differences is None:
            signed_by, differences = _install(transport, bundle, name, expected, force=force)
        try:
            on_device.remember(transport, release)
            _prune(transport, keep)
        except DeviceError as error:
            raise DeviceError(f"{error} It runs release {release} all the same.") from None
    notes = () if signed_by else ("it asks for no signature: run `edac devices trust`",)
    return Delivery(release, expected.model["sha256"], differences, installed, notes)


def rollback(transport: Transport) -> str:
    """Return a device to the newest sound release below its current one, which is removed.

    If `current` leads to no sound release, it is the newest sound one of all. The runtime that is installed on the
    device must accept it, as it does a new one: an unsigned release, or one of a removed key, never runs again.

    Returns
    -------
    str
        The release it runs now.

    Raises
    ------
    DeviceError
        If there is none.
    """
    with transport.lock():
        transport.sweep("")
        state = transport.state()
        running = state.running
        below = [held for held in state.releases if running is None or held.number < running.number]
        above = [held for held in state.releases if running is not None and held.number > running.number]
        back, reasons = _newest_good(transport, below if state.current.sound else [*above, *below])
        if back is None:
            why = f" ({reasons[0]})" if reasons else ""
            raise DeviceError(f"Device {transport.name} keeps no earlier release to return to{why}. Push one instead.")
        transport.write_link(CURRENT, f"{RELEASES}/{back.name}")
        _drop_taken_back(transport, transport.state())
    return back.release


def _install(
    transport: Transport, bundle: Path, name: str, expected: manifest.Manifest, *, force: bool
) -> tuple[str | None, dict[str, float]]:
    """Upload, check and switch; return who signed it and the golden differences."""
    release = name.rpartition("-")[2]
    _upload(transport, bundle, f"{ASIDE}/{name}")
    before = transport.state()
    signed_by = on_device.accept(transport, f"{ASIDE}/{name}", release, force=force)
    on_device.self_test(transport, f"{ASIDE}/{name}", release)
    transport.rename(f"{ASIDE}/{name}", f"{RELEASES}/{name}")
    try:
        transport.write_link(CURRENT, f"{RELEASES}/{name}")
        return signed_by, on_device.check_health(transport, release, expected)
    except DeviceError as error:
        runs = _go_back(transport, before, name)
        transport.discard(f"{RELEASES}/{name}")
        raise DeviceError(f"{error} It is back on {runs or 'no release, as before'}.") from None


def _upload(transport: Transport, bundle: Path, folder: str) -> None:
    """Upload a release; where the disk is full, older ones make room, but never the last sound one."""

    def make_room(n_bytes: int, n_inodes: int) -> bool:
        space = transport.space()
        if space.free_bytes >= n_bytes and (space.free_inodes is None or space.free_inodes >= n_inodes):
            return False
        if _drop_one(transport):
            return True
        what = f"{n_bytes:,} bytes" if space.free_bytes < n_bytes else f"{n_inodes} files"
        free = f"{space.free_bytes:,}" if space.free_bytes < n_bytes else space.free_inodes
        raise FullError(
            f"Device {transport.name} has too little room (No space left on device): the release takes {what}, "
            f"{free} are free, and no more releases can go. Free some space there."
        )

    while True:
        try:
            transport.upload(bundle, folder, make_room=make_room)
        except FullError:
            if not _drop_one(transport):  # somebody else fills the disk, or there is a quota
                raise
        else:
            return


def _expendable(state: State) -> list[Held]:
    """Return the releases that may be removed, the first to go first: damaged ones, then the oldest."""
    ours = [held for held in state.releases if held.ours and held.name != state.current.name]
    damaged, sound = ([held for held in ours if held.sound is is_sound] for is_sound in (False, True))
    return damaged + (sound if state.current.sound else sound[:-1])


def _drop_one(transport: Transport) -> bool:
    """Remove one release to make room; return whether there was one."""
    for held in _expendable(transport.state())[:1]:
        transport.discard(f"{RELEASES}/{held.name}")
        return True
    return False


def _drop_taken_back(transport: Transport, state: State) -> None:
    """Remove what lies above a sound current release: it was never switched to, or was taken back."""
    running = state.running
    if running is None or not running.sound or running.number < 0:
        return
    for held in state.releases:
        if held.ours and held.number > running.number:
            transport.discard(f"{RELEASES}/{held.name}")


def _prune(transport: Transport, keep: int) -> None:
    """Remove all but the newest sound releases, once a sound one runs."""
    state = transport.state()
    if not state.current.sound:
        return
    expendable = _expendable(state)
    kept = sorted(expendable, key=lambda held: (held.sound, held.number))[-(keep - 1) :]
    for held in expendable:
        if held not in kept:
            transport.discard(f"{RELEASES}/{held.name}")


def _go_on(transport: Transport, name: str) -> None:
    """Remove what broken pushes left, except an upload of the same release, which is gone on with."""
    release = name.rpartition("-")[2]
    left = [one for one in transport.names(ASIDE) if one.endswith(f"-{release}")]
    transport.sweep(left[-1] if left else name)
    if left and left[-1] != name:
        transport.rename(f"{ASIDE}/{left[-1]}", f"{ASIDE}/{name}")


def _go_back(transport: Transport, before: State, failed: str) -> str:
    """Return a device to what ran before a failed release, or to the newest good one; return what runs then."""
    candidates = [held for held in transport.state().releases if held.name != failed]
    ran = [held for held in candidates if held.name == before.current.name]
    good, _ = _newest_good(transport, [*(held for held in candidates if held not in ran), *ran])
    if good is not None:
        transport.write_link(CURRENT, f"{RELEASES}/{good.name}")
        return good.release
    if before.current.target is not None:  # nothing is better than what it had
        transport.write_link(CURRENT, before.current.target)
        return before.current.release
    if ran or candidates:
        last = (ran or candidates)[-1]
        transport.write_link(CURRENT, f"{RELEASES}/{last.name}")
        return last.release
    transport.remove(CURRENT)
    return ""


def _newest_good(transport: Transport, releases: Sequence[Held]) -> tuple[Held | None, list[str]]:
    """Return the last of some releases that is sound, accepted and passes its self-test, and why others are not."""
    reasons = []
    for held in reversed([held for held in releases if held.sound]):
        folder = f"{RELEASES}/{held.name}"
        try:
            on_device.accept(transport, folder, held.release, force=True)
            on_device.self_test(transport, folder, held.release)
        except DeviceError as error:
            reasons.append(str(error).rstrip("."))
        else:
            return held, reasons
    return None, reasons
