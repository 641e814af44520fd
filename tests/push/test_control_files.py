"""Whatever stands where a push keeps its own files: done, or refused in a sentence; no wait, and nothing is lost."""

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError, DeviceError
from stages.push import device_upload, rollout
from stages.push.bundle import release_id
from stages.push.transports import local
from stages.runtime import drift, litert, manifest
from stages.runtime.errors import RuntimeInputError
from tests.marks import thorough_but
from tests.push.quick import QuickDevice, contents, make_bundle


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail instead of waiting at a pipe for ever."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "notes").write_text("mine")


def make_dangling(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_link(path: Path) -> None:
    """Make a link to a file of another program."""
    path.symlink_to(path.anchor / Path(os.environ["MINE"]))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/full")


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # an address holds 108 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


ODD = [make_pipe, make_folder, make_dangling, make_loop, make_link, make_device, make_socket]
PLACES = [
    ".lock",
    ".accepted.json.aside",
    ".current.aside",
    ".current.away",
    "accepted.json",
    "device.json",
    "trusted_keys",
    "aside/{new}",
    "aside/{new}/model.tflite",
    "aside/{new}/golden",
    "releases/{new}",
    "current/model.tflite",
    "current/manifest.json",
]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the socket that is left behind
@pytest.mark.parametrize("place", thorough_but(PLACES, ".lock", ".accepted.json.aside", "aside/{new}"))
@pytest.mark.parametrize("make", ODD)
def test_what_stands_in_a_push_s_way(
    make: Callable[[Path], None], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    monkeypatch.setenv("MINE", str(mine))
    device = QuickDevice(local.Config(tmp_path / "device"), "bench")
    old, new = (make_bundle(tmp_path / f"v{i}", f"model {i}", i) for i in (1, 2))
    rollout.deliver(device, old, keep=3)
    at = device.folder / place.format(new=f"0002-{release_id(new)}")
    if place == ".lock" or place.startswith("current/"):
        at.unlink()
    at.unlink() if at.is_file() else at.parent.mkdir(parents=True, exist_ok=True)
    make(at)
    sound = {held.release for held in device.state().releases if held.sound}
    refused = ""
    with within(120):
        try:
            assert rollout.deliver(device, new, keep=3).installed
        except DeviceError as error:
            refused = str(error)
    if refused:
        assert refused.startswith("Device bench ")
        assert at.name in refused
    else:
        assert contents(device.folder / "current") == contents(new)
    assert mine.read_text() == "mine"
    assert sound <= {held.release for held in device.state().releases if held.sound}
    if make is make_folder and not place.startswith(("aside/", "current/")):
        kept = [path for path in device.folder.rglob("notes") if path.read_text() == "mine"]
        assert kept, "a folder of a person's own is gone"


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_dangling, make_loop, make_link, make_device])
def test_a_lock_at_home_that_is_no_file(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    monkeypatch.setenv("MINE", str(mine))
    make(tmp_path / ".lock")
    with within(120), pytest.raises(DataError, match=r"/\.lock .*a file"):
        files.open_lock(tmp_path / ".lock")
    assert mine.read_text() == "mine"


def test_a_lock_keeps_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("mine")
    files.open_lock(tmp_path / ".lock").close()
    assert (tmp_path / ".lock").read_text() == "mine"


def test_pipes_among_what_a_device_reads_and_writes(tmp_path: Path) -> None:
    for name in ("manifest.json", "model.tflite", "drift.json", ".drift.json.part", "drift.json.part"):
        make_pipe(tmp_path / name)
    with within(120):
        with pytest.raises(RuntimeInputError, match=r"manifest.json .*no regular file"):
            manifest.load(tmp_path)
        with pytest.raises(RuntimeInputError, match=r"model.tflite .*no regular file"):
            litert.Model(tmp_path / "model.tflite")
        assert drift.kept(tmp_path / "drift.json", "0" * 12) == {}
        drift.keep(tmp_path / "drift.json", "0" * 12, "2026-11-28", drift.Counts({"level": [1, 2]}))
        assert drift.kept(tmp_path / "drift.json", "0" * 12)["2026-11-28"].counts == {"level": [1, 2]}


@pytest.mark.parametrize("call", ["symlink_to", "rename"])
def test_a_disk_that_fills_up_between_upload_and_switch(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = QuickDevice(local.Config(tmp_path / "device"), "bench")
    old, new = (make_bundle(tmp_path / f"v{i}", f"model {i}", i) for i in (1, 2))
    rollout.deliver(device, old, keep=3)
    upload = device.upload

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def upload_and_fill(*given: Any, **named: Any) -> None:
        upload(*given, **named)
        monkeypatch.setattr(Path, call, full)

    monkeypatch.setattr(device, "upload", upload_and_fill)
    with pytest.raises(DeviceError, match=r"^Device bench .*\(No space left on device\)"):
        rollout.deliver(device, new, keep=3)
    monkeypatch.undo()
    assert contents(device.folder / "current") == contents(old)
    assert rollout.deliver(device, new, keep=3).installed
    assert contents(device.folder / "current") == contents(new)


def test_a_device_whose_python_lacks_xz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_upload, "lzma", None)
    device = QuickDevice(local.Config(tmp_path / "device"), "bench")
    release = make_bundle(tmp_path / "v1", "model", 1)
    assert rollout.deliver(device, release, keep=3).installed
    assert contents(device.folder / "current") == contents(release)
