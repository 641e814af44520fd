"""Whether a device takes a release: decided by the runtime it has already, never by the code that comes in.

In the device's folder
    trusted_keys/*.pub   Ed25519 public keys, one line of base64 each; without the folder, signatures are not asked for
    device.json          {"class": kind of device, "name": its name}; without it, releases for any class fit
    current              link to the release that runs, `releases/<number>-<release id>`
"""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError

CURRENT = "current"
TRUSTED_KEYS = "trusted_keys"
DEVICE = "device.json"
KEY_BYTES, SIGNATURE_BYTES = 32, 64  # RFC 8032, section 5.1


def accept(folder: Path, device: Path, *, force: bool = False) -> dict[str, Any]:
    """Decide whether a device takes a release; nothing in it is believed before its signature is checked.

    Clocks have no say: what is newer follows from the version alone.

    Parameters
    ----------
    folder : Path
        The release.
    device : Path
        The device's folder.
    force : bool
        Take a version below the running one. Nothing else can be forced.

    Returns
    -------
    dict
        ``ok``; ``release``, its id; ``name``; ``version``; ``signed_by``, the fingerprint of the trusted key, or None
        if the device asks for no signature.

    Raises
    ------
    RuntimeInputError
        If the device refuses it, with the reason.
    """
    content = _read(folder / manifest.NAME, "Push the release again.")
    signed_by = _signer(folder, content, device)
    incoming = manifest.decode(content, str(folder / manifest.NAME))
    _check_files(folder, incoming)
    _check_class(incoming, device)
    release = release_id(content)
    if not force:
        _check_version(incoming.version, release, device)
    return {
        "ok": True,
        "release": release,
        "name": incoming.name,
        "version": incoming.version,
        "signed_by": signed_by,
    }


def signer(folder: Path, device: Path) -> str | None:
    """Return the fingerprint of the trusted key that signed a release, None if the device asks for no signature.

    Raises
    ------
    RuntimeInputError
        If it asks for one, and there is none of a key that it trusts.
    """
    return _signer(folder, _read(folder / manifest.NAME, "Push the release again."), device)


def add_key(device: Path, key: str) -> dict[str, Any]:
    """Have a device trust a public key besides those it trusts; from the first on it takes signed releases only.

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
    _library()
    folder = device / TRUSTED_KEYS
    _write(folder / f"{fingerprint(public)}.pub", encode(public) + "\n", device)
    return {"ok": True, "trusted": sorted(_trusted_keys(device) or ())}


def identify(device: Path, name: str, device_class: str) -> dict[str, Any]:
    """Tell a device its name and class; from then on it refuses releases for another class than its own or "any".

    Parameters
    ----------
    device : Path
        The device's folder.
    name, device_class : str

    Returns
    -------
    dict
        ``ok``, ``name`` and ``class``.

    Raises
    ------
    RuntimeInputError
        If that is no class.
    """
    if not manifest.is_class(device_class):
        raise RuntimeInputError(f"the class must be {manifest.CLASS_RULE}; got {device_class!r}. Try raspberry-pi.")
    known = {"name": name, "class": device_class}
    _write(device / DEVICE, json.dumps(known, sort_keys=True) + "\n", device)
    return {"ok": True, **known}


def encode(raw: bytes) -> str:
    """Return a key or a signature as text: one line of base64."""
    return base64.b64encode(raw).decode()


def decode(text: str, size: int, owner: str) -> bytes:
    """Return the `size` bytes of a key or a signature that is text.

    Raises
    ------
    RuntimeInputError
        If it is not that; `owner` names it in the message.
    """
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise RuntimeInputError(f"{owner} must be base64 of {size} bytes, on one line. Make it with `edac keys new`.")
    return raw


def fingerprint(public_key: bytes) -> str:
    """Return what a public key is called: the first 16 hexadecimal digits of the sha256 of its 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def release_id(content: bytes) -> str:
    """Return what a release is called: the first 12 hexadecimal digits of the sha256 of its manifest."""
    return hashlib.sha256(content).hexdigest()[:12]


def _signer(folder: Path, content: bytes, device: Path) -> str | None:
    """Return the fingerprint of the trusted key that signed `content`, None if the device asks for no signature."""
    trusted = _trusted_keys(device)
    if trusted is None:
        return None
    if not trusted:
        raise RuntimeInputError(f"{device / TRUSTED_KEYS} holds no key to trust. Run `edac devices trust`.")
    path = folder / manifest.SIGNATURE
    if not path.is_file():
        raise RuntimeInputError(
            "the release is unsigned, and this device takes only signed ones. "
            "Name the key in push.signing_key or EDAC_SIGNING_KEY, then push again."
        )
    text = _read(path, "Push the release again.").decode(errors="replace")
    signature = decode(text, SIGNATURE_BYTES, str(path))
    ed25519, invalid_signature = _library()
    for name, key in trusted.items():
        try:
            ed25519.from_public_bytes(key).verify(signature, content)
        except invalid_signature:
            continue
        return name
    raise RuntimeInputError(
        f"manifest.json was altered, or signed with a key that this device does not trust; it trusts "
        f"{', '.join(trusted)}. Sign with such a key, or run `edac devices trust`."
    )


def _library() -> tuple[Any, type[Exception]]:
    """Return what verifies signatures, and what it raises; only devices that trust keys need it."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise RuntimeInputError(
            f"this device cannot check signatures ({error}). Install cryptography: `edac devices setup`."
        ) from None
    return Ed25519PublicKey, InvalidSignature


def _trusted_keys(device: Path) -> dict[str, bytes] | None:
    """Return the keys by fingerprint, sorted; None if the device does not ask for signatures."""
    folder = device / TRUSTED_KEYS
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".pub")
    except FileNotFoundError:
        if not folder.is_symlink():
            return None
        files = []
    except OSError as error:
        raise RuntimeInputError(f"{folder} cannot be read ({error.strerror}). Mend it.") from None
    read = [decode(_read(path, "Mend it.").decode(errors="replace"), KEY_BYTES, str(path)) for path in files]
    return dict(sorted((fingerprint(key), key) for key in read))


def _check_files(folder: Path, incoming: manifest.Manifest) -> None:
    damaged = manifest.damaged_files(folder, incoming)
    if damaged:
        raise RuntimeInputError(f"files are missing or altered: {', '.join(damaged)}. Push the release again.")
    known = {manifest.NAME, manifest.SIGNATURE, *incoming.files}
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    foreign = sorted(path for path, file in found.items() if path not in known or file.is_symlink())
    if foreign:
        raise RuntimeInputError(f"files are not in the manifest: {', '.join(foreign)}. Push the release again.")


def _check_class(incoming: manifest.Manifest, device: Path) -> None:
    mine = _device_class(device / DEVICE)
    if manifest.ANY_CLASS not in (mine, incoming.device_class) and mine != incoming.device_class:
        raise RuntimeInputError(
            f"the release is for devices of class {incoming.device_class}, and this one is of class {mine}. "
            "Set push.device_class to its class."
        )


def _device_class(path: Path) -> str:
    if not path.exists():
        return manifest.ANY_CLASS
    try:
        values = json.loads(_read(path, "Mend it."))
    except (ValueError, RecursionError):
        values = None
    found = values.get("class", manifest.ANY_CLASS) if isinstance(values, dict) else None
    if not isinstance(found, str) or not manifest.is_class(found):
        raise RuntimeInputError(f"{path} does not say the device's class. Run `edac devices setup` again.")
    return found


def _check_version(version: int, release: str, device: Path) -> None:
    running, running_version = _running(device)
    if release != running and running_version is not None and version < running_version:
        raise RuntimeInputError(
            f"the release has version {version}, older than version {running_version} that runs here. "
            "Push a newer one, or add --force."
        )


def _running(device: Path) -> tuple[str, int | None]:
    """Return id and version of the release that runs; no version if there is none, or none that can be read."""
    link = device / CURRENT
    if not link.is_symlink():
        return "", None
    running = link.readlink().name.rpartition("-")[2]
    try:
        values = json.loads((link / manifest.NAME).read_bytes())
    except (OSError, ValueError, RecursionError):  # damaged: whatever a trusted key signed may take its place
        return running, None
    version = values.get("version") if isinstance(values, dict) else None
    return running, version if isinstance(version, int) else None


def _write(path: Path, text: str, device: Path) -> None:
    """Write a file whole or not at all; its folder appears with it."""
    aside = device / f".{path.name}.aside"
    try:
        with aside.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        path.parent.mkdir(exist_ok=True)
        aside.replace(path)
        os.sync()  # what a device was told outlives a power cut
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be written ({error.strerror}). Mend the device's folder.") from None


def _read(path: Path, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). {advice}") from None
