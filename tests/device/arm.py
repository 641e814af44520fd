"""A 64-bit Arm, emulated by QEMU, with Debian's Python, NumPy and LiteRT.

Needs debootstrap, dpkg-deb, qemu-aarch64-static and, unless run by root, fakeroot. The small root is kept in
EDAC_ARM_CACHE, by default `edac-arm64` in the folder for temporary files; the next run takes it from there.

Two traps. LiteRT asks /proc/cpuinfo for the processor and crashes on finding this machine's, so the root holds that of
a Cortex-A72, as in a Raspberry Pi 4. And QEMU 7.2 computes some extensions of its default processor, `-cpu max`,
wrongly, so that 8-bit models give other scores without a word: name a processor that exists.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.project import files

DEBIAN, MIRROR = "bookworm", "http://deb.debian.org/debian"
GUEST_PYTHON = "3.11"
PACKAGES = {name: importlib.metadata.version(name) for name in ("ai-edge-litert", "numpy")}


@dataclass(frozen=True)
class Processor:
    """A processor as QEMU names it, the number that it calls itself, and what it offers beyond the first of 64 bits."""

    name: str
    part: int
    features: str = ""

    @property
    def cpuinfo(self) -> str:
        """What it says of itself in /proc/cpuinfo."""
        lines = (
            "processor\t: 0",
            "BogoMIPS\t: 108.00",
            f"Features\t: fp asimd evtstrm {self.features}crc32 cpuid",
            "CPU implementer\t: 0x41",
            "CPU architecture: 8",
            "CPU variant\t: 0x0",
            f"CPU part\t: 0x{self.part:x}",
            "CPU revision\t: 3",
        )
        return "".join(f"{line}\n" for line in (*lines, ""))


CORTEX_A72 = Processor("cortex-a72", 0xD08)
"""Of a Raspberry Pi 4."""
CORTEX_A76 = Processor("cortex-a76", 0xD0B, "atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp ")
"""Of a Raspberry Pi 5: it multiplies four pairs of 8-bit integers at once (`asimddp`) and computes in 16-bit floats."""


class Device:
    """An arm64 root with Python, NumPy and LiteRT, whose programs QEMU runs.

    Parameters
    ----------
    folder : Path
        From `make_device`.
    processor : Processor
    emulator : sequence of str
        QEMU and further options of it.
    """

    def __init__(
        self, folder: Path, processor: Processor = CORTEX_A72, emulator: Sequence[str] = ("qemu-aarch64-static",)
    ) -> None:
        self.folder, self.processor, self._emulator = folder, processor, emulator
        self.root = folder / "root"
        if processor != CORTEX_A72:  # the same files, but for what the processor says of itself
            self.root = folder / processor.name
            (self.root / "proc").mkdir(parents=True, exist_ok=True)
            (self.root / "proc/cpuinfo").write_text(processor.cpuinfo)
            for name in {path.name for path in (folder / "root").iterdir()} - {"proc"}:
                if not (self.root / name).is_symlink():
                    (self.root / name).symlink_to(Path("../root") / name)

    def python(self, *arguments: str | Path, cwd: Path) -> str:
        """Run the guest's Python and return what it prints."""
        path = f"PYTHONPATH={self.folder / 'site'}"
        own: list[str | Path] = ["-cpu", self.processor.name, "-L", self.root, "-E", path]
        return run([*self._emulator, *own, self.root / f"usr/bin/python{GUEST_PYTHON}", *arguments], cwd=cwd)


def run(command: Sequence[str | Path], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def make_root(root: Path) -> None:
    """Unpack Debian's minimal system and Python. Nothing is configured: configuring needs a machine that runs it."""
    as_root = [] if os.geteuid() == 0 else ["fakeroot"]
    wanted = ["--arch=arm64", "--foreign", "--variant=minbase", f"--include=python{GUEST_PYTHON}"]
    run([*as_root, "debootstrap", *wanted, DEBIAN, root, MIRROR])
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        run(["dpkg-deb", "--extract", package, root])
        package.unlink()
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(CORTEX_A72.cpuinfo)


def install_wheels(site: Path) -> None:
    platforms = [f"--platform=manylinux{tag}_aarch64" for tag in ("_2_28", "_2_27", "2014")]
    choice = ["--only-binary=:all:", "--implementation=cp", f"--python-version={GUEST_PYTHON}", *platforms]
    wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
    run([sys.executable, "-m", "pip", "install", "--quiet", f"--target={site}", *choice, *wanted])


def make_device() -> Device:
    """Return the arm64 root, made once and kept."""
    tools = ["debootstrap", "dpkg-deb", "qemu-aarch64-static", *(["fakeroot"] if os.geteuid() else [])]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    assert not missing, f"Install {', '.join(missing)} to emulate a 64-bit Arm."
    cache = Path(os.environ.get("EDAC_ARM_CACHE", Path(tempfile.gettempdir()) / "edac-arm64"))
    folder = cache / files.digest(DEBIAN, GUEST_PYTHON, CORTEX_A72.cpuinfo, PACKAGES)[:12]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as aside:
            work = Path(aside) / "device"
            work.mkdir()
            make_root(work / "root")
            install_wheels(work / "site")
            work.rename(folder)
    return Device(folder)
