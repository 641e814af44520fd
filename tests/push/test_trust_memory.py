"""What a device accepted once it remembers, whatever becomes of `current`; and a rollback is judged like a push."""

import datetime
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.core.project import files
from stages.core.project.errors import DeviceError
from stages.push import identity, on_device, rollout, signing
from stages.push.bundle import release_id
from stages.push.transports import local
from stages.push.transports.local import LocalTransport
from stages.runtime import manifest, trust
from stages.runtime.errors import RuntimeInputError
from tests.marks import thorough_but
from tests.messages import line_with
from tests.push.quick import QuickDevice, contents, make_bundle


@pytest.fixture
def device(tmp_path: Path) -> QuickDevice:
    return QuickDevice(local.Config(tmp_path / "device"), "bench")


def signed(folder: Path, key: Path, version: int, **more: Any) -> Path:
    release = make_bundle(folder, f"model {version}", version, **more)
    signature = signing.sign((release / "manifest.json").read_bytes(), key)
    files.write_text(release / "manifest.sig", trust.encode(signature) + "\n")
    return release


def new_key(path: Path) -> tuple[Path, str]:
    public = signing.new_key(path)
    return path, trust.fingerprint(public)


def test_a_lost_pointer_makes_no_old_version_new(device: QuickDevice, tmp_path: Path) -> None:
    for version in (3, 7):
        rollout.deliver(device, make_bundle(tmp_path / str(version), f"m{version}", version), keep=2)
    for loss in ("current", "releases"):
        lost = device.folder / loss
        shutil.rmtree(lost) if lost.is_dir() and not lost.is_symlink() else lost.unlink()
        with pytest.raises(DeviceError, match=r"version 5, older than version 7"):
            rollout.deliver(device, make_bundle(tmp_path / f"5{loss}", f"five {loss}", 5), keep=2)
    assert rollout.deliver(device, tmp_path / "7", keep=2).installed


def test_after_a_rollback_versions_between_are_still_old(device: QuickDevice, tmp_path: Path) -> None:
    for version in (3, 7):
        rollout.deliver(device, make_bundle(tmp_path / str(version), f"m{version}", version), keep=2)
    rollout.rollback(device)
    between = make_bundle(tmp_path / "5", "five", 5)
    with pytest.raises(DeviceError, match=r"version 5, older than version 7 .*--force"):
        rollout.deliver(device, between, keep=2)
    assert rollout.deliver(device, between, keep=2, force=True).installed
    assert json.loads((device.folder / "accepted.json").read_text()) == {"": 7}


def test_models_count_their_versions_apart(device: QuickDevice, tmp_path: Path) -> None:
    def push(model: str, version: int) -> bool:
        release = make_bundle(tmp_path / f"{model}{version}", f"{model} {version}", version, registered_name=model)
        return rollout.deliver(device, release, keep=2).installed

    assert push("cough", 7)
    assert push("snore", 2)
    assert push("cough", 8)
    shutil.rmtree(tmp_path / "cough7")
    for model, version, highest in (("cough", 7, 8), ("snore", 1, 2)):
        with pytest.raises(DeviceError, match=rf"older than version {highest}"):
            push(model, version)
    assert json.loads((device.folder / "accepted.json").read_text()) == {"cough": 8, "snore": 2}
    unnamed = make_bundle(tmp_path / "old", "from before models had names", 6)
    with pytest.raises(DeviceError, match=r"older than version 8"):
        rollout.deliver(device, unnamed, keep=2)


def test_a_damaged_memory_is_named_and_begun_anew_by_force(device: QuickDevice, tmp_path: Path) -> None:
    rollout.deliver(device, make_bundle(tmp_path / "1", "one", 1), keep=2)
    new = make_bundle(tmp_path / "2", "two", 2)
    for content in ("", "[]", '{"": "2"}', '{"": true}', "[" * 10**5):
        (device.folder / "accepted.json").write_text(content)
        with pytest.raises(DeviceError, match=r"accepted\.json is damaged.*--force"):
            rollout.deliver(device, new, keep=2)
    assert rollout.deliver(device, new, keep=2, force=True).installed
    assert json.loads((device.folder / "accepted.json").read_text()) == {"": 2}


def test_a_release_that_fails_in_place_is_not_remembered(device: QuickDevice, tmp_path: Path) -> None:
    rollout.deliver(device, make_bundle(tmp_path / "1", "one", 1), keep=2)
    bad = make_bundle(tmp_path / "9", "nine", 9, golden=[{"file": "golden/0.wav", "scores": [0.5]}])
    with pytest.raises(DeviceError, match=r"differ by 0.25 .*It is back on"):
        rollout.deliver(device, bad, keep=2)
    assert rollout.deliver(device, make_bundle(tmp_path / "2", "two", 2), keep=2).installed


def test_a_release_of_a_removed_key_or_an_unsigned_one_never_runs_again(device: QuickDevice, tmp_path: Path) -> None:
    (old, old_name), (new, _) = new_key(tmp_path / "old"), new_key(tmp_path / "new")
    unsigned = make_bundle(tmp_path / "0", "unsigned", 1)
    (note,) = rollout.deliver(device, unsigned, keep=9).notes
    assert line_with(note, "no signature", "`edac devices trust`")
    for key in (old, new):
        trust.add_key(device.folder, trust.encode(signing.public_key(key)))
    with_old = [signed(tmp_path / f"old{i}", old, i) for i in (2, 3)]
    with_new = [signed(tmp_path / f"new{i}", new, i) for i in (4, 5)]
    for release in (with_old[0], with_new[0], with_old[1], with_new[1]):
        assert rollout.deliver(device, release, keep=9, force=True).notes == ()
    trust.remove_key(device.folder, old_name)
    assert rollout.rollback(device) == release_id(with_new[0])
    with pytest.raises(DeviceError, match=r"no earlier release .*\(.*does not trust"):
        rollout.rollback(device)
    assert contents(device.folder / "current") == contents(with_new[0])
    with pytest.raises(DeviceError, match=r"a key .*does not trust"):
        rollout.deliver(device, with_old[1], keep=9, force=True)


def test_expiry(device: QuickDevice, tmp_path: Path) -> None:
    rollout.deliver(device, make_bundle(tmp_path / "1", "one", 1, not_after="9999-12-31"), keep=2)
    with pytest.raises(DeviceError, match=r"until 2020-02-29, .*device's clock says 2\d{3}-"):
        rollout.deliver(device, make_bundle(tmp_path / "2", "two", 2, not_after="2020-02-29"), keep=2, force=True)
    for day in ("2020-02-30", "2020-2-3", "tomorrow", 2020, ["2020-02-29"]):
        with pytest.raises(RuntimeInputError, match=r"not_after .*YYYY-MM-DD, or null"):
            manifest.load(make_bundle(tmp_path / f"bad {day}", "m", 3, not_after=day))


def set_clock(monkeypatch: pytest.MonkeyPatch, day: str, at_home: str) -> None:
    """Set the device's clock and home's."""

    class Clock(datetime.datetime):
        shown = day

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Clock":
            return cls.fromisoformat(cls.shown).replace(tzinfo=tz)

    class Home(Clock):
        shown = at_home

    monkeypatch.setattr(trust, "datetime", SimpleNamespace(datetime=Clock, UTC=datetime.UTC))
    monkeypatch.setattr(on_device, "datetime", SimpleNamespace(datetime=Home, UTC=datetime.UTC))


@pytest.mark.parametrize(
    ("day", "at_home", "refusal"),
    [
        ("2026-11-28", "2026-11-28", ""),
        ("1970-01-01", "2026-11-28", ""),  # never set: home's day counts
        ("2026-11-28", "1970-01-01", ""),  # home's was never set
        ("2027-02-01", "2026-11-28", "this device's clock says 2027-02-01"),
        ("1970-01-01", "2027-02-01", "it is 2027-02-01 at home"),  # set back, it keeps no expired release alive
        ("2026-11-28", "2027-02-01", "it is 2027-02-01 at home"),
        ("1970-01-01", "1970-01-01", "this device's clock says 1970-01-01,"),
    ],
)
def test_the_later_one_of_two_clocks_counts_for_a_release_with_a_last_day(
    day: str, at_home: str, refusal: str, device: QuickDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, day, at_home)
    ends = make_bundle(tmp_path / "1", "one", 1, not_after="2027-01-31")
    if refusal:
        with pytest.raises(DeviceError, match=rf"good until 2027-01-31, and {refusal}.*[Ss]et the clock"):
            rollout.deliver(device, ends, keep=2)
        assert rollout.deliver(device, make_bundle(tmp_path / "2", "without a last day", 2), keep=2).installed
    else:
        assert rollout.deliver(device, ends, keep=2).installed


def test_a_day_at_home_that_is_none_is_refused(tmp_path: Path) -> None:
    release = make_bundle(tmp_path / "1", "one", 1, not_after="2027-01-31")
    for day in ("", "9999", "2026-11-31", "tomorrow"):
        with pytest.raises(RuntimeInputError, match=r"day at home .*YYYY-MM-DD"):
            trust.accept(release, tmp_path, today=day)


def test_a_runtime_from_before_it_heard_the_day_at_home_still_judges(tmp_path: Path) -> None:
    class Earlier(QuickDevice):
        def answer(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
            if "--today" in arguments:
                said = "edac-runtime: error: unrecognized arguments: --today 2026-11-28\n"
                return subprocess.CompletedProcess([], 2, "", said)
            return super().answer(folder, arguments)

    earlier = Earlier(local.Config(tmp_path / "device"), "bench")
    assert rollout.deliver(earlier, make_bundle(tmp_path / "1", "one", 1), keep=2).installed


@pytest.mark.parametrize(("name", "sentence"), [("accepted.json", "is damaged"), ("device.json", "does not say")])
@pytest.mark.parametrize("spoil", [os.mkfifo, lambda path: path.symlink_to("/nowhere"), os.mkdir])
def test_a_note_of_the_device_that_is_no_file_is_not_passed_over(
    name: str, sentence: str, spoil: Callable[[Path], None], device: QuickDevice, tmp_path: Path
) -> None:
    rollout.deliver(device, make_bundle(tmp_path / "3", "three", 3), keep=2)
    (device.folder / name).unlink(missing_ok=True)
    spoil(device.folder / name)
    with pytest.raises(DeviceError, match=rf"{name} {sentence}"):
        rollout.deliver(device, make_bundle(tmp_path / "4", "four", 4), keep=2)


def test_a_manifest_that_is_a_pipe_stops_no_push(device: QuickDevice, tmp_path: Path) -> None:
    rollout.deliver(device, make_bundle(tmp_path / "1", "one", 1), keep=2)
    manifest_file = device.folder / "current/manifest.json"
    manifest_file.unlink()
    os.mkfifo(manifest_file)
    assert rollout.deliver(device, make_bundle(tmp_path / "2", "two", 2), keep=2).installed


@pytest.mark.thorough
def test_keys_of_a_device(device: LocalTransport, tmp_path: Path) -> None:
    real = local.connect(local.Config(tmp_path / "device"), "bench")
    assert identity.keys(real) is None
    (one, one_name), (_, other_name) = new_key(tmp_path / "one"), new_key(tmp_path / "other")
    assert identity.trust_key(real, signing.public_key(one)) == [one_name]
    assert identity.keys(real) == [one_name]
    assert identity.distrust_key(real, other_name) == (False, [one_name])
    assert identity.distrust_key(real, one_name) == (True, [])
    assert identity.keys(real) == []  # it goes on asking for signatures
    with pytest.raises(DeviceError, match=r"trusted_keys holds no key to trust"):
        rollout.deliver(real, make_bundle(tmp_path / "1", "one", 1), keep=2)


@pytest.mark.parametrize(
    "altered",
    thorough_but(
        ["model.tflite", "frontend.tflite", "stages/runtime/selftest.py", "stages/runtime/trust.py", "golden/0.wav"],
        "model.tflite",
    ),
)
def test_the_installed_runtime_sees_every_altered_file(bundles: list[Path], tmp_path: Path, altered: str) -> None:
    device = local.connect(local.Config(tmp_path / "device"), "bench")
    rollout.deliver(device, bundles[0], keep=2)
    path = tmp_path / "device/current" / altered
    if altered.endswith(".py"):  # code that vouches for everything
        path.write_text("def selftest(folder): return {'ok': True, 'name': 'x', 'checks': [], 'modules': []}\n")
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    assert f"missing or altered: {altered}" in rollout.status(device).health


@pytest.mark.thorough
def test_a_file_of_nobody_among_those_that_run_is_seen(bundles: list[Path], tmp_path: Path) -> None:
    device = local.connect(local.Config(tmp_path / "device"), "bench")
    rollout.deliver(device, bundles[0], keep=2)
    (tmp_path / "device/current/numpy.py").write_text("import antigravity")
    assert line_with(rollout.status(device).health, "foreign files", "not in the manifest: numpy.py")
