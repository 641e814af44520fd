"""The runtime onto a device that has nothing but Python, from wheels sent along: it needs no internet and no pip.

What checks signatures comes with it, so that the device can be told to trust a key at any time.

On the device
    venvs/0002-1b6fa0c3d9e8   virtual environments: number, then digest of the wheels in it
    venv                      link to the one in use
    wheels/                   what is on its way in; a broken upload goes on where it stopped
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import DeviceError
from stages.push import answers, pins
from stages.push.transport import Transport

VENV, VENVS, WHEELS = "venv", "venvs", "wheels"
NAME = re.compile(r"[0-9]+-[0-9a-f]{3,12}")
MACHINE = re.compile(r"[A-Za-z0-9_]{1,32}")
OLDEST_GLIBC = 17  # of manylinux_2_N wheels for Python 3.11

_DESCRIBE = """
import json, os, platform, struct, sys
bits, libc = 8 * struct.calcsize("P"), platform.libc_ver()
print(json.dumps([os.uname().machine, bits, *libc, platform.python_implementation(), *sys.version_info[:2]]))
"""

_collecting = threading.Lock()

_CHECK = "import stages.runtime.litert"

_INSTALL = f"""
import glob, os, subprocess, sys, venv
place, wheels, runtime = sys.argv[1:]
venv.create(place, clear=True, symlinks=True)
(pip,) = glob.glob(glob.escape(wheels) + "/pip-*.whl")
install = [pip + "/pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-cache-dir"]
python = os.path.join(place, "bin", "python")
for arguments in ([*install, "--find-links", wheels, os.path.join(wheels, runtime) + "[trust]"], ["-c", {_CHECK!r}]):
    code = subprocess.run([python, "-I", *arguments]).returncode
    if code:
        sys.exit(code)
os.sync()
"""


@dataclass(frozen=True)
class Target:
    """What wheels for a device must fit.

    Attributes
    ----------
    machine : str
        E.g. ``"aarch64"``.
    glibc : tuple[int, int]
    python : tuple[int, int]
    """

    machine: str
    glibc: tuple[int, int]
    python: tuple[int, int]

    def __str__(self) -> str:
        """Return it as a folder's name."""
        return "-".join((self.machine, "glibc{}.{}".format(*self.glibc), "python{}.{}".format(*self.python)))

    @property
    def platforms(self) -> list[str]:
        """Platform tags of the wheels that run there, newest first."""
        newest = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc[1], OLDEST_GLIBC - 1, -1)]
        return [*newest, f"manylinux2014_{self.machine}"]


def set_up(transport: Transport, runtime: Path, *, cache: Path) -> bool:
    """Give a device a virtual environment that holds the runtime and what it needs, or a newer one.

    The new environment is made beside the old one and tried; then a link is switched, and the old one is kept for what
    still runs in it.

    Parameters
    ----------
    transport : Transport
    runtime : Path
        The runtime's wheel, as `stages.push.wheels` builds it.
    cache : Path
        Folder at home where the wheels for each kind of device are kept.

    Returns
    -------
    bool
        False if the device was set up like this already.

    Raises
    ------
    DeviceError
        If the device's Python does not fit, wheels for it cannot be had, or they do not work there. What it used before
        is still in use then.
    """
    with transport.lock():
        target = describe(transport)
        if transport.space().noexec:
            raise DeviceError(
                f"Device {transport.name} keeps its folder on a file system that is mounted noexec, where no library "
                "can be loaded. Name a `folder` on another file system, or mount it with exec."
            )
        with _collecting:  # for devices alike it is done once, however many are set up at a time
            wheels = collect(target, runtime, cache / str(target))
        digest = files.digest(str(target), {wheel.name: files.sha256(wheel) for wheel in wheels.iterdir()})[:12]
        before = transport.read_link(VENV) or ""
        if before.endswith(f"-{digest}") and transport.run(".", ["-I", "-c", _CHECK]).returncode == 0:
            return False
        environments = [name for name in transport.names(VENVS) if NAME.fullmatch(name)]  # the rest is not ours
        for name in environments:
            if before.rpartition("/")[2] in environments and f"{VENVS}/{name}" != before:
                transport.remove(f"{VENVS}/{name}")
        for name in transport.names(WHEELS):
            if name != digest:
                transport.remove(f"{WHEELS}/{name}")
        transport.upload(wheels, f"{WHEELS}/{digest}")
        number = max((int(name.partition("-")[0]) for name in environments), default=0) + 1
        place = f"{VENVS}/{number:04d}-{digest}"
        done = transport.bootstrap(["-I", "-c", _INSTALL, place, f"{WHEELS}/{digest}", runtime.name])
        if done.returncode != 0:
            transport.remove(place)
            raise DeviceError(f"Device {transport.name} cannot be set up ({answers.failure(done)}).")
        transport.write_link(VENV, place)
        transport.remove(WHEELS)
    return True


def describe(transport: Transport) -> Target:
    """Ask a device what its Python is.

    Raises
    ------
    DeviceError
        If there can be no wheels for it.
    """
    done = transport.bootstrap(["-I", "-c", _DESCRIBE])
    if done.returncode != 0:
        raise DeviceError(f"Device {transport.name} cannot say what it is ({answers.failure(done)}).")
    with answers.understood(transport.name):
        machine, bits, libc, version, implementation, *python = json.loads(done.stdout)
        machine, python = answers.text(machine), [answers.whole(part) for part in python[:2]]
        if not MACHINE.fullmatch(machine) or len(python) != 2:
            raise ValueError(f"{machine} {python}")
    for holds, rule in (
        (bits == 64, f"a 64-bit Python; it has a {bits}-bit one. Install the 64-bit system"),
        (libc == "glibc", "a Linux with glibc. Install Debian, Ubuntu or Raspberry Pi OS"),
        (implementation == "CPython", f"CPython; it has {implementation}. Name another as its `python`"),
    ):
        if not holds:
            raise DeviceError(f"Device {transport.name} needs {rule}.")
    with answers.understood(transport.name):
        major, minor, *_ = map(int, version.split("."))
        if not 0 <= minor < 200:
            raise ValueError(f"glibc {version}")
        return Target(machine, (major, minor), (python[0], python[1]))


def collect(target: Target, runtime: Path, folder: Path) -> Path:
    """Gather the runtime's wheel, those it needs and pip's in a folder, unless they are there.

    pip is asked, so that its own settings hold: with PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER no internet is needed.

    Parameters
    ----------
    target : Target
    runtime : Path
    folder : Path
        Replaced if it holds another runtime.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DeviceError
        If a wheel cannot be had, or is not pinned.
    """
    held = folder / runtime.name
    if held.is_file() and files.sha256(held) == files.sha256(runtime):
        pins.check(folder, runtime)
        return folder
    with files.growing_folder(folder, files.sha256(runtime)) as work:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--dest",
            work,
        ]
        command += [
            "--only-binary",
            ":all:",
            "--implementation",
            "cp",
            "--python-version",
            "{}.{}".format(*target.python),
        ]
        command += [argument for platform in target.platforms for argument in ("--platform", platform)]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
            constraints.write(pins.constraints())
            constraints.flush()
            command += ["--constraint", constraints.name]
            done = subprocess.run([*command, f"{runtime}[trust]", "pip"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = answers.last_words(done.stderr)
            raise DeviceError(
                f"The wheels for {target} cannot be had ({said}). Connect to the internet, or "
                "set PIP_FIND_LINKS to a folder that holds them."
            )
        pins.check(work, runtime)
    return folder
