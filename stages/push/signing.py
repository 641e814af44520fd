"""Ed25519 signatures of releases: the private key stays at home, outside the repository; devices hold the public one.

A private key is a file in PEM (PKCS #8, not encrypted) that its owner alone may read; what is signed are the bytes of
`manifest.json`, which holds the sha256 of every other file. Devices verify it in `stages.runtime.trust`.
"""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stages.core.project import files
from stages.core.project.errors import ParameterError
from stages.runtime import storage, trust
from stages.runtime.errors import RuntimeInputError

ENVIRONMENT = "EDAC_SIGNING_KEY"


def new_key(path: Path) -> bytes:
    """Make a key pair.

    Parameters
    ----------
    path : Path
        Becomes the private key, mode 0600; the public key becomes ``<path>.pub``, one line of base64. Outside of any
        git repository.

    Returns
    -------
    bytes
        The public key, 32 bytes.

    Raises
    ------
    ParameterError
        If either file exists already, or the folder does not or lies in a git repository.
    """
    _require_outside_git(path)
    public_path = path.with_name(f"{path.name}.pub")
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise ParameterError(f"{existing} exists, and a key is never overwritten. Give another path.")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ParameterError(f"{path} cannot be made ({error.strerror}). Give a path in a folder of yours.") from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(pem)
    public = _raw(key)
    files.write_text(public_path, trust.encode(public) + "\n")
    return public


def sign(content: bytes, key: Path) -> bytes:
    """Return the signature of `content`, 64 bytes, the same each time (RFC 8032, section 5.1.6).

    Raises
    ------
    ParameterError
        If `key` is not a private key that its owner alone may read, or lies in a git repository.
    """
    return _load(key).sign(content)


def public_key(key: Path) -> bytes:
    """Return the public key, 32 bytes, of a private key's file or of a public key's.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if key.suffix != ".pub":
        return _raw(_load(key))
    try:
        return trust.decode(storage.read(key).decode(errors="replace"), trust.KEY_BYTES, str(key))
    except OSError as error:
        raise ParameterError(f"{key} cannot be read ({error.strerror}). Give the path of a public key.") from None
    except RuntimeInputError as error:
        raise ParameterError(str(error)) from None


def key_path(parameter: Path | None) -> Path | None:
    """Return the private key's file: what the environment's EDAC_SIGNING_KEY names, else `parameter`; None for none."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else parameter


def _load(path: Path) -> Ed25519PrivateKey:
    _require_outside_git(path)
    try:
        pem, mode = storage.read(path), path.stat().st_mode & 0o777
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        advice = "Make one with `edac keys new`." if absent else "Give the path of a file that you may read."
        raise ParameterError(f"The signing key {path} cannot be read ({error.strerror}). {advice}") from None
    if mode & 0o077:
        raise ParameterError(
            f"The signing key {path} must be its owner's alone; got mode {mode:o}. Run `chmod 600` on it."
        )
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ParameterError(
            f"The signing key {path} must be an Ed25519 private key in PEM, not encrypted. Make one with "
            "`edac keys new`."
        )
    return key


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _require_outside_git(path: Path) -> None:
    for folder in path.resolve().parents:
        if (folder / ".git").exists():
            raise ParameterError(
                f"The signing key {path} must lie outside of the git repository {folder}, where it would get into a "
                "commit one day. Give a path such as ~/.config/edac/signing.pem."
            )
