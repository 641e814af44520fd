"""Keys that a device trusts, and the text in which keys and signatures are written.

trusted_keys/*.pub   Ed25519 public keys (RFC 8032), one line of base64 each
"""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

from stages.runtime.errors import RuntimeInputError
from stages.runtime.lines import Line
from stages.runtime.storage import read, write

TRUSTED_KEYS = "trusted_keys"
KEY_BYTES, SIGNATURE_BYTES = 32, 64  # RFC 8032, section 5.1


def add_key(device: Path, key: str) -> Line:
    """Make a device trust one more public key; from the first on it takes signed releases only.

    Parameters
    ----------
    device : Path
        The device's folder.
    key : str
        Base64 of its 32 bytes.

    Returns
    -------
    dict
        ``ok`` and ``trusted``, the fingerprints of all keys.

    Raises
    ------
    RuntimeInputError
        If it is no key, or the device could not check its signatures.
    """
    public = decode(key, KEY_BYTES, "the key")
    ed25519()
    write(device / TRUSTED_KEYS / f"{fingerprint(public)}.pub", encode(public) + "\n", device)
    return {"ok": True, "trusted": sorted(trusted_keys(device) or ())}


def remove_key(device: Path, name: str) -> Line:
    """Make a device stop trusting a public key. It goes on asking for signatures, also after the last key.

    Parameters
    ----------
    device : Path
        The device's folder.
    name : str
        The key's fingerprint.

    Returns
    -------
    dict
        ``ok``; ``removed``, whether it was trusted; ``trusted``, the fingerprints of the keys that are left.

    Raises
    ------
    RuntimeInputError
        If its file cannot be removed.
    """
    found = [path for path, key in _files(device).items() if fingerprint(key) == name]
    try:
        for path in found:
            path.unlink()
        os.sync()
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be removed ({error.strerror}). Correct its permissions.") from None
    return {"ok": True, "removed": bool(found), "trusted": sorted(trusted_keys(device) or ())}


def trusted_keys(device: Path) -> dict[str, bytes] | None:
    """Return the public keys by fingerprint, sorted; None if the device does not ask for signatures.

    Raises
    ------
    RuntimeInputError
        If they cannot be read, or one is no key.
    """
    folder = device / TRUSTED_KEYS
    if not os.path.lexists(folder):
        return None
    return dict(sorted((fingerprint(key), key) for key in _files(device).values()))


def encode(raw: bytes) -> str:
    """Return a key or a signature as text: one line of base64.

    Examples
    --------
    >>> encode(b"edac")
    'ZWRhYw=='
    """
    return base64.b64encode(raw).decode()


def decode(text: str, size: int, owner: str) -> bytes:
    """Return the bytes of a key or a signature that is text.

    Parameters
    ----------
    text : str
        One line of base64.
    size : int
        Number of bytes it must hold.
    owner : str
        Name in the message.

    Raises
    ------
    RuntimeInputError
        If it is not that.

    Examples
    --------
    >>> decode("ZWRhYw==", 4, "the key")
    b'edac'
    """
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise RuntimeInputError(f"{owner} must be base64 of {size} bytes, on one line. Make it with `edac keys new`.")
    return raw


def fingerprint(public_key: bytes) -> str:
    """Return the name of a public key: the first 16 hexadecimal digits of the sha256 of its 32 bytes.

    Examples
    --------
    >>> fingerprint(bytes(32))
    '66687aadf862bd77'
    """
    return hashlib.sha256(public_key).hexdigest()[:16]


def ed25519() -> tuple[Any, type[Exception]]:
    """Return the class that verifies signatures, and what it raises; only devices that trust keys need it.

    Raises
    ------
    RuntimeInputError
        If the device has no `cryptography`.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise RuntimeInputError(
            f"this device cannot check signatures ({error}). Install cryptography: `edac devices setup`."
        ) from None
    return Ed25519PublicKey, InvalidSignature


def _files(device: Path) -> dict[Path, bytes]:
    folder, found = device / TRUSTED_KEYS, {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".pub")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RuntimeInputError(f"{folder} cannot be read ({error.strerror}). Correct its permissions.") from None
    for path in paths:
        try:
            found[path] = decode(read(path).decode(errors="replace"), KEY_BYTES, str(path))
        except OSError as error:
            raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). Correct its permissions.") from None
    return found
