"""Questions to the programs on a device: to the runtime that is installed there, and to that of a release.

Whether a release is taken, and whether it is still what was installed, is judged by the *installed* runtime: the code
of a release never vouches for itself.
"""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from subprocess import CompletedProcess

from stages.core.project.errors import DeviceError
from stages.push import answers
from stages.push.device_folder import ASIDE
from stages.push.device_state import CURRENT, RELEASES
from stages.push.transport import Transport
from stages.runtime import manifest
from stages.runtime.lines import Line

__all__ = ["ASIDE", "CURRENT", "RELEASES"]

_INSTALLED = ("-I", "-m", "stages.runtime")

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
    version : int
        Version of the model in the registry; 0 if it is not known.
    free_bytes : int
        Room for further releases.
    drift : str
        Statistics of what it heard on its newest judged day that are not those of validation, or ``"none"``; empty if
        it counts nothing.
    """

    release: str
    variant: str
    model_sha256: str
    health: str
    differences: dict[str, float] = field(default_factory=dict)
    signed_by: str = ""
    version: int = 0
    free_bytes: int = field(default=0, compare=False)
    drift: str = field(default="", compare=False)


def accept(transport: Transport, folder: str, release: str, *, force: bool) -> str | None:
    """Have the installed runtime decide whether a release is taken.

    Returns
    -------
    str or None
        Fingerprint of the trusted key that signed it; None if the device asks for no signature.

    Raises
    ------
    DeviceError
        If it is refused, or no runtime is installed that can decide.
    """
    found = _judge(transport, release, ["accept", "--folder", folder, *(["--force"] if force else [])], dated=True)
    with answers.understood(transport.name):
        (answer,) = found
        return answers.optional_text(answer["signed_by"])


def remember(transport: Transport, release: str) -> None:
    """Have the installed runtime note the version that runs, below which it takes none from now on."""
    _judge(transport, release, ["remember", "--folder", CURRENT])


def self_test(transport: Transport, folder: str, release: str) -> None:
    """Have a release test itself behind the wall."""
    _ask(transport, folder, release, ["selftest"])


def check_health(transport: Transport, release: str, expected: manifest.Manifest) -> dict[str, float]:
    """Have the device test itself and classify the golden recordings through `current`.

    Returns
    -------
    dict[str, float]
        Golden recording to the largest absolute difference of a score from home's.

    Raises
    ------
    DeviceError
        If a difference is above the tolerance, or a decision is another one than at home.
    """
    self_test(transport, CURRENT, release)
    found = _ask(transport, CURRENT, release, ["classify", *(golden.file for golden in expected.golden)])
    differences, others = {}, []
    with answers.understood(transport.name):
        for golden, answer in zip(expected.golden, found, strict=True):
            if list(answer["scores"]) != list(expected.labels):
                raise ValueError("its scores are of other classes")
            scores = [answers.number(score) for score in answer["scores"].values()][-expected.n_outputs :]
            differences[golden.file] = max(abs(a - b) for a, b in zip(scores, golden.scores, strict=True))
            decided = answer["labels"] if expected.multi_label else answer["label"]
            if expected.is_clear(golden.scores) and decided != expected.decision(golden.scores):
                others.append(golden.file)
    worst = max(differences.values())
    if worst > expected.tolerance:
        raise DeviceError(f"Device {transport.name} gives scores that differ by {worst:.2g} from those at home.")
    if others:
        raise DeviceError(f"Device {transport.name} decides otherwise than home on {', '.join(others)}.")
    return differences


def classify(transport: Transport, recordings: Sequence[str], *, folder: str = CURRENT) -> Iterator[Line]:
    """Classify WAV files that lie on the device, as an application there would.

    Parameters
    ----------
    transport : Transport
    recordings : Sequence[str]
        Absolute paths.
    folder : str
        Folder of the release.

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
    yield from answers.lines(transport.name, done.stdout)
    if done.returncode != 0:
        raise DeviceError(f"Device {transport.name}: {answers.failure(done)}.")


def status(transport: Transport) -> Status:
    """Ask a device what it runs and have it checked there by the installed runtime, file by file and score by score."""
    state, free = transport.state(), transport.space().free_bytes
    current = state.current
    if current.kind in ("none", "dangling"):
        held = sum(release.sound for release in state.releases)
        lost = f": `current` leads nowhere, but {held} sound releases lie there. Push, or roll back" if held else ""
        return Status("", "", "", f"holds no release{lost}", free_bytes=free)
    release = state.running.release if state.running else current.release or "without a manifest"
    try:
        found = _judge(transport, release, ["verify", "--folder", CURRENT], dated=True)
    except DeviceError as error:
        return Status(release, "", "", str(error), free_bytes=free)
    with answers.understood(transport.name):
        (answer,) = found
        checks = [
            (answers.text(check["check"]), answers.flag(check["ok"]), answers.text(check["detail"]), check)
            for check in answers.items(answer["checks"])
        ]
        failed = [f"{name}: {detail}" for name, ok, detail, _ in checks if not ok]
        if answers.text(answer["release"]) != release:
            failed.insert(0, "manifest.json was altered")
        signature = next((detail for name, ok, detail, _ in checks if name == "signature" and not ok), "")
        return Status(
            release,
            answers.text(answer["name"]),
            answers.text(answer["model_sha256"]),
            "; ".join(failed) or "healthy",
            {name: answers.number(check["difference"]) for name, _, _, check in checks if "difference" in check},
            signature or answers.optional_text(answer["signed_by"]) or "unsigned",
            answers.whole(answer["version"]),
            free_bytes=free,
            drift=answers.text(answer.get("drift", "")),
        )


def benchmark(transport: Transport, *, runs: int) -> tuple[str, Line]:
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
    current = transport.state().current
    if not current.release:
        raise DeviceError(f"Device {transport.name} holds no release. Push one to it first.")
    known = _ask(transport, CURRENT, current.release, ["info"])
    measured = _ask(transport, CURRENT, current.release, ["benchmark", "--runs", str(runs)])
    with answers.understood(transport.name):
        (info,), (figures,) = known, measured
        return answers.text(info["model"]["sha256"]), figures


def _ask(transport: Transport, folder: str, release: str, arguments: Sequence[str]) -> list[Line]:
    """Run the runtime of a release behind the wall and return its answers, one per line."""
    return _answers(transport, release, transport.run(folder, ["-I", "-c", _RUNTIME, release, *arguments]))


def _judge(transport: Transport, release: str, arguments: Sequence[str], *, dated: bool = False) -> list[Line]:
    """Run the runtime that is installed on the device and return its answers, one per line.

    With `dated` it hears the day at home, which counts where its clock is behind; see `stages.runtime.trust.accept`.
    """
    day = ["--today", datetime.datetime.now(datetime.UTC).date().isoformat()] if dated else []
    done = transport.run(".", [*_INSTALLED, *arguments, "--device", ".", *day])
    if dated and "unrecognized arguments: --today" in done.stderr:  # one that was set up by an earlier EDAC
        done = transport.run(".", [*_INSTALLED, *arguments, "--device", "."])
    if "No module named 'stages" in done.stderr or "invalid choice" in done.stderr:
        raise DeviceError(f"Device {transport.name} has no runtime that can judge a release. Run `edac devices setup`.")
    return _answers(transport, release, done, failing=arguments[0] == "verify")


def _answers(transport: Transport, release: str, done: CompletedProcess[str], *, failing: bool = False) -> list[Line]:
    """Return a program's answers; `failing` ones too, if there is one."""
    found = answers.lines(transport.name, done.stdout)
    if found and (done.returncode == 0 or (failing and done.returncode == 1)):
        return found
    failed = []
    with answers.understood(transport.name):
        for answer in found:
            failed += [f"{c['check']}: {c['detail']}" for c in answer.get("checks", ()) if not c["ok"]]
    reason = answers.short("; ".join(failed)) or answers.failure(done)
    raise DeviceError(f"Device {transport.name} refuses release {release} ({reason}).")
