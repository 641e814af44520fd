"""A release onto a device, whole or not at all.

On the device
    releases/0007-3f2a90c1d5e4   verified releases in the order they came: number, then release id
    current                      link to the one that runs
    aside/                       what is on its way in or out; swept by the next push, unless it goes on with it

The releases are a stack. What lies above `current` was never switched to, or was taken back, and is swept too; so a
push may be killed at any moment, and the device runs the old release or the new one, each whole.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from stages.core.project.errors import DeviceError, ModelError
from stages.push.bundle import release_id
from stages.push.transport import Transport, last_line
from stages.runtime import manifest, trust
from stages.runtime.errors import RuntimeInputError

CURRENT = trust.CURRENT
RELEASES = "releases"
ASIDE = "aside"

_INSTALLED = ("-I", "-m", "stages.runtime")  # the device's own runtime, not that of a release

# `python -m stages.runtime` behind a wall: nothing of home can be imported, and the manifest must be the one we know.
_RUNTIME = """
import hashlib, os, runpy, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tf_keras", "keras") or name == "stages.core":
            raise ImportError(name + " is not on a device")

release = sys.argv.pop(1)
if os.path.isfile("manifest.json"):
    with open("manifest.json", "rb") as stream:
        if hashlib.sha256(stream.read()).hexdigest()[:12] != release:
            sys.exit("error: manifest.json was altered")
sys.meta_path.insert(0, Wall())
sys.path.insert(0, os.getcwd())
runpy.run_module("stages.runtime", run_name="__main__", alter_sys=True)
"""


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
    """

    release: str
    model_sha256: str
    differences: dict[str, float]
    installed: bool

    @property
    def max_difference(self) -> float:
        """Largest of the differences."""
        return max(self.differences.values())


@dataclass(frozen=True)
class Status:
    """What a device runs now; each text is empty if it never got a release.

    Attributes
    ----------
    release, variant, model_sha256 : str
    health : str
        ``"healthy"`` if it passes its self-test, else why not.
    differences : dict[str, float]
        As in `Delivery`, now.
    signed_by : str
        Fingerprint of the trusted key, ``"unsigned"`` if the device asks for none, or what is wrong.
    """

    release: str
    variant: str
    model_sha256: str
    health: str
    differences: dict[str, float] = field(default_factory=dict)
    signed_by: str = ""


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
        Releases the device keeps, the current one included; at least 2.
    force : bool
        Install it also where a newer version runs.

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
        stack = _stack(transport)
        name = _next_name(stack, release)
        _sweep(transport, spare=name)
        differences = None
        if stack and _release(stack[-1]) == release:
            with contextlib.suppress(DeviceError):  # damaged, or to be signed since: it is installed anew, beside it
                _accept(transport, CURRENT, release, force=force)
                differences = _check_health(transport, release, expected)
        installed = differences is None
        if differences is None:
            differences = _install(transport, bundle, name, expected, force=force)
        for old in _stack(transport)[:-keep]:
            _discard(transport, old)
    return Delivery(release, expected.model["sha256"], differences, installed)


def rollback(transport: Transport) -> str:
    """Return a device to the newest sound release below its current one, which is removed.

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
        _sweep(transport)
        stack = _stack(transport)
        sound = _newest_sound(transport, stack[:-1])
        if sound is None:
            raise DeviceError(f"Device {transport.name} keeps no earlier release to return to. Push one instead.")
        transport.write_link(CURRENT, f"{RELEASES}/{sound}")
        _sweep(transport)
    return _release(sound)


def classify(transport: Transport, recordings: Sequence[str], *, folder: str = CURRENT) -> Iterator[dict[str, Any]]:
    """Classify WAV files that lie on the device, as an application there would.

    Parameters
    ----------
    transport : Transport
    recordings : Sequence[str]
        Absolute paths.
    folder : str
        Of the release.

    Yields
    ------
    dict
        Per recording `file` and what `stages.runtime.classify.Classifier.classify` returns.

    Raises
    ------
    DeviceError
        After the last answer, if a recording could not be classified.
    """
    done = transport.run(folder, ["-m", "stages.runtime", "classify", *recordings])
    yield from (json.loads(line) for line in done.stdout.splitlines())
    if done.returncode != 0:
        raise DeviceError(f"Device {transport.name}: {last_line(done.stderr)}.")


def status(transport: Transport) -> Status:
    """Ask a device what it runs and have it test itself."""
    target = transport.read_link(CURRENT)
    if target is None:
        return Status("", "", "", "holds no release")
    release = _release(target)
    try:
        checks = _self_test(transport, CURRENT, release)
        (info,) = _ask(transport, CURRENT, release, ["info"])
    except DeviceError as error:
        return Status(release, "", "", str(error))
    differences = {check["check"]: check["difference"] for check in checks if "difference" in check}
    return Status(release, info["name"], info["model"]["sha256"], "healthy", differences, _signer(transport))


def benchmark(transport: Transport, *, runs: int) -> tuple[str, dict[str, Any]]:
    """Have a device measure what it runs.

    Parameters
    ----------
    transport : Transport
    runs : int
        Timed runs.

    Returns
    -------
    model_sha256 : str
    figures : dict
        As `stages.runtime.benchmark.benchmark` returns them.

    Raises
    ------
    DeviceError
        If it runs no release, or the measurement fails.
    """
    target = transport.read_link(CURRENT)
    if target is None:
        raise DeviceError(f"Device {transport.name} holds no release. Push one to it first.")
    release = _release(target)
    (info,) = _ask(transport, CURRENT, release, ["info"])
    (figures,) = _ask(transport, CURRENT, release, ["benchmark", "--runs", str(runs)])
    return info["model"]["sha256"], figures


def _install(
    transport: Transport, bundle: Path, name: str, expected: manifest.Manifest, *, force: bool
) -> dict[str, float]:
    before, release = _stack(transport), _release(name)
    transport.upload(bundle, f"{ASIDE}/{name}")
    _accept(transport, f"{ASIDE}/{name}", release, force=force)
    _self_test(transport, f"{ASIDE}/{name}", release)
    transport.rename(f"{ASIDE}/{name}", f"{RELEASES}/{name}")
    try:
        transport.write_link(CURRENT, f"{RELEASES}/{name}")
        return _check_health(transport, release, expected)
    except DeviceError as error:
        back = _newest_sound(transport, before) or (before[-1] if before else None)
        if back is None:
            transport.remove(CURRENT)
        else:
            transport.write_link(CURRENT, f"{RELEASES}/{back}")
        _discard(transport, name)
        raise DeviceError(f"{error} It is back on {_release(back) if back else 'no release, as before'}.") from None


def _check_health(transport: Transport, release: str, expected: manifest.Manifest) -> dict[str, float]:
    """Have the device test itself and classify the golden recordings through `current`; return their differences."""
    _self_test(transport, CURRENT, release)
    answers = _ask(transport, CURRENT, release, ["classify", *(golden.file for golden in expected.golden)])
    differences = {}
    for golden, answer in zip(expected.golden, answers, strict=True):
        scores = list(answer["scores"].values())[-expected.n_outputs :]
        differences[golden.file] = max(abs(a - b) for a, b in zip(scores, golden.scores, strict=True))
    worst = max(differences.values())
    if worst > expected.tolerance:
        raise DeviceError(f"Device {transport.name} gives scores that differ by {worst:.2g} from those at home.")
    return differences


def _self_test(transport: Transport, folder: str, release: str) -> list[dict[str, Any]]:
    (answer,) = _ask(transport, folder, release, ["selftest"])
    return answer.get("checks", [])


def _ask(transport: Transport, folder: str, release: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Run the runtime of a release behind the wall and return its answers, one per line."""
    return _answers(transport, release, transport.run(folder, ["-I", "-c", _RUNTIME, release, *arguments]))


def _accept(transport: Transport, folder: str, release: str, *, force: bool) -> None:
    """Have the runtime that is installed on the device, not the one that comes in, decide whether it is taken."""
    command = [*_INSTALLED, "accept", "--folder", folder, "--device", "."]
    done = transport.run(".", [*command, "--force"] if force else command)
    if "No module named 'stages" in done.stderr or "invalid choice: 'accept'" in done.stderr:
        raise DeviceError(f"Device {transport.name} has no runtime that can judge a release. Run `edac devices setup`.")
    _answers(transport, release, done)


def _signer(transport: Transport) -> str:
    done = transport.run(".", [*_INSTALLED, "signer", "--folder", CURRENT, "--device", "."])
    return json.loads(done.stdout)["signed_by"] or "unsigned" if done.returncode == 0 else last_line(done.stderr)


def _answers(transport: Transport, release: str, done: CompletedProcess[str]) -> list[dict[str, Any]]:
    try:
        answers = [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError:
        raise DeviceError(f"Device {transport.name} answers what is not JSON: {done.stdout[:80]!r}.") from None
    if done.returncode == 0 and answers:
        return answers
    failed = [f"{c['check']}: {c['detail']}" for answer in answers for c in answer.get("checks", ()) if not c["ok"]]
    reason = "; ".join(failed) or last_line(done.stderr) or f"exit code {done.returncode}"
    raise DeviceError(f"Device {transport.name} refuses release {release} ({reason}).")


def _stack(transport: Transport) -> list[str]:
    """Return the names of the releases up to the current one, oldest first."""
    target = transport.read_link(CURRENT)
    current = "" if target is None else target.rpartition("/")[2]
    return [name for name in transport.names(RELEASES) if name <= current]


def _next_name(stack: Sequence[str], release: str) -> str:
    number = int(stack[-1].partition("-")[0]) + 1 if stack else 1
    return f"{number:04d}-{release}"


def _release(name: str) -> str:
    return name.rpartition("-")[2]


def _newest_sound(transport: Transport, names: Sequence[str]) -> str | None:
    for name in reversed(names):
        with contextlib.suppress(DeviceError):  # damaged: the one below is tried
            _self_test(transport, f"{RELEASES}/{name}", _release(name))
            return name
    return None


def _sweep(transport: Transport, *, spare: str = "") -> None:
    """Remove what no push needs any more; `spare` is what a broken upload of the same release left."""
    for name in transport.names(ASIDE):
        if name != spare:
            transport.remove(f"{ASIDE}/{name}")
    for name in transport.names(RELEASES)[len(_stack(transport)) :]:
        _discard(transport, name)


def _discard(transport: Transport, name: str) -> None:
    """Remove a release, never leaving a part of it among the releases."""
    transport.rename(f"{RELEASES}/{name}", f"{ASIDE}/{name}")
    transport.remove(f"{ASIDE}/{name}")
