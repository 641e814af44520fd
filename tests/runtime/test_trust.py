"""What a device takes and what it refuses, sentence by sentence."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stages.runtime import trust
from stages.runtime.errors import RuntimeInputError

OURS, THEIRS = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))

Alter = Callable[..., None]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(release: Path, key: Ed25519PrivateKey = OURS) -> None:
    signature = key.sign((release / "manifest.json").read_bytes())
    (release / "manifest.sig").write_text(trust.encode(signature) + "\n")


def trust_key(device: Path, key: Ed25519PrivateKey = OURS) -> None:
    trust.add_key(device, trust.encode(public(key)))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device that asks for no signature and runs nothing yet."""
    folder = tmp_path / "device"
    folder.mkdir()
    return folder


@pytest.fixture
def run_it(release: Path, device: Path) -> Callable[[], None]:
    """Return a function that makes a copy of the release the one that runs."""

    def run() -> None:
        name = f"releases/0001-{trust.release_id((release / 'manifest.json').read_bytes())}"
        shutil.copytree(release, device / name)
        (device / "current").unlink(missing_ok=True)
        (device / "current").symlink_to(name)

    return run


def test_an_unsigned_release_is_taken_where_no_signature_is_asked_for(release: Path, device: Path) -> None:
    answer = trust.accept(release, device)
    assert answer == {
        "ok": True,
        "release": trust.release_id((release / "manifest.json").read_bytes()),
        "name": "tiny",
        "version": 1,
        "signed_by": None,
    }


def test_a_release_signed_by_any_trusted_key_is_taken(release: Path, device: Path) -> None:
    for key in (OURS, THEIRS):
        trust_key(device, key)
    for key in (OURS, THEIRS):
        sign(release, key)
        assert trust.accept(release, device)["signed_by"] == trust.fingerprint(public(key))


def test_keys_are_added_once_and_named_by_their_fingerprint(device: Path) -> None:
    for key in (OURS, THEIRS, OURS):
        trust_key(device, key)
    expected = sorted(trust.fingerprint(public(key)) for key in (OURS, THEIRS))
    assert sorted(path.stem for path in (device / "trusted_keys").iterdir()) == expected
    assert trust.add_key(device, trust.encode(public(OURS)))["trusted"] == expected
    assert [path.name for path in device.iterdir()] == ["trusted_keys"]  # nothing half-written is left


@pytest.mark.parametrize("text", ["", "hello", "AAAA", trust.encode(bytes(31)), trust.encode(bytes(32)) + "="])
def test_what_is_no_key_is_not_trusted(device: Path, text: str) -> None:
    with pytest.raises(RuntimeInputError, match=r"key .*base64 of 32 bytes"):
        trust.add_key(device, text)
    assert list(device.iterdir()) == []


def test_a_device_is_told_what_it_is(device: Path) -> None:
    assert trust.identify(device, "attic", "jetson") == {"ok": True, "name": "attic", "class": "jetson"}
    assert json.loads((device / "device.json").read_text()) == {"name": "attic", "class": "jetson"}
    with pytest.raises(RuntimeInputError, match=r"the class must .*got 'Jet Son'"):
        trust.identify(device, "attic", "Jet Son")
    with pytest.raises(RuntimeInputError, match=r"device.json .*\(No such file"):
        trust.identify(device / "none", "attic", "any")
    assert [path.name for path in device.iterdir()] == ["device.json"]


def refused(release: Path, device: Path, sentence: str, *, force: bool = True) -> None:
    """Expect a refusal, by default even if forced."""
    with pytest.raises(RuntimeInputError, match=sentence):
        trust.accept(release, device, force=force)


def test_an_unsigned_release(release: Path, device: Path) -> None:
    trust_key(device)
    refused(release, device, r"^the release is unsigned, and this device takes only signed ones. Name the key in push")


def test_a_key_that_is_not_trusted(release: Path, device: Path) -> None:
    trust_key(device)
    sign(release, THEIRS)
    refused(release, device, rf"signed with a key that .* not trust; it trusts {trust.fingerprint(public(OURS))}\.")


def test_a_manifest_altered_after_it_was_signed(release: Path, device: Path, alter: Alter) -> None:
    trust_key(device)
    sign(release)
    alter(threshold=0.1)
    refused(release, device, "manifest.json was altered, or signed with a key")


def test_the_signature_is_checked_before_anything_is_read(release: Path, device: Path) -> None:
    trust_key(device)
    (release / "manifest.json").write_text("[" * 10**5)
    (release / "manifest.sig").write_text(trust.encode(bytes(64)))
    refused(release, device, "manifest.json was altered")
    sign(release)
    refused(release, device, "manifest.json is not JSON")


def test_a_file_altered_after_it_was_signed(release: Path, device: Path) -> None:
    trust_key(device)
    sign(release)
    (release / "golden/0.wav").unlink()
    with (release / "model.tflite").open("ab") as stream:
        stream.write(b"x")
    refused(release, device, r"^files are missing or altered: golden/0.wav, model.tflite. Push the release again.")


@pytest.mark.parametrize("flipped", range(0, 512, 37))
def test_every_bit_of_the_signature_counts(release: Path, device: Path, flipped: int) -> None:
    trust_key(device)
    signature = bytearray(OURS.sign((release / "manifest.json").read_bytes()))
    signature[flipped // 8] ^= 1 << flipped % 8
    (release / "manifest.sig").write_text(trust.encode(bytes(signature)))
    refused(release, device, "manifest.json was altered, or signed with a key")


@pytest.mark.parametrize("content", [b"", b"no", b"\xff\xfe", trust.encode(bytes(63)).encode(), bytes(64)])
def test_what_is_no_signature(release: Path, device: Path, content: bytes) -> None:
    trust_key(device)
    (release / "manifest.sig").write_bytes(content)
    refused(release, device, r"manifest.sig must be base64 of 64 bytes, on one line")


@pytest.mark.parametrize("left", ["nothing", "a readme", "a dangling link"])
def test_a_device_that_asks_for_signatures_and_trusts_nobody(release: Path, device: Path, left: str) -> None:
    sign(release)
    if left == "a dangling link":
        (device / "trusted_keys").symlink_to("gone")
    else:
        (device / "trusted_keys").mkdir()
        (device / "trusted_keys" / "README").write_text("x") if left == "a readme" else None
    refused(release, device, r"trusted_keys holds no key to trust. Run `edac devices trust`.")


def test_trusted_keys_that_cannot_be_read(release: Path, device: Path) -> None:
    sign(release)
    (device / "trusted_keys").write_text("")
    refused(release, device, r"trusted_keys cannot be read \(Not a directory\)")


def test_a_spoilt_trusted_key_is_not_passed_over(release: Path, device: Path) -> None:
    trust_key(device)
    sign(release)
    (device / "trusted_keys/0.pub").write_text("hello")
    refused(release, device, r"trusted_keys/0.pub must be base64 of 32 bytes")
    (device / "trusted_keys/0.pub").unlink()
    (device / "trusted_keys/0.pub").symlink_to("gone")
    refused(release, device, r"trusted_keys/0.pub cannot be read \(No such file or directory\)")


def test_without_cryptography_nothing_is_taken_where_signatures_are_asked_for(
    release: Path, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust_key(device)
    sign(release)
    assert trust.accept(release, device)["ok"]
    for module in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    sentence = r"^this device cannot check signatures \(.*cryptography.*\). Install cryptography: `edac devices setup`."
    refused(release, device, sentence)
    with pytest.raises(RuntimeInputError, match=sentence):
        trust.add_key(device, trust.encode(bytes(32)))
    (tmp_path / "trustful").mkdir()
    assert trust.accept(release, tmp_path / "trustful")["ok"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../device.json", "golden/../../x", "manifest.sig", ".hidden"])
def test_a_path_that_leaves_the_folder(release: Path, device: Path, path: str) -> None:
    values = json.loads((release / "manifest.json").read_text())
    values["files"][path] = "0" * 64
    (release / "manifest.json").write_text(json.dumps(values))
    trust_key(device)
    sign(release)
    refused(release, device, "files must hold relative paths that stay in the folder")


def test_a_file_that_the_manifest_does_not_know(release: Path, device: Path) -> None:
    (release / "numpy.py").write_text("import antigravity")
    refused(release, device, r"^files are not in the manifest: numpy.py. Push the release again.")


def test_what_python_compiled_of_a_release_is_removed_and_nothing_else_beside_it(release: Path, device: Path) -> None:
    own = release / "stages/runtime/__pycache__/wav.cpython-311.pyc"
    own.parent.mkdir(exist_ok=True)
    own.write_bytes(b"another program")
    trust.accept(release, device)
    assert not own.exists()
    for name in ("nobody.cpython-311.pyc", "wav.txt"):
        other = own.with_name(name)
        other.touch()
        refused(release, device, rf"^files are not in the manifest: stages/runtime/__pycache__/{name}")
        assert other.exists()
        other.unlink()


@pytest.mark.parametrize("name", ["golden/0.wav", "numpy"])
def test_a_link_out_of_the_release(release: Path, device: Path, name: str) -> None:
    if (release / name).exists():
        shutil.move(release / name, device / "elsewhere")
    else:
        (device / "elsewhere").mkdir()
    (release / name).symlink_to(device / "elsewhere")
    refused(release, device, rf"^files are not in the manifest: {name}")


def test_an_empty_release(device: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none", device, r"none/manifest.json cannot be read \(No such file or directory\)")


@pytest.mark.parametrize(
    "mine, its, fits",
    [
        ("jetson", "jetson", True),
        ("jetson", "any", True),
        ("any", "jetson", True),
        (None, "jetson", True),
        ("jetson", "raspberry-pi", False),
    ],
)
def test_device_classes(release: Path, device: Path, alter: Alter, mine: str | None, its: str, fits: bool) -> None:
    alter(device_class=its)
    if mine is not None:
        (device / "device.json").write_text(json.dumps({"class": mine, "name": "d"}))
    if fits:
        assert trust.accept(release, device)["ok"]
    else:
        sentence = "^the release is for devices of class raspberry-pi, and this one is of class jetson. Set push.device"
        refused(release, device, sentence)


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"class": 1}', '{"class": "Jet Son"}', '{"class":', "[" * 10**5]
)
def test_a_device_that_does_not_know_its_class(release: Path, device: Path, content: str) -> None:
    (device / "device.json").write_text(content)
    refused(release, device, r"device.json does not say the device's class. Run `edac devices setup` again.")


def test_a_newer_version_and_the_very_same_release_are_taken(
    release: Path, device: Path, alter: Alter, run_it: Callable[[], None]
) -> None:
    run_it()
    assert trust.accept(release, device)["version"] == 1
    alter(version=2)
    assert trust.accept(release, device)["version"] == 2


def test_an_older_version_unless_forced(release: Path, device: Path, alter: Alter, run_it: Callable[[], None]) -> None:
    alter(version=10)
    run_it()
    alter(version=9)
    sentence = "^the release has version 9, older than version 10 that runs here. Push a newer one, or add --force."
    refused(release, device, sentence, force=False)
    assert trust.accept(release, device, force=True)["version"] == 9


def test_other_content_under_the_same_version(
    release: Path, device: Path, alter: Alter, run_it: Callable[[], None]
) -> None:
    """The same model with a newer runtime or another threshold is no step back."""
    run_it()
    alter(threshold=0.25)
    assert trust.accept(release, device)["ok"]


def test_file_times_have_no_say(release: Path, device: Path, alter: Alter, run_it: Callable[[], None]) -> None:
    import os

    alter(version=10)
    run_it()
    for future in (0, 2**32):
        for path in (*release.rglob("*"), release):
            os.utime(path, (future, future))
        assert trust.accept(release, device)["ok"]
    alter(version=9)
    for path in (*(device / "current").rglob("*"), *release.rglob("*")):
        os.utime(path, (0, 0))
    refused(release, device, "older than version 10", force=False)


def test_a_damaged_running_release_can_be_replaced_but_a_readable_version_still_counts(
    release: Path, device: Path, alter: Alter, run_it: Callable[[], None]
) -> None:
    alter(version=2)
    run_it()
    running = device / "current/manifest.json"
    whole = running.read_text()
    running.write_text(whole.replace('"threshold": 0.5', '"threshold": 9'))
    assert trust.accept(release, device)["ok"]  # what runs by name comes to heal what runs
    alter(version=1)
    refused(release, device, "older than version 2", force=False)
    for damage in (whole[:20], "[]", '{"version": "x"}'):
        running.write_text(damage)
        assert trust.accept(release, device)["ok"]
    running.unlink()
    assert trust.accept(release, device)["ok"]


def test_the_command(release: Path, device: Path) -> None:
    def runtime(*arguments: str) -> Any:
        command = [sys.executable, "-m", "stages.runtime", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    accept = ["accept", "--folder", str(release), "--device", str(device)]
    assert json.loads(runtime(*accept).stdout)["ok"]
    added = runtime("trust", trust.encode(public(OURS)), "--device", str(device))
    assert json.loads(added.stdout) == {"ok": True, "trusted": [trust.fingerprint(public(OURS))]}
    done = runtime(*accept, "--force")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the release is unsigned")
