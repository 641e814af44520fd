"""Deliveries to a local device, with the real runtime in fresh processes."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DeviceError
from stages.push import bundle, identity, rollout, signing
from stages.push.transport import MakeRoom, Transport
from stages.push.transports import local
from stages.push.transports.local import LocalTransport
from stages.runtime import trust


def releases(device: LocalTransport) -> list[str]:
    return [name.partition("-")[2] for name in device.names("releases")]


def current(device: LocalTransport) -> str:
    target = device.read_link("current")
    assert target is not None
    return target.partition("-")[2]


def folder_of(device: LocalTransport) -> Path:
    return device._folder


def forge(source: Path, target: Path, change: Callable[[Path], None]) -> Path:
    """Copy a release, change a file of it, and make the manifest agree, as a mistake at home would."""
    shutil.copytree(source, target)
    change(target)
    manifest = files.read_json(target / "manifest.json")
    manifest["files"] = {path: files.sha256(target / path) for path in manifest["files"]}
    files.write_json(target / "manifest.json", manifest)
    return target


class Tampering(LocalTransport):
    """A way to the device on which one file is altered."""

    def upload(self, source: Path, folder: str, *, make_room: MakeRoom | None = None) -> None:
        super().upload(source, folder, make_room=make_room)
        with (self._folder / folder / "model.tflite").open("r+b") as stream:
            stream.seek(-1, 2)
            last = stream.read(1)
            stream.seek(-1, 2)
            stream.write(bytes([last[0] ^ 1]))


class SickInPlace(LocalTransport):
    """A device on which a release answers aside but no longer once it is `current`."""

    sick_release = ""

    def run(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        if folder == "current" and current(self) == self.sick_release:
            return subprocess.CompletedProcess([], 1, "", "Traceback ...\nOSError: [Errno 5] Input/output error\n")
        return super().run(folder, arguments)


def test_first_push_installs_and_the_second_does_nothing(bundles: list[Path], device: LocalTransport) -> None:
    transport: Transport = device  # the class keeps the contract, says the type checker
    first = rollout.deliver(transport, bundles[0], keep=2)
    release = bundle.release_id(bundles[0])
    assert first == rollout.Delivery(release, files.sha256(bundles[0] / "model.tflite"), first.differences, True)
    assert list(first.differences) == [f"golden/{i}.wav" for i in range(4)]
    assert first.max_difference < 1e-6
    before = {p: p.lstat().st_mtime_ns for p in folder_of(device).rglob("*") if p.name != ".lock"}
    assert rollout.deliver(transport, bundles[0], keep=2) == replace(first, installed=False)
    assert {p: p.lstat().st_mtime_ns for p in folder_of(device).rglob("*") if p.name != ".lock"} == before


@pytest.mark.thorough
def test_three_classes(bundles: list[Path], device: LocalTransport) -> None:
    assert rollout.deliver(device, bundles[2], keep=2).max_difference < 1e-6
    (answer,) = rollout.classify(device, [str(bundles[2] / "golden/0.wav")])
    assert list(answer["scores"]) == ["negative", "positive", "unsure"]
    assert answer["label"] == max(answer["scores"], key=answer["scores"].get)


@pytest.mark.thorough
def test_push_roll_back_and_keep(bundles: list[Path], device: LocalTransport) -> None:
    a, b, _ = map(bundle.release_id, bundles)
    for folder in (bundles[0], bundles[1], bundles[0]):
        rollout.deliver(device, folder, keep=2, force=True)
    assert (releases(device), current(device)) == ([b, a], a)
    healthy = rollout.status(device)
    assert healthy.health == "healthy"
    assert healthy.differences == pytest.approx({f"golden/{i}.wav": 0.0 for i in range(4)}, abs=1e-6)
    assert rollout.rollback(device) == b
    assert (releases(device), current(device)) == ([b], b)
    assert rollout.status(device).model_sha256 == files.sha256(bundles[1] / "model.tflite")
    with pytest.raises(DeviceError, match="Device bench keeps no earlier release"):
        rollout.rollback(device)
    assert current(device) == b


def test_file_altered_on_the_way(bundles: list[Path], device: LocalTransport, tmp_path: Path) -> None:
    rollout.deliver(device, bundles[0], keep=2)
    tampering = Tampering(local.Config(folder_of(device)), "bench")
    with pytest.raises(DeviceError, match=r"bench refuses .*missing or altered: model.tflite"):
        rollout.deliver(tampering, bundles[1], keep=2)
    assert current(device) == bundle.release_id(bundles[0])
    assert rollout.status(device).health == "healthy"
    rollout.deliver(device, bundles[1], keep=2)
    assert device.names("aside") == []


@pytest.mark.thorough
def test_an_older_release_unless_forced(bundles: list[Path], device: LocalTransport) -> None:
    rollout.deliver(device, bundles[1], keep=2)
    with pytest.raises(DeviceError, match=r"version 1, older than version 2"):
        rollout.deliver(device, bundles[0], keep=2)
    assert current(device) == bundle.release_id(bundles[1])
    assert rollout.deliver(device, bundles[0], keep=2, force=True).installed


@pytest.mark.thorough
def test_after_a_rollback_what_was_left_is_taken_again(bundles: list[Path], device: LocalTransport) -> None:
    for release in bundles[:2]:
        rollout.deliver(device, release, keep=2)
    rollout.rollback(device)
    assert rollout.deliver(device, bundles[1], keep=2).installed


@pytest.mark.thorough
def test_a_device_that_trusts_a_key(
    selections: list[Path], bundles: list[Path], device: LocalTransport, tmp_path: Path
) -> None:
    public = signing.new_key(tmp_path / "key")
    assert identity.trust_key(device, public) == [trust.fingerprint(public)]
    with pytest.raises(DeviceError, match=r"refuses release .*the release is unsigned"):
        rollout.deliver(device, bundles[0], keep=2)
    bundle.build(tmp_path / "signed", selected=selections[0], version=1, key=tmp_path / "key")
    assert rollout.deliver(device, tmp_path / "signed", keep=2).installed
    assert rollout.status(device).signed_by == trust.fingerprint(public)
    (folder_of(device) / "current/manifest.sig").unlink()
    assert rollout.status(device).signed_by.startswith("the release is unsigned")
    assert identity.trust_key(device, public) == [trust.fingerprint(public)]


@pytest.mark.thorough
def test_a_device_of_another_class(selections: list[Path], device: LocalTransport, tmp_path: Path) -> None:
    bundle.build(tmp_path / "b", selected=selections[0], version=1, device_class="jetson")
    identity.identify(device, "bench", "raspberry-pi")
    with pytest.raises(DeviceError, match=r"class jetson, .*class rasp"):
        rollout.deliver(device, tmp_path / "b", keep=2)
    identity.identify(device, "bench", "jetson")
    assert rollout.deliver(device, tmp_path / "b", keep=2).installed


@pytest.mark.thorough
def test_the_code_that_comes_in_has_no_say(bundles: list[Path], device: LocalTransport, tmp_path: Path) -> None:
    def take_anything(release: Path) -> None:
        with (release / "stages/runtime/trust.py").open("a") as stream:
            stream.write("\ndef accept(*_, **__): return {'ok': True}\n")
        manifest = files.read_json(release / "manifest.json")
        files.write_json(release / "manifest.json", manifest | {"version": manifest["version"] - 1})

    identity_before = bundle.release_id(bundles[1])
    rollout.deliver(device, bundles[1], keep=2)
    forged = forge(bundles[1], tmp_path / "forged", take_anything)
    with pytest.raises(DeviceError, match=r"version \d+, older than version \d+"):
        rollout.deliver(device, forged, keep=2)
    assert current(device) == identity_before


@pytest.mark.parametrize(
    "stderr",
    ["ModuleNotFoundError: No module named 'stages'", "error: argument: invalid choice: 'accept' (choose from"],
)
def test_a_device_whose_own_runtime_is_missing_or_too_old(bundles: list[Path], tmp_path: Path, stderr: str) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "{stderr}" >&2\nexit 1\n')
    python.chmod(0o755)
    device = local.connect(local.Config(tmp_path / "device", python=str(python)), "bench")
    with pytest.raises(DeviceError, match=r"bench .*no runtime .*`edac devices set"):
        rollout.deliver(device, bundles[0], keep=2)


def test_other_scores_than_at_home(bundles: list[Path], device: LocalTransport, tmp_path: Path) -> None:
    def swap_models(release: Path) -> None:
        shutil.copyfile(bundles[1] / "model.tflite", release / "model.tflite")

    forged = forge(bundles[0], tmp_path / "forged", swap_models)
    with pytest.raises(DeviceError, match=r"golden/0\.wav: scores differ by .* 0\.005 allowed"):
        rollout.deliver(device, forged, keep=2)
    assert rollout.status(device) == rollout.Status("", "", "", "holds no release")


@pytest.mark.parametrize("module", ["tensorflow", "stages.core.project.files"])
def test_a_release_that_needs_what_home_has(
    bundles: list[Path], device: LocalTransport, tmp_path: Path, module: str
) -> None:
    def import_it(release: Path) -> None:
        with (release / "stages/runtime/selftest.py").open("a") as stream:
            stream.write(f"\nimport {module}\n")

    forged = forge(bundles[0], tmp_path / "forged", import_it)
    with pytest.raises(DeviceError, match="is not on a device"):
        rollout.deliver(device, forged, keep=2)
    assert device.names("releases") == []


@pytest.mark.thorough
def test_failing_health_check_returns_to_the_release_before(bundles: list[Path], tmp_path: Path) -> None:
    device = SickInPlace(local.Config(tmp_path / "device"), "bench")
    a, b, _ = map(bundle.release_id, bundles)
    device.sick_release = a
    with pytest.raises(DeviceError, match=r"Input/output error.*back on no release"):
        rollout.deliver(device, bundles[0], keep=2)
    assert device.read_link("current") is None
    device.sick_release = b
    rollout.deliver(device, bundles[0], keep=2)
    with pytest.raises(DeviceError, match=rf"{b} .*Input/output error.*back on {a}"):
        rollout.deliver(device, bundles[1], keep=2)
    assert (releases(device), current(device)) == ([a], a)


class Optimist(LocalTransport):
    """A device that passes every self-test, whatever its scores."""

    def run(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        if "selftest" in arguments:
            return subprocess.CompletedProcess([], 0, '{"ok": true}\n', "")
        return super().run(folder, arguments)


def test_scores_are_compared_at_home_too(bundles: list[Path], tmp_path: Path) -> None:
    def swap_models(release: Path) -> None:
        shutil.copyfile(bundles[1] / "model.tflite", release / "model.tflite")

    device = Optimist(local.Config(tmp_path / "device"), "bench")
    with pytest.raises(DeviceError, match=r"bench .*differ by .*back on no"):
        rollout.deliver(device, forge(bundles[0], tmp_path / "forged", swap_models), keep=2)


@pytest.mark.thorough
def test_damaged_current_release_is_told_and_installed_again(bundles: list[Path], device: LocalTransport) -> None:
    release = bundle.release_id(bundles[0])
    rollout.deliver(device, bundles[0], keep=2)
    (folder_of(device) / "current/model.tflite").write_bytes(b"")
    assert "missing or altered: model.tflite" in rollout.status(device).health
    assert rollout.deliver(device, bundles[0], keep=2).installed
    assert rollout.status(device).health == "healthy"
    assert releases(device) == [release, release]
    with pytest.raises(DeviceError, match="keeps no earlier release"):  # the damaged one is none to return to
        rollout.rollback(device)


@pytest.mark.thorough
def test_unsigned_release_is_signed_by_the_next_push(
    bundles: list[Path], selections: list[Path], device: LocalTransport, tmp_path: Path
) -> None:
    rollout.deliver(device, bundles[0], keep=2)
    identity.trust_key(device, signing.new_key(tmp_path / "key"))
    with pytest.raises(DeviceError, match=r"unsigned, .*only signed"):
        rollout.deliver(device, bundles[0], keep=2)
    signed = tmp_path / "signed"
    bundle.build(signed, selected=selections[0], version=1, key=tmp_path / "key")
    assert bundle.release_id(signed) == bundle.release_id(bundles[0])
    assert rollout.deliver(device, signed, keep=2).installed
    assert rollout.status(device).signed_by == trust.fingerprint(signing.public_key(tmp_path / "key"))
    assert not rollout.deliver(device, signed, keep=2).installed


@pytest.mark.thorough
def test_altered_manifest_is_noticed(bundles: list[Path], device: LocalTransport) -> None:
    rollout.deliver(device, bundles[0], keep=2)
    path = folder_of(device) / "current/manifest.json"
    path.write_text(path.read_text().replace('"threshold": 0.5', '"threshold": 0.9'))
    assert "manifest.json was altered" in rollout.status(device).health
    assert rollout.deliver(device, bundles[0], keep=2).installed


@pytest.mark.thorough
def test_classify_answers_per_file_and_then_complains(bundles: list[Path], device: LocalTransport) -> None:
    rollout.deliver(device, bundles[0], keep=2)
    golden = str(bundles[0] / "golden/0.wav")
    answers = rollout.classify(device, [golden, "/no/such.wav"])
    assert next(answers)["file"] == golden
    assert next(answers)["ok"] is False
    with pytest.raises(DeviceError, match=r"bench: 1 of 2 files .*/no/such.wav"):
        next(answers)


@pytest.mark.thorough
def test_full_disk(bundles: list[Path], device: LocalTransport) -> None:
    rollout.deliver(device, bundles[0], keep=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(DeviceError, match=r"bench .*written .*File too large"):
            rollout.deliver(device, bundles[1], keep=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert current(device) == bundle.release_id(bundles[0])
    assert rollout.deliver(device, bundles[1], keep=2).installed


def test_folder_that_cannot_be(bundles: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    device = local.connect(local.Config(tmp_path / "file" / "device"), "bench")
    with pytest.raises(DeviceError, match=r"bench .*file/device \(Not a directory\)"):
        rollout.deliver(device, bundles[0], keep=2)


def test_a_push_at_a_time(bundles: list[Path], device: LocalTransport) -> None:
    with device.lock(), pytest.raises(DeviceError, match="bench is held by another push"):
        rollout.deliver(device, bundles[0], keep=2)
    assert device.names("") == [".lock"]


def test_device_without_python(bundles: list[Path], tmp_path: Path) -> None:
    device = local.connect(local.Config(tmp_path / "device", python="/no/python"), "bench")
    with pytest.raises(DeviceError, match=r"bench cannot run /no/python \(No such file"):
        rollout.deliver(device, bundles[0], keep=2)
    assert rollout.status(device).health == "holds no release"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exec sleep 60", "Device bench gave no answer within 0.3 s"),
        ("echo hello", r"bench .*not JSON: 'hello"),
        ("exit 3", "Device bench refuses release .* \\(exit code 3\\)"),
        ("true", "Device bench refuses release .* \\(exit code 0\\)"),
    ],
)
def test_device_that_answers_nonsense(bundles: list[Path], tmp_path: Path, script: str, sentence: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    device = local.connect(local.Config(tmp_path / "device", python=str(python), timeout_s=0.3), "bench")
    with pytest.raises(DeviceError, match=sentence):
        rollout.deliver(device, bundles[0], keep=2)
    assert device.read_link("current") is None
