"""Whatever can go wrong with a push, done to a device behind a real sshd; prints JSON, exit code 1 if anything breaks.

    python -m tests.push.faults [--quick | --random 300] [--kind NAME ...] [--seed 1]

One device goes through all cases, so that what one leaves behind is there in the next. In each it runs the *old*
release, something is done to it, or to a push of the *new* one, and then, whatever happened:

- no program of ours has ended in an exception,
- the device runs the old or the new release byte for byte, which passes its own self-test,
- no part of a release lies among its releases,
- the next good push makes the new one current.

Without root, nothing is mounted: the full disk becomes a limit on the size of files, and read-only a matter of modes.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.project import files
from stages.core.project.errors import EdacError
from stages.push import identity, rollout, signing
from stages.push.bundle import release_id
from stages.push.transport import Transport
from stages.push.transports import ssh
from stages.runtime import trust
from tests.push import loopback, tiny

CLASS = "raspberry-pi"
KEEP = 2
METHODS = ("names", "state", "space", "sweep", "upload", "run", "rename", "write_link", "discard", "remove")


class BrokenError(Exception):
    """A promise of a push that was not kept."""


class NoReleaseError(BrokenError):
    """A device runs no whole release."""


class LostError(BrokenError):
    """A push removed a sound release that it had to keep."""


class ProgramError(BrokenError):
    """A program of ours ended in an exception."""


@dataclass(frozen=True)
class Outcome:
    """How a process of ours ended.

    Attributes
    ----------
    code : int
        0: done, 1: an `EdacError`, 2: another exception; negative: killed by that signal.
    said : str
        The error.
    """

    code: int
    said: str = ""

    def must(self, *codes: int, say: str = "") -> None:
        """Check the exit code and, of an error, what it says."""
        if self.code == 2 or "Traceback" in self.said:
            raise ProgramError(self.said)
        if self.code not in codes or (self.code == 1 and say not in self.said):
            raise BrokenError(f"a push was to end with {codes} {say!r}; it ended with {self.code}: {self.said}")


class Child:
    """A process that does one thing, as `edac` would."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed after the end
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(self._said.fileno(), 2)
            code = 0
            try:
                action()
            except EdacError as error:
                code = 1
                print(error, file=sys.stderr)
            except BaseException:  # noqa: BLE001  it is what is looked for
                code = 2
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)

    def wait(self) -> Outcome:
        """Wait for its end."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._said.seek(0)
        with self._said:
            return Outcome(code, self._said.read().decode(errors="replace").strip())


class Bench:
    """A device, the server it is behind, and releases for it.

    Parameters
    ----------
    scratch : Path
    models : Sequence[Path]
        Releases; those that are pushed are made of them, each of a newer version.
    """

    def __init__(self, scratch: Path, models: Sequence[Path]) -> None:
        self.scratch, self.device, self.models = scratch, scratch / "device", models
        self.key = scratch / "signing.pem"
        public = signing.new_key(self.key)
        signing.new_key(scratch / "stranger.pem")
        self.version = 0
        self.whole: dict[str, dict[str, bytes]] = {}
        self.old, self.new = self.next_release(), self.next_release()
        self.device.mkdir()
        self.mounted = os.getuid() == 0
        if self.mounted:
            self.mount("-t", "tmpfs", "-o", "size=16m", "tmpfs")
        self.sshd = loopback.Sshd(scratch / "sshd")
        python = self.device / "venv/bin/python"
        files.write_text(python, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        Child(lambda: self.introduce(public)).wait().must(0)
        self.push(self.old).must(0)
        self.heal()

    def introduce(self, public: bytes) -> None:
        """Tell the device what it is and whom it trusts."""
        identity.identify(self.connect(), "bench", CLASS)
        identity.trust_key(self.connect(), public)

    def next_release(self) -> Path:
        """Make a release of the next version: the models take turns."""
        self.version += 1
        release = self.copy(self.models[self.version % 2], lambda manifest: manifest.update(version=self.version))
        self.whole[release_id(release)] = contents(release)
        return release

    def copy(self, source: Path, change: Callable[[dict[str, Any]], object], key: str = "signing.pem") -> Path:
        """Copy a release, change its manifest, and sign that."""
        release = Path(tempfile.mkdtemp(dir=self.scratch)) / "release"
        shutil.copytree(source, release)
        manifest = files.read_json(release / "manifest.json")
        change(manifest)
        files.write_json(release / "manifest.json", manifest)
        signature = signing.sign((release / "manifest.json").read_bytes(), self.scratch / key)
        files.write_text(release / "manifest.sig", trust.encode(signature) + "\n")
        return release

    def mount(self, *arguments: str) -> None:
        """Mount, or mount again, the device's folder."""
        subprocess.run(["mount", *arguments, str(self.device)], check=True)

    def revive(self) -> None:
        """After a failure, give the next case a fair start."""
        self.new = self.next_release()
        with contextlib.suppress(BrokenError, OSError):
            self.heal()

    def close(self) -> None:
        """Leave nothing running or mounted."""
        self.sshd.stop()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.device)], check=True)

    def connect(self, **changes: Any) -> ssh.SshTransport:
        """Return the good way to the device, or one with something changed."""
        config: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.sshd.port,
            "folder": str(self.device),
            "host_key": self.sshd.host_key,
            "key_file": self.sshd.folder / "client",
            "python": sys.executable,
            "command_timeout_s": 20.0,
        }
        return ssh.connect(ssh.Config(**(config | changes)), "bench")

    def start(self, release: Path, prepare: Callable[[Transport], None] = lambda _: None, **changes: Any) -> Child:
        """Start a push in a process of its own, which prepares its way to the device first."""

        def action() -> None:
            transport = self.connect(**changes)
            prepare(transport)
            rollout.deliver(transport, release, keep=KEEP)

        return Child(action)

    def push(self, release: Path, prepare: Callable[[Transport], None] = lambda _: None, **changes: Any) -> Outcome:
        """Push in a process of its own."""
        return self.start(release, prepare, **changes).wait()

    def forge(self, change: Callable[[Path], object]) -> Path:
        """Return a copy of the new release with files changed, as home would seal and sign it."""
        changed = Path(tempfile.mkdtemp(dir=self.scratch)) / "release"
        shutil.copytree(self.new, changed)
        change(changed)

        def seal(manifest: dict[str, Any]) -> None:
            manifest["files"] = {path: files.sha256(changed / path) for path in manifest["files"]}

        return self.copy(changed, seal)

    def processes(self) -> list[int]:
        """Return what runs in the device's folder."""
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (process / "cwd").readlink().is_relative_to(self.device):
                    found.append(int(process.name))
        return found

    def check(self) -> str:
        """Check that the device runs one release, whole, and return whether it is the old or the new one."""
        current = self.device / "current"
        release = current.readlink().name.partition("-")[2]
        if release not in (release_id(self.old), release_id(self.new)):
            raise NoReleaseError(f"the device runs {release}, neither the old nor the new release")
        for folder in (current, *(self.device / "releases").iterdir()):
            if contents(folder) != self.whole.get(folder.resolve().name.partition("-")[2]):
                raise NoReleaseError(f"{folder} -> {folder.resolve().name} is no whole release")
        tested = subprocess.run(
            [self.device / "venv/bin/python", "-B", "-m", "stages.runtime", "selftest"],
            cwd=current,
            capture_output=True,
            text=True,
            check=False,
        )
        if tested.returncode:
            raise NoReleaseError(f"the release {release} fails its self-test: {tested.stdout} {tested.stderr}")
        return "new" if release == release_id(self.new) else "old"

    def heal(self, runs: str = "old") -> None:
        """Push well, to what `runs` the old or the new release; the new one becomes the next case's old one."""
        start = time.monotonic()
        self.push(self.new).must(0)
        if runs == "old":
            self.push_s = time.monotonic() - start  # of a whole push, as busy as this machine is now
        if self.check() != "new" or any((self.device / "aside").iterdir()):
            raise BrokenError("the good push left something else than its release")
        self.old, self.new = self.new, self.next_release()


def whole_releases(bench: Bench) -> set[str]:
    """Return the ids of the releases on the device whose every byte is as it was pushed."""
    found = {}
    for path in (bench.device / "releases").iterdir():
        if path.is_dir():
            found[path.name.partition("-")[2]] = contents(path)
    return {name for name, held in found.items() if held == bench.whole.get(name)}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def after(transport: Transport, method: str, then: Callable[..., object]) -> None:
    """Have something done after every call of a transport's method, with the call's arguments."""
    original = getattr(transport, method)

    def both(*arguments: Any, **named: Any) -> Any:
        value = original(*arguments, **named)
        then(*arguments)
        return value

    setattr(transport, method, both)


# The faults. Each does its harm, checks how the push took it, and puts the device right again.


def cut(bench: Bench, rng: random.Random, *, silently: bool = False) -> None:
    """The connection is lost at a random byte."""
    tally = bench.scratch / "carried"
    if not tally.exists():  # what a whole push takes
        with through(bench, float("inf"), tally) as port:
            bench.push(bench.new, port=port).must(0)
        bench.old, bench.new = bench.new, bench.next_release()
    limit = rng.randrange(1, int(tally.read_text()))
    with through(bench, limit, bench.scratch / "cut", silently=silently) as port:
        bench.push(bench.new, port=port, connect_timeout_s=2.0, command_timeout_s=4.0).must(0, 1, say="bench")


@contextlib.contextmanager
def through(bench: Bench, limit: float, tally: Path, *, silently: bool = False) -> Iterator[int]:
    """Return the port of a wire to the device."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Child(lambda: loopback.carry(listener, bench.sshd.port, limit, silently=silently, tally=tally))
        try:
            yield listener.getsockname()[1]
        finally:
            time.sleep(0.05)
            os.kill(wire.pid, signal.SIGKILL)
            wire.wait()


def go_silent(bench: Bench, rng: random.Random) -> None:
    """The connection carries nothing from a random byte on, and nobody says so."""
    cut(bench, rng, silently=True)


def fill_disk(bench: Bench, rng: random.Random) -> None:
    """The device's disk has no room for the release, or not enough inodes."""
    room = rng.randrange(sum(map(len, contents(bench.new).values())))
    if not bench.mounted:
        bench.sshd.stop()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room // 8, hard))
        bench.sshd.start()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        bench.push(bench.new).must(0, 1, say="bench")
        bench.sshd.stop()
        bench.sshd.start()
        return
    space = os.statvfs(bench.device)
    if rng.random() < 0.3:
        used = space.f_files - space.f_ffree
        bench.mount("-o", f"remount,nr_inodes={used + rng.randrange(20)}")
        outcome = bench.push(bench.new)  # older releases may make room
        bench.mount("-o", f"remount,nr_inodes={space.f_files}")
        outcome.must(0, 1, say="No space left on device")
    else:
        ballast = bench.device / "ballast"
        with ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, space.f_bavail * space.f_bsize - room // 4096 * 4096)
        outcome = bench.push(bench.new)
        ballast.unlink()
        outcome.must(0, 1, say="No space left on device")


def make_read_only(bench: Bench, rng: random.Random) -> None:
    """The device's file system takes no writes."""
    whole = [bench.device, *(p for p in bench.device.rglob("*") if p.is_dir() and not p.is_symlink())]
    if bench.mounted:
        bench.mount("-o", "remount,ro")
    else:
        for folder in whole:
            folder.chmod(0o555)
    bench.push(bench.new).must(1, say="bench cannot be written")
    Child(lambda: rollout.rollback(bench.connect())).wait().must(1, say="bench cannot be written")
    Child(lambda: require_healthy(bench)).wait().must(0)
    if bench.mounted:
        bench.mount("-o", "remount,rw")
    else:
        for folder in whole:
            folder.chmod(0o755)


def require_healthy(bench: Bench) -> None:
    """Check that the device can still tell what it runs."""
    if (health := rollout.status(bench.connect()).health) != "healthy":
        raise BrokenError(health)


def wrong_host_key(bench: Bench, rng: random.Random) -> None:
    """The pinned key is another's, or there is none."""
    if rng.random() < 0.5:
        other = loopback.make_key(bench.scratch / "other")
        bench.push(bench.new, host_key=other).must(1, say="host key")
    else:
        (bench.scratch / "empty").write_text("")
        bench.push(bench.new, host_key=None, known_hosts=bench.scratch / "empty").must(1, say="host key")


def changed_host_key(bench: Bench, rng: random.Random) -> None:
    """The server comes back with another key than the one pinned in `known_hosts`."""
    known = bench.sshd.known_hosts(bench.scratch / "known_hosts")
    bench.sshd.change_host_key()
    bench.push(bench.new, host_key=None, known_hosts=known).must(1, say="host key")


def tamper(bench: Bench, rng: random.Random) -> None:
    """A random file that the manifest or its signature vouches for is altered between upload and verification."""
    victim = rng.choice(sorted(contents(bench.new).keys() - {"manifest.sig"}))

    def change(release: Path) -> None:
        path = release / victim
        data = bytearray(path.read_bytes())
        harm = rng.choice(("flip", "cut", "empty", "longer", "gone", "link"))
        if harm == "flip":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif harm == "cut":
            del data[rng.randrange(len(data)) :]
        elif harm == "empty":
            data.clear()
        elif harm == "longer":
            data += b" "
        path.unlink()
        if harm == "link":
            path.symlink_to("/etc/hostname")
        elif harm != "gone":
            path.write_bytes(data)

    bench.push(bench.new, upload_spoilt(bench, change)).must(1, say="refuses release")


def truncate_manifest(bench: Bench, rng: random.Random) -> None:
    """The manifest ends early, at home or on the device."""

    def shorten(release: Path) -> None:
        path = release / "manifest.json"
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])

    if rng.random() < 0.5:
        release = bench.copy(bench.new, lambda _: None)
        shorten(release)
        bench.push(release).must(1, say="manifest.json")
    else:
        swap = upload_spoilt(bench, shorten)
        bench.push(bench.new, swap).must(1, say="manifest.json")


def upload_spoilt(bench: Bench, change: Callable[[Path], object]) -> Callable[[Transport], None]:
    """Have a release changed on the device between upload and verification."""
    return lambda transport: after(transport, "upload", lambda _, folder: change(bench.device / folder))


def mistrust(bench: Bench, rng: random.Random, release: Path, say: str) -> None:
    """Push what a device must refuse: as it leaves home, or swapped for a good one as it arrives."""
    if rng.random() < 0.5:
        bench.push(release).must(1, say=say)
        return

    def swap(arrived: Path) -> None:
        shutil.rmtree(arrived)
        shutil.copytree(release, arrived)

    bench.push(bench.new, upload_spoilt(bench, swap)).must(1, say=say)


def wrong_signature(bench: Bench, rng: random.Random) -> None:
    """A stranger signed the release, or nobody did, or another one, or the signature is spoilt."""
    release = bench.copy(bench.new, lambda _: None, key=rng.choice(("signing.pem", "stranger.pem")))
    signature = release / "manifest.sig"
    raw = trust.decode(signature.read_text(), trust.SIGNATURE_BYTES, "")
    bit = 1 << rng.randrange(8 * len(raw))
    change, say = rng.choice(
        (
            (lambda: shutil.copyfile(bench.old / "manifest.sig", signature), "does not trust"),
            (lambda: signature.write_text(trust.encode(rng.randbytes(64))), "does not trust"),
            (
                lambda: signature.write_text(trust.encode((int.from_bytes(raw) ^ bit).to_bytes(len(raw)))),
                "does not trust",
            ),
            (lambda: signature.write_text(signature.read_text()[: rng.randrange(88)]), "base64"),
            (lambda: signature.write_bytes(rng.randbytes(64)), "base64"),
            (lambda: signature.unlink(), "unsigned"),
        )
    )
    change()
    mistrust(bench, rng, release, say)


def wrong_version_or_class(bench: Bench, rng: random.Random) -> None:
    """A release is well signed, but older than what runs, or for another kind of device."""
    change, say = rng.choice(
        (
            ({"version": bench.version - 2, "name": "another"}, "version"),
            ({"device_class": "jetson"}, "class jetson"),
        )
    )
    mistrust(bench, rng, bench.copy(bench.new, lambda manifest: manifest.update(change)), say)


TRAVERSALS = ("../outside", "/etc/passwd", "golden/../../outside", "..", "a/./b", "C:\\x", "..\\x", "", "a//b", "~/x")


def traverse(bench: Bench, rng: random.Random) -> None:
    """A well signed manifest names files outside its release."""
    path = rng.choice(TRAVERSALS)

    def change(manifest: dict[str, Any]) -> None:
        where = rng.choice(("files", "golden", "card"))
        if where == "golden":
            manifest["golden"][0]["file"] = path
        if where == "card":
            manifest["card"] = path
        manifest["files"][path] = manifest["files"][manifest["golden"][-1]["file"]]

    mistrust(bench, rng, bench.copy(bench.new, change), "relative paths")


def fail_self_test(bench: Bench, rng: random.Random) -> None:
    """A release that home made, sealed and signed does not work."""

    def program(lines: str) -> Callable[[Path], object]:
        return lambda release: (release / "stages/runtime/selftest.py").write_text(lines)

    def model(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
        def damage(release: Path) -> None:
            path = release / rng.choice(("model.tflite", "frontend.tflite"))
            path.write_bytes(change(path.read_bytes()))

        return damage

    def shorter(data: bytes) -> bytes:
        return data[: rng.randrange(len(data))]

    change = rng.choice(
        (
            lambda release: shutil.copyfile(bench.old / "model.tflite", release / "model.tflite"),
            lambda release: shutil.copyfile(release / "frontend.tflite", release / "model.tflite"),
            model(shorter),
            model(lambda data: rng.randbytes(len(data))),
            model(lambda data: data[:64] + rng.randbytes(len(data) - 64)),
            lambda release: (release / "golden/0.wav").write_bytes(b"RIFF"),
            program("import tensorflow\n"),
            program("raise OSError(5, 'Input/output error')\n"),
            program("import os\nos.kill(os.getpid(), 11)\n"),
            program("import os\nos._exit(0)\n"),
            program("print('{\"ok\": true}'); import os; os._exit(3)\n"),
            program("print('hello'); print(b'\\xff'); import sys; sys.stdout.buffer.write(b'\\xff'); sys.exit(0)\n"),
            program("while True: pass\n"),
        )
    )
    bench.push(bench.forge(change), command_timeout_s=4.0).must(1, say="bench")


def kill_home(bench: Bench, rng: random.Random) -> None:
    """The pushing process dies at a random moment."""
    child = bench.start(bench.new)
    time.sleep(rng.uniform(0, bench.push_s))
    os.kill(child.pid, signal.SIGKILL)
    child.wait().must(0, -signal.SIGKILL)


def kill_home_at_step(bench: Bench, rng: random.Random, step: int) -> None:
    """The pushing process dies before its n-th request."""
    left = step

    def prepare(transport: Transport) -> None:
        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        for method in METHODS:
            after(transport, method, count)

    bench.push(bench.new, prepare).must(0, -signal.SIGKILL)


def kill_self_test(bench: Bench, rng: random.Random) -> None:
    """What runs on the device for a push dies, or the whole device's side of the connection does."""
    child = bench.start(bench.new)
    wanted = rng.randrange(3)  # the self-test aside, the one through current, the classification
    seen: set[int] = set()
    deadline = time.monotonic() + 20
    while len(seen) <= wanted and time.monotonic() < deadline:
        seen |= set(bench.processes()) - seen
    time.sleep(rng.uniform(0, 0.3))
    for pid in bench.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait().must(0, 1, say="bench")


def cut_power(bench: Bench, rng: random.Random) -> None:
    """Everything on the device dies at a random moment."""
    child = bench.start(bench.new)
    time.sleep(rng.uniform(0, bench.push_s))
    bench.sshd.stop()
    for pid in bench.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait().must(0, 1, say="bench")
    bench.sshd.start()


def push_twice(bench: Bench, rng: random.Random) -> None:
    """Two pushes come at once, of the same release or of different ones."""
    pushes = [bench.start(bench.new)]
    time.sleep(rng.uniform(0, bench.push_s))
    pushes.append(bench.start(rng.choice((bench.old, bench.new))))
    outcomes = [push.wait() for push in pushes]
    for outcome in outcomes:
        if "older than version" not in outcome.said:
            outcome.must(0, 1, say="held by another push")
    if all(outcome.code for outcome in outcomes):
        raise BrokenError("two pushes at once, and none went through")


def wrong_clock(bench: Bench, rng: random.Random) -> None:
    """Every file of the device, and of the release, was last written in the wrong year; nothing may depend on it."""
    release = bench.new
    year = rng.choice((0, 86400, 2**31 - 1, 2**31, 2**32))
    for folder in (bench.device, release):
        for path in folder.rglob("*"):
            os.utime(path, (year, year), follow_symlinks=False)
    bench.push(release).must(0)


def wrong_pointer(bench: Bench, rng: random.Random) -> None:
    """`current` is lost, dangles, is a copy, a file or a person's own, or leads elsewhere or in a circle."""
    current, sound = bench.device / "current", sound_releases(bench)
    harm = rng.choice(("lost", "dangling", "copy", "file", "foreign", "absolute", "circle", "folder"))
    target = current.resolve()
    if harm == "copy":
        shutil.copytree(target, bench.device / "x")
    current.unlink()
    if harm == "copy":
        (bench.device / "x").rename(current)
    elif harm == "file":
        current.write_text("mine")
    elif harm == "folder":
        current.mkdir()
        (current / "mine").write_text("mine")
    elif harm != "lost":
        links = {"dangling": "releases/0-none", "foreign": "/usr", "absolute": str(target), "circle": "current"}
        current.symlink_to(links[harm])
    if rng.random() < 0.3:
        Child(lambda: rollout.rollback(bench.connect())).wait().must(0, 1, say="keeps no earlier release")
    bench.push(bench.new).must(0)
    require_kept(bench, sound)
    for left in bench.device.glob("current.replaced*"):
        if harm not in ("file", "folder"):
            raise BrokenError(f"{left} was left by {harm}")
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def sound_releases(bench: Bench) -> set[str]:
    """Return the ids of the releases that lie whole on the device."""
    return {held.release for held in bench.connect().state().releases if held.sound}


def require_kept(bench: Bench, before: set[str]) -> None:
    """Check that a push has kept as many of the sound releases as it may."""
    after = sound_releases(bench)
    if len(after & (before | {release_id(bench.new)})) < min(KEEP, len(before)):
        raise LostError(f"of {before} the push has left {after}")


def foreign_entries(bench: Bench, rng: random.Random) -> None:
    """A person put things of their own among the releases."""
    top = bench.device / "releases"
    names = rng.sample(("README", "edac-0.1-py3-none-any.whl", "0099-0123456789ab", "9999-x.bak", "link"), 3)
    for name in names:
        if name == "link":
            (top / name).symlink_to("nowhere")
        elif name[0].isdigit():
            files.write_text(top / name / "mine", "mine")
        else:
            (top / name).write_text("mine")
    bench.push(bench.new).must(0)
    for name in names:
        path = top / name
        if not os.path.lexists(path) or (path.is_dir() and not (path / "mine").exists()):
            raise BrokenError(f"{name} is gone")
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def damaged_releases(bench: Bench, rng: random.Random) -> None:
    """What runs, or what lies below it, has decayed: a bit, a file, or the manifest."""
    victims = sorted((bench.device / "releases").iterdir())
    for victim in rng.sample(victims, rng.randint(1, len(victims))):
        path = victim / rng.choice(("model.tflite", "manifest.json", "stages/runtime/selftest.py"))
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1
        path.write_bytes(data)
    status = Child(lambda: print_health(bench)).wait()
    status.must(0, 1)
    bench.push(bench.new).must(0)
    for folder in (bench.device / "releases").iterdir():
        if contents(folder) != bench.whole.get(folder.name.partition("-")[2]):
            shutil.rmtree(folder)  # kept as there was no better one; the next case begins with whole ones


def print_health(bench: Bench) -> None:
    """Ask the device how it is."""
    rollout.status(bench.connect())


def odd_programs(bench: Bench, rng: random.Random) -> None:
    """The runtime's Python answers nonsense, without end, with escapes or not at all, or is killed."""
    python = bench.device / "venv/bin/python"
    whole = python.read_text()
    lines = rng.choice(
        (
            "cat /dev/zero",
            "yes '{}'",
            "printf '\\033[2J\\033]0;x\\007'",
            'echo \'{"ok": [], "signed_by": {}}\'',
            "echo INFO: Created TensorFlow Lite XNNPACK delegate for CPU. >&2; kill -9 $$",
            "kill -11 $$",
            "exit 1",
            "true",
            "exec sleep 60",
            "exec >&- 2>&-; sleep 60",
            "echo null",
            "echo '[[[[[['",
        )
    )
    python.write_text(f"#!/bin/sh\n{lines}\n")
    outcome = bench.push(bench.new, command_timeout_s=3.0)
    python.write_text(whole)
    outcome.must(1, say="bench")
    if not outcome.said.isprintable() or "XNNPACK" in outcome.said:
        raise BrokenError(f"it says {outcome.said!r}")


KINDS: dict[str, tuple[Callable[..., None], int]] = {
    "connection cut": (cut, 30),
    "connection silent": (go_silent, 4),
    "disk full": (fill_disk, 10),
    "read-only file system": (make_read_only, 2),
    "wrong host key": (wrong_host_key, 4),
    "host key changed": (changed_host_key, 2),
    "tampered file": (tamper, 10),
    "wrong or no signature": (wrong_signature, 10),
    "wrong version or class": (wrong_version_or_class, 4),
    "truncated manifest": (truncate_manifest, 8),
    "path traversal": (traverse, 10),
    "failing self-test": (fail_self_test, 14),
    "pusher killed": (kill_home, 12),
    "pusher killed at a step": (kill_home_at_step, 24),
    "self-test killed": (kill_self_test, 6),
    "device killed": (cut_power, 8),
    "two pushes at once": (push_twice, 4),
    "clock wrong": (wrong_clock, 4),
    "wrong pointer": (wrong_pointer, 16),
    "foreign entries": (foreign_entries, 4),
    "damaged releases": (damaged_releases, 8),
    "odd programs": (odd_programs, 12),
}
NEEDS_STEP = (kill_home_at_step,)
MAY_REMOVE = (damaged_releases, fill_disk)  # the fault itself harms them; room is made, never by the last sound one
PROMISES: dict[type[Exception], str] = {
    NoReleaseError: "whole release",
    LostError: "sound release kept",
    ProgramError: "no traceback",
}


def plan(kinds: Sequence[str], *, quick: bool, n_random: int, seed: int) -> list[tuple[str, int]]:
    """Return the cases: a kind and its number."""
    if not n_random:
        return [(kind, n) for kind in kinds for n in range(1 if quick else KINDS[kind][1])]
    rng = random.Random(seed)
    chosen = rng.choices(kinds, [KINDS[kind][1] for kind in kinds], k=n_random)
    return [(kind, rng.randrange(10**6)) for kind in chosen]


def run(bench: Bench, cases: Sequence[tuple[str, int]], *, seed: int) -> dict[str, Any]:
    """Run the cases and return the figures."""
    by_kind: dict[str, Counter[str]] = {}
    broken = []
    for done, (kind, n) in enumerate(cases, 1):
        fault, count = KINDS[kind]
        ran = by_kind.setdefault(kind, Counter(cases=0, ran_old=0, ran_new=0))
        ran["cases"] += 1
        rng = random.Random(f"{seed} {kind} {n}")
        held = whole_releases(bench)
        try:
            fault(bench, rng, *((n % count,) if fault in NEEDS_STEP else ()))
            runs = bench.check()
            if fault not in MAY_REMOVE and len(whole_releases(bench)) < min(KEEP, len(held)):
                raise LostError(f"of {sorted(held)} the push has left {sorted(whole_releases(bench))}")
            ran[f"ran_{runs}"] += 1
            bench.heal(runs)
        except (BrokenError, OSError) as error:  # OSError: there is no such thing on the device any more
            promise = "whole release" if isinstance(error, OSError) else PROMISES.get(type(error), "other")
            broken.append({"case": f"{kind} {n}", "promise": promise, "what": str(error)})
            print(f"{kind} {n}: BROKEN. {error}", file=sys.stderr)
            bench.revive()
        print(f"{done} of {len(cases)}: {kind}", file=sys.stderr, flush=True)
    failed = Counter(each["promise"] for each in broken)
    return {
        "cases": len(cases),
        "devices_without_a_whole_release": failed["whole release"],
        "sound_releases_lost": failed["sound release kept"],
        "tracebacks": failed["no traceback"],
        "other_promises_broken": failed["other"],
        "by_kind": by_kind,
        "broken": broken,
    }


def main() -> int:
    """Make a device, do everything to it, print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case of every kind")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N cases, drawn by the seed")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing stays mounted
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        Child(lambda: tiny.write_bundles(Path(scratch))).wait().must(0)  # TensorFlow's threads and forks do not mix
        bench = Bench(Path(scratch), [Path(scratch) / "release0", Path(scratch) / "release1"])
        try:
            cases = plan(given.kind, quick=given.quick, n_random=given.random, seed=given.seed)
            result = run(bench, cases, seed=given.seed)
        finally:
            bench.close()
    print(json.dumps(result | {"seconds": round(time.monotonic() - start)}, indent=2))
    return int(bool(result["broken"]))


if __name__ == "__main__":
    sys.exit(main())
