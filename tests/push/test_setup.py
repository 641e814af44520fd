"""A device with nothing but Python gets the runtime: here from tiny wheels, so that no registry is needed."""

import base64
import dataclasses
import ensurepip
import hashlib
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

import loopback  # type: ignore[import-not-found]
import pytest

from stages.core.project.errors import DeviceError
from stages.push import rollout, setup, wheels
from stages.push.transports import local, ssh
from stages.push.transports.local import LocalTransport

GLIBC = tuple(map(int, platform.libc_ver()[1].split(".")[:2]))
HERE = setup.Target(platform.machine(), (GLIBC[0], GLIBC[1]), sys.version_info[:2])
NEEDS = 'Requires-Dist: kernels\nProvides-Extra: trust\nRequires-Dist: locks; extra == "trust"\n'
OTHER = setup.Target("sparc64", (2, 36), (3, 13))


def make_wheel(
    folder: Path, name: str, version: str, source: dict[str, str], *, needs: str = "", tag: str = "any"
) -> Path:
    path = folder / f"{name}-{version}-py3-none-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    held = {
        **source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-{tag}\n",
    }
    record = "".join(f"{p},{digest(text)},{len(text)}\n" for p, text in held.items())
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**held, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(inside, text)
    return path


def digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def make_runtime(folder: Path, version: str, litert: str = "import kernels") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = {"stages/__init__.py": "", "stages/runtime/__init__.py": "", "stages/runtime/litert.py": litert}
    return make_wheel(folder, "edac_runtime", version, source, needs=NEEDS)


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip can reach; it has the runtime's one requirement for two kinds of machine."""
    folder = tmp_path / "registry"
    folder.mkdir()
    make_wheel(folder, "locks", "1.0", {"locks.py": ""})
    for target in (HERE, OTHER):
        make_wheel(folder, "kernels", "1.0", {"kernels.py": f"machine = {target.machine!r}"}, tag=target.platforms[-2])
    places = [Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels")]  # Debian has its own
    bundled = next((place for place in places if list(place.glob("pip-*.whl"))), None)
    if bundled is None:
        pytest.skip("this Python brings no wheel of pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{folder} {bundled}")
    return folder


def set_up(device: LocalTransport, runtime: Path) -> bool:
    return setup.set_up(device, runtime, cache=runtime.parent / "cache")


def ask(device: LocalTransport, source: str) -> str:
    done = device.run(".", ["-I", "-c", source])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def version(device: LocalTransport) -> str:
    return ask(device, "import importlib.metadata as m; print(m.version('edac_runtime'))")


@pytest.mark.thorough
def test_installs_once_upgrades_and_mends(device: LocalTransport, tmp_path: Path) -> None:
    first, second = (make_runtime(tmp_path / name, name) for name in ("1.0", "2.0"))
    assert set_up(device, first)
    assert ask(device, "import kernels, sys; print(kernels.machine, sys.prefix)") == (
        f"{HERE.machine} {tmp_path}/device/venv"
    )
    installed = ask(device, "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))")
    assert installed == "edac_runtime kernels locks"  # and no pip
    assert not set_up(device, first)
    assert (len(device.names("venvs")), device.names("wheels")) == (1, [])

    assert set_up(device, second)
    assert version(device) == "2.0"
    assert [name[:4] for name in device.names("venvs")] == ["0001", "0002"]  # the old one is kept for what runs in it
    (module,) = (tmp_path / "device/venv/lib").glob("python*/site-packages/kernels.py")
    module.unlink()
    assert set_up(device, second)
    assert ask(device, "import kernels; print(kernels.machine)") == HERE.machine
    assert [name[:4] for name in device.names("venvs")] == ["0002", "0003"]


@pytest.mark.thorough
def test_a_runtime_that_does_not_work_there_leaves_the_old_one_in_use(device: LocalTransport, tmp_path: Path) -> None:
    bad = make_runtime(tmp_path / "2.0", "2.0", "raise ImportError('no such kernel')")
    (tmp_path / "device/venvs/0001-abc").mkdir(parents=True)
    device.write_link("venv", "venvs/0001-abc")
    with pytest.raises(DeviceError, match=r"^Device bench .*\(ImportError: no such kernel\)\.$"):
        set_up(device, bad)
    assert (device.read_link("venv"), device.names("venvs")) == ("venvs/0001-abc", ["0001-abc"])


class Foreign(LocalTransport):
    """A device that says something else about itself."""

    answer: str

    def bootstrap(self, arguments: Sequence[str]) -> "CompletedProcess[str]":
        return CompletedProcess(arguments, 0, self.answer, "")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ('["armv7l", 32, "glibc", "2.36", "CPython", 3, 11]', ".*64-bit Python; .*32-bit"),
        ('["aarch64", 64, "", "", "CPython", 3, 11]', ".*glibc"),
        ('["aarch64", 64, "glibc", "2.36", "PyPy", 3, 11]', ".*CPython; .*PyPy"),
    ],
)
def test_devices_for_which_there_are_no_wheels(tmp_path: Path, answer: str, sentence: str) -> None:
    device = Foreign(local.Config(tmp_path / "device"), "bench")
    device.answer = answer
    with pytest.raises(DeviceError, match=f"^Device bench {sentence}"):
        setup.describe(device)


def test_describes_this_machine(device: LocalTransport) -> None:
    with device.lock():
        assert setup.describe(device) == HERE


def test_wheels_are_those_of_the_device_not_of_home(registry: Path, tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path / "1.0", "1.0")
    folder = setup.collect(OTHER, runtime, tmp_path / "cache")
    names = sorted(wheel.name for wheel in folder.iterdir())
    assert [name.partition("-")[0] for name in names] == ["edac_runtime", "kernels", "locks", "pip"]
    assert names[1].endswith("_sparc64.whl")
    for wheel in registry.iterdir():
        wheel.unlink()
    assert setup.collect(OTHER, runtime, tmp_path / "cache") == folder  # what is there is not asked for again


def test_platforms_go_down_from_the_devices_glibc() -> None:
    assert setup.Target("aarch64", (2, 19), (3, 11)).platforms == [
        "manylinux_2_19_aarch64",
        "manylinux_2_18_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ]


def test_a_wheel_that_cannot_be_had(registry: Path, tmp_path: Path) -> None:
    (registry / f"kernels-1.0-py3-none-{OTHER.platforms[-2]}.whl").unlink()
    with pytest.raises(DeviceError, match=r"sparc64-glibc2\.36-python3\.13 .*\(.*kernels"):
        setup.collect(OTHER, make_runtime(tmp_path / "1.0", "1.0"), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.network
def test_the_real_wheels_over_ssh(
    sshd: loopback.Sshd, bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a Python that has nothing to a release that passes its self-test."""
    bare = shutil.which("python3", path=os.defpath)
    if bare is None:
        pytest.skip("no Python of the system's here")
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    wheel = wheels.runtime_wheel(tmp_path)
    config = ssh.Config("127.0.0.1", str(tmp_path / "device"), port=sshd.port, python=bare)
    keys = {"host_key": sshd.host_key, "key_file": sshd.folder / "client"}
    device = ssh.connect(dataclasses.replace(config, **keys), "bench")
    assert setup.set_up(device, wheel, cache=tmp_path / "cache")
    assert not setup.set_up(device, wheel, cache=tmp_path / "cache")
    missing = "import importlib.util as u; print(*filter(u.find_spec, ['tensorflow', 'librosa', 'sklearn', 'scipy']))"
    assert device.run(".", ["-I", "-c", missing]).stdout == "\n"
    assert rollout.deliver(device, bundles[0], keep=2).max_difference < 1e-5
    assert rollout.status(device).health == "healthy"
