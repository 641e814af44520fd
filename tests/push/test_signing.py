"""Keys and signatures; openssl and RFC 8032 are the oracles."""

import base64
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stages.core.project.errors import ParameterError
from stages.push import signing
from stages.runtime import trust

# RFC 8032, section 7.1, TEST 3: secret key, public key, message, signature.
SECRET = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
MESSAGE = "af82"
SIGNATURE = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)
PKCS8 = "302e020100300506032b657004220420"  # RFC 8410, section 7: what precedes the 32 bytes of a private key
SPKI = "302a300506032b6570032100"  # RFC 8410, section 4: what precedes those of a public key


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signing.new_key(tmp_path / "key")
    return tmp_path / "key"


def pem(prefix: str, raw: bytes, what: str) -> str:
    text = base64.b64encode(bytes.fromhex(prefix) + raw).decode()
    return f"-----BEGIN {what} KEY-----\n{text}\n-----END {what} KEY-----\n"


def test_a_new_key_is_its_owners_alone_and_its_public_half_lies_beside_it(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        public = signing.new_key(tmp_path / "key")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert (tmp_path / "key.pub").read_text() == base64.b64encode(public).decode() + "\n"
    assert signing.public_key(tmp_path / "key") == signing.public_key(tmp_path / "key.pub") == public
    assert signing.new_key(tmp_path / "another") != public


@pytest.mark.parametrize("existing", ["key", "key.pub"])
def test_no_key_is_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    with pytest.raises(ParameterError, match=rf"{existing} exists, and a key is never overwritten"):
        signing.new_key(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to("elsewhere")
    with pytest.raises(ParameterError, match="exists"):
        signing.new_key(tmp_path / "key")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none/key .*\(No such file"):
        signing.new_key(tmp_path / "none" / "key")


@pytest.mark.parametrize("git", ["folder", "file of a worktree"])
def test_no_key_in_a_repository(tmp_path: Path, key: Path, git: str) -> None:
    repository = tmp_path / "project"
    (repository / "deep").mkdir(parents=True)
    (repository / ".git").mkdir() if git == "folder" else (repository / ".git").write_text("gitdir: elsewhere")
    sentence = r"must lie outside of the git repository .*project, where it would get into a commit"
    with pytest.raises(ParameterError, match=sentence):
        signing.new_key(repository / "deep" / "key")
    assert list((repository / "deep").iterdir()) == []
    (tmp_path / "link").symlink_to(repository)
    with pytest.raises(ParameterError, match=sentence):
        signing.new_key(tmp_path / "link" / "key")
    shutil.copy(key, repository / "key")
    with pytest.raises(ParameterError, match=sentence):
        signing.sign(b"", repository / "key")


def test_a_signature_is_that_of_the_standard(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(pem(PKCS8, bytes.fromhex(SECRET), "PRIVATE"))
    assert signing.public_key(path).hex() == PUBLIC
    assert signing.sign(bytes.fromhex(MESSAGE), path).hex() == SIGNATURE


def test_openssl_verifies_what_was_signed_and_signs_the_same(key: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    (tmp_path / "message").write_bytes(b'{"schema": 2}\n')
    (tmp_path / "signature").write_bytes(signing.sign(b'{"schema": 2}\n', key))
    (tmp_path / "public.pem").write_text(pem(SPKI, signing.public_key(key), "PUBLIC"))

    def pkeyutl(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
        command = [openssl, "pkeyutl", "-rawin", "-in", "message", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)

    verify = ("-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "signature")
    assert pkeyutl(*verify).returncode == 0
    assert pkeyutl("-sign", "-inkey", "key").stdout == (tmp_path / "signature").read_bytes()
    (tmp_path / "message").write_bytes(b'{"schema": 3}\n')
    assert pkeyutl(*verify).returncode != 0


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_private_key_that_others_may_touch(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(ParameterError, match=rf"owner's .*mode {mode:o}\..*`chmod 600`"):
        signing.sign(b"", key)


@pytest.mark.parametrize("content", ["", "no key", "a public key", "an RSA key", "an encrypted key"])
def test_what_is_no_private_key(tmp_path: Path, key: Path, content: str) -> None:
    path = tmp_path / "other"
    path.touch(0o600)
    if content == "a public key":
        path.write_text(pem(SPKI, bytes.fromhex(PUBLIC), "PUBLIC"))
    elif content == "an RSA key":
        rsa = generate_private_key(65537, 2048)
        path.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    elif content == "an encrypted key":
        from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key

        loaded = load_pem_private_key(key.read_bytes(), None)
        path.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    else:
        path.write_text(content)
    with pytest.raises(ParameterError, match="Ed25519 private key in PEM"):
        signing.sign(b"", path)


def test_no_file_and_no_public_key(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"signing key .*none .*\(No such file"):
        signing.sign(b"", tmp_path / "none")
    with pytest.raises(ParameterError, match=r"none.pub .*\(No such file"):
        signing.public_key(tmp_path / "none.pub")
    (tmp_path / "x.pub").write_text("ssh-ed25519 AAAA")
    with pytest.raises(ParameterError, match=r"x.pub must be base64 of 32 bytes"):
        signing.public_key(tmp_path / "x.pub")


def test_the_environment_goes_before_the_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDAC_SIGNING_KEY", raising=False)
    assert signing.key_path(None) is None
    assert signing.key_path(Path("a")) == Path("a")
    monkeypatch.setenv("EDAC_SIGNING_KEY", "/b")
    assert signing.key_path(Path("a")) == Path("/b")


def test_a_fingerprint_is_a_digest_of_the_public_key(key: Path) -> None:
    done = subprocess.run(["sha256sum"], input=signing.public_key(key), capture_output=True, check=True)
    assert trust.fingerprint(signing.public_key(key)) == done.stdout.decode()[:16]
