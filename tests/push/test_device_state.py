"""A device is its sound releases and a link that may be wrong: no sound one is lost, nothing foreign touched."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.project.errors import DeviceError
from stages.push import device_folder, device_state, device_upload, rollout
from stages.push.bundle import release_id
from stages.push.transports import local
from tests.push.quick import QuickDevice, contents, make_bundle

pytestmark = pytest.mark.thorough


@pytest.fixture
def releases(tmp_path: Path) -> list[Path]:
    return [make_bundle(tmp_path / f"v{i}", f"model {i}", i) for i in range(1, 6)]


@pytest.fixture
def device(tmp_path: Path, releases: list[Path]) -> QuickDevice:
    """A device that got versions 1 to 3."""
    device = QuickDevice(local.Config(tmp_path / "device"), "bench")
    for release in releases[:3]:
        rollout.deliver(device, release, keep=3)
    return device


def sound(device: QuickDevice) -> set[str]:
    return {held.release for held in device.state().releases if held.sound}


def running(device: QuickDevice) -> dict[str, bytes]:
    return contents(device.folder / "current")


def lose(current: Path) -> None:
    current.unlink()


def dangle(current: Path) -> None:
    current.unlink()
    current.symlink_to("releases/0099-0123456789ab")


def copy(current: Path) -> None:
    """`cp -rL current x; rm current; mv x current`."""
    shutil.copytree(current, current.with_name("x"))
    current.unlink()
    current.with_name("x").rename(current)


def replace_by_file(current: Path) -> None:
    current.unlink()
    current.write_text("mine")


def lead_elsewhere(current: Path) -> None:
    elsewhere = current.parent.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    current.unlink()
    current.symlink_to(elsewhere)


def lead_absolutely(current: Path) -> None:
    target = current.resolve()
    current.unlink()
    current.symlink_to(target)


def lead_through_links(current: Path) -> None:
    hop = current.with_name("hop")
    hop.symlink_to(current.readlink())
    current.unlink()
    current.symlink_to("hop")


def loop(current: Path) -> None:
    current.unlink()
    current.symlink_to("current")


def nest(current: Path) -> None:
    """A folder of a person's own, with a file in it."""
    current.unlink()
    (current / "notes").mkdir(parents=True)
    (current / "notes/mine").write_text("mine")


WRONG = [lose, dangle, copy, replace_by_file, lead_elsewhere, lead_absolutely, lead_through_links, loop, nest]


@pytest.mark.parametrize("spoil", WRONG)
def test_a_push_with_a_wrong_pointer_loses_no_sound_release_and_nothing_of_anybody(
    spoil: Callable[[Path], None], device: QuickDevice, releases: list[Path], tmp_path: Path
) -> None:
    spoil(device.folder / "current")
    assert rollout.deliver(device, releases[3], keep=3).installed
    assert running(device) == contents(releases[3])
    assert (device.folder / "current").is_symlink()
    assert sound(device) == {release_id(release) for release in releases[1:4]}
    if spoil in (replace_by_file, lead_elsewhere, nest):
        mine = [p for p in tmp_path.rglob("*") if p.is_file() and p.read_bytes() == b"mine"]
        assert len(mine) == 1
    assert rollout.rollback(device) == release_id(releases[2])


@pytest.mark.parametrize("spoil", WRONG)
def test_a_push_that_is_refused_with_a_wrong_pointer_changes_nothing(
    spoil: Callable[[Path], None], device: QuickDevice, releases: list[Path]
) -> None:
    spoil(device.folder / "current")
    before = contents(device.folder / "releases")
    (releases[3] / "model.tflite").write_text("altered")
    with pytest.raises(DeviceError, match=r"missing or altered: model.tflite"):
        rollout.deliver(device, releases[3], keep=3)
    assert contents(device.folder / "releases") == before


@pytest.mark.parametrize("spoil", WRONG)
def test_a_rollback_with_a_wrong_pointer_finds_the_newest_sound_release(
    spoil: Callable[[Path], None], device: QuickDevice, releases: list[Path]
) -> None:
    known = spoil in (lead_absolutely, lead_through_links)
    spoil(device.folder / "current")
    back = rollout.rollback(device)
    assert back == release_id(releases[1 if known or spoil is copy else 2])
    assert running(device) == contents(releases[1 if known or spoil is copy else 2])


class SickInPlace(QuickDevice):
    """A device on which nothing that was just switched to is well."""

    sick = ""

    def answer(self, folder: str, arguments: Any) -> Any:
        if folder == "current" and "selftest" in arguments and self.state().current.release == self.sick:
            return super().answer("nowhere", arguments)
        return super().answer(folder, arguments)


@pytest.mark.parametrize("spoil", WRONG)
def test_a_release_that_fails_in_place_leaves_the_device_on_a_sound_one(
    spoil: Callable[[Path], None], device: QuickDevice, releases: list[Path]
) -> None:
    spoil(device.folder / "current")
    sick = SickInPlace(local.Config(device.folder), "bench")
    sick.sick = release_id(releases[3])
    with pytest.raises(DeviceError, match=f"It is back on {release_id(releases[2])}"):
        rollout.deliver(sick, releases[3], keep=3)
    assert running(device) == contents(releases[2])
    assert sound(device) >= {release_id(release) for release in releases[:3]}


def test_foreign_entries_are_left_alone(device: QuickDevice, releases: list[Path]) -> None:
    top = device.folder / "releases"
    (top / "edac_runtime-0.1-py3-none-any.whl").write_bytes(b"wheel")
    (top / "README").write_text("mine")
    (top / "backup/notes").mkdir(parents=True)
    (top / "backup/notes/mine").write_text("mine")
    (top / "0042-0123456789ab").mkdir()  # looks like ours, and holds no manifest
    (top / "0042-0123456789ab/mine").write_text("mine")
    (top / "latest").symlink_to("0001-gone")
    before = {p: p.read_bytes() for p in top.rglob("*") if p.is_file() and p.read_bytes() in (b"mine", b"wheel")}
    for release in (*releases[3:], releases[0]):
        rollout.deliver(device, release, keep=2, force=True)
    rollout.rollback(device)
    assert {path: path.read_bytes() for path in before} == before
    assert (top / "latest").is_symlink()
    assert len(sound(device)) == 1


def test_numbers_are_numbers(device: QuickDevice, releases: list[Path]) -> None:
    top = device.folder / "releases"
    for old, new in zip(device.names("releases"), ("9997", "9998", "9999"), strict=True):
        (top / old).rename(top / f"{new}-{old.partition('-')[2]}")
    name = next(name for name in device.names("releases") if name.startswith("9999"))
    device.write_link("current", f"releases/{name}")
    for release in releases[3:]:
        rollout.deliver(device, release, keep=3)
    assert [name.partition("-")[0] for name in device.names("releases")] == ["10000", "10001", "9999"]
    assert running(device) == contents(releases[4])
    assert rollout.rollback(device) == release_id(releases[3])
    assert rollout.rollback(device) == release_id(releases[2])


def test_numbers_have_no_end(device: QuickDevice, releases: list[Path]) -> None:
    (device.folder / "releases" / f"{10**18 - 1}-0123456789ab").mkdir()  # not ours, as it holds no manifest
    for release in releases[3:]:
        rollout.deliver(device, release, keep=2)
    assert sound(device) == {release_id(release) for release in releases[3:]}
    assert rollout.rollback(device) == release_id(releases[3])


@pytest.mark.parametrize("place", ["releases", "aside"])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.symlink_to("/mnt/card"), r".*/{} at /mnt/card"),
        (lambda path: path.write_text("mine"), r".*/{}, .*a folder"),
        (os.mkfifo, r".*/{}, .*a folder"),
    ],
)
def test_a_disk_that_is_not_there_is_named_and_nothing_is_written(
    place: str, spoil: Callable[[Path], None], sentence: str, device: QuickDevice, releases: list[Path]
) -> None:
    (device.folder / place).rename(device.folder.with_name("unplugged")) if (device.folder / place).exists() else None
    spoil(device.folder / place)
    before = sorted(device.folder.iterdir())
    for question in (
        lambda: rollout.deliver(device, releases[3], keep=3),
        lambda: rollout.rollback(device),
        lambda: rollout.status(device),
    ):
        with pytest.raises(DeviceError, match=sentence.format(place)):
            question()
    assert sorted(device.folder.iterdir()) == before


def test_a_sound_release_under_another_name_is_one_to_return_to_and_never_removed(
    device: QuickDevice, releases: list[Path]
) -> None:
    top = device.folder / "releases"
    first = device.names("releases")[0]
    (top / first).rename(top / "the good old one")
    rollout.deliver(device, releases[3], keep=2)
    rollout.deliver(device, releases[4], keep=2)
    for held in device.state().releases:
        if held.ours and held.release != release_id(releases[4]):
            (top / held.name / "model.tflite").write_text("decayed")
    assert rollout.rollback(device) == release_id(releases[0])
    assert device.read_link("current") == "releases/the good old one"


@pytest.fixture
def second_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    folder = other / f"edac-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("moved", ["releases", "aside"])
def test_a_second_disk_behind_a_link(moved: str, device: QuickDevice, releases: list[Path], second_disk: Path) -> None:
    place = device.folder / moved
    place.mkdir(exist_ok=True)
    shutil.move(place, second_disk / moved)
    place.symlink_to(second_disk / moved)
    for release in releases[3:]:
        assert rollout.deliver(device, release, keep=2).installed
    assert running(device) == contents(releases[4])
    assert sound(device) == {release_id(release) for release in releases[3:]}
    assert all(device_state.NAME.fullmatch(name) for name in device.names("releases"))
    assert device.names("aside") == []
    assert rollout.rollback(device) == release_id(releases[3])


def test_one_release_moved_to_a_second_disk(device: QuickDevice, releases: list[Path], second_disk: Path) -> None:
    first = device.folder / "releases" / device.names("releases")[0]
    shutil.move(first, second_disk / "moved")
    first.symlink_to(second_disk / "moved")
    for release in releases[3:]:
        rollout.deliver(device, release, keep=2)
    assert contents(second_disk / "moved") == contents(releases[0])


def small(monkeypatch: pytest.MonkeyPatch, device: QuickDevice, capacity: int) -> None:
    """Give the device a disk of so many bytes."""

    def space(self: device_folder.Folder) -> dict[str, Any]:
        used = sum(p.stat().st_size + 4096 for p in self.root.rglob("*") if not p.is_symlink())
        return {"free_bytes": max(0, capacity - used), "free_inodes": None, "noexec": False}

    monkeypatch.setattr(device_folder.Folder, "space", space)


def test_room_is_made_before_an_upload_but_never_by_the_last_sound_release(
    device: QuickDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, releases: list[Path]
) -> None:
    big = [make_bundle(tmp_path / f"big{i}", chr(97 + i) * 300_000, 10 + i) for i in range(4)]
    for release in big[:3]:
        rollout.deliver(device, release, keep=3)
    small(monkeypatch, device, 1_250_000)
    assert rollout.deliver(device, big[3], keep=3).installed  # 3 old ones and the new one have no room together
    assert release_id(big[2]) in sound(device)
    assert release_id(big[0]) not in sound(device)
    small(monkeypatch, device, 500_000)
    with pytest.raises(DeviceError, match=r"too little room .*[\d,]+ bytes"):
        rollout.deliver(device, make_bundle(tmp_path / "huge", "h" * 900_000, 20), keep=2)
    assert running(device) == contents(big[3])
    assert release_id(big[3]) in sound(device)


def test_with_a_lost_pointer_the_newest_sound_release_makes_no_room(
    device: QuickDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, releases: list[Path]
) -> None:
    (device.folder / "current").unlink()
    small(monkeypatch, device, 0)
    with pytest.raises(DeviceError, match="too little room"):
        rollout.deliver(device, releases[3], keep=2)
    assert sound(device) == {release_id(releases[2])}
    monkeypatch.undo()
    assert rollout.rollback(device) == release_id(releases[2])


def test_a_quota_that_only_shows_when_it_is_reached(
    device: QuickDevice, releases: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = device_upload.unpack

    def unpack(root: Path, *rest: Any) -> None:
        if len(list((root / "releases").iterdir())) > 1:
            raise OSError(122, "Disk quota exceeded")
        real(root, *rest)

    monkeypatch.setattr(device_upload, "unpack", unpack)
    assert rollout.deliver(device, releases[3], keep=3).installed
    assert sound(device) == {release_id(releases[2]), release_id(releases[3])}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["push", "roll back", *WRONG, "damage current", "damage old", "foreign"]), max_size=8))
def test_whatever_happens_no_sound_release_is_lost_but_by_another_that_runs(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    scratch = tmp_path_factory.mktemp("any")
    device = QuickDevice(local.Config(scratch / "device"), "bench")
    rollout.deliver(device, make_bundle(scratch / "0", "model 0", 1), keep=2)
    for i, step in enumerate(steps, 2):
        before, current = sound(device), device.folder / "current"
        if step in ("push", "roll back"):
            try:
                if step == "push":
                    rollout.deliver(device, make_bundle(scratch / str(i), f"model {i}", i), keep=2)
                else:
                    rollout.rollback(device)
            except DeviceError as error:
                assert "keeps no earlier release" in str(error)  # noqa: PT017  of a rollback only
                assert step == "roll back"
                assert sound(device) >= before
            else:
                assert device.state().current.sound
            assert not before or sound(device), "a device without a sound release"
        elif step == "foreign":
            (device.folder / f"releases/mine {i}").mkdir()
        elif step == "damage current" and current.is_dir() and (current / "model.tflite").exists():
            (current / "model.tflite").write_text("decayed")
        elif step == "damage old" and device.names("releases"):
            victim = device.folder / "releases" / device.names("releases")[0] / "model.tflite"
            if victim.exists():
                victim.write_text("decayed")
        elif callable(step) and current.is_symlink() and current.is_dir():
            shutil.rmtree(scratch / "elsewhere", ignore_errors=True)
            (device.folder / "hop").unlink(missing_ok=True)
            if current.is_dir():  # it led elsewhere
                step(current)
    shutil.rmtree(scratch)
