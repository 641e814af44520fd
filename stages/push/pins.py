"""The wheels that may go onto a device, pinned by sha256 in `wheels.lock`, whatever a package index offers."""

import ensurepip
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import DataError, DeviceError

LOCK = Path(__file__).with_name("wheels.lock")
_RELEASE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One version of a project, and the sha256 of its files."""

    version: str
    sha256: frozenset[str]


def read(lock: Path = LOCK) -> dict[str, Pin]:
    """Read a lock in the format of pip's requirements, as `uv pip compile --generate-hashes` writes it.

    Raises
    ------
    DataError
        If a version has no sha256.
    """
    text = lock.read_text()
    found = list(_RELEASE.finditer(text))
    ends = [*(one.start() for one in found[1:]), len(text)]
    pins = {
        _normalised(one[1]): Pin(one[2], frozenset(_HASH.findall(text, one.end(), end)))
        for one, end in zip(found, ends, strict=True)
    }
    for name, pin in pins.items():
        if not pin.sha256:
            raise DataError(f"{lock}: {name} must have a sha256; it has none. Make the file again, as it says itself.")
    return pins


def constraints() -> str:
    """Return the pinned versions as pip constraints; pip itself is free where it may use no index."""
    free = {"pip"} if os.environ.get("PIP_NO_INDEX") else set()
    return "".join(f"{name}=={pin.version}\n" for name, pin in sorted(read().items()) if name not in free)


def check(folder: Path, runtime: Path) -> None:
    """Require that every wheel in a folder is pinned.

    Two are known without: the runtime's own, which was built here, and a pip that came with the Python that runs this.

    Parameters
    ----------
    folder : Path
    runtime : Path
        The runtime's own wheel. A project that it requires itself and that the lock does not know is taken as it is.

    Raises
    ------
    DeviceError
        If a wheel is not pinned, or has another sha256.
    """
    pinned, direct = read(), _requirements(runtime)
    for wheel in sorted(folder.iterdir()):
        name, sha256 = _normalised(wheel.name.partition("-")[0]), files.sha256(wheel)
        if name in pinned:
            known = sha256 in pinned[name].sha256 or (name == "pip" and sha256 in _bundled())
        else:
            known = name in direct or sha256 == files.sha256(runtime)
        if not known:
            raise DeviceError(
                f"{wheel.name} is not a wheel that {LOCK.name} pins, so that no device gets it. Check the package "
                "index (PIP_INDEX_URL, PIP_FIND_LINKS), or make the lock again, as it says itself."
            )


def _requirements(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    named = (re.match(r"Requires-Dist: ([A-Za-z0-9._-]+)", line) for line in lines)
    return {_normalised(found[1]) for found in named if found}


def _bundled() -> set[str]:
    """Return the sha256 of the wheels of pip that came with this Python; Debian keeps its own."""
    places = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    return {files.sha256(wheel) for place in places for wheel in place.glob("pip-*.whl")}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
