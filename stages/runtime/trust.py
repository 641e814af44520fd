"""Decide whether a device takes a release: by the runtime it has already, never by the code that comes in.

In the device's folder
    trusted_keys/*.pub   public keys, see `stages.runtime.keys`; without the folder, signatures are not asked for
    device.json          {"class": kind of device, "name": its name}; without it, releases for any class fit
    current              link to the release that runs, `releases/<number>-<release id>`
    accepted.json        {registered model: highest version that ever ran here}
"""

import contextlib
import datetime
import json
import os
from pathlib import Path

from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError
from stages.runtime.keys import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    TRUSTED_KEYS,
    add_key,
    decode,
    ed25519,
    encode,
    fingerprint,
    remove_key,
    trusted_keys,
)
from stages.runtime.lines import Check, Line
from stages.runtime.storage import read, write
from stages.runtime.versions import CURRENT, check_version, release_id, remember

__all__ = [
    "CURRENT",
    "KEY_BYTES",
    "SIGNATURE_BYTES",
    "TRUSTED_KEYS",
    "accept",
    "add_key",
    "decode",
    "encode",
    "fingerprint",
    "identify",
    "release_id",
    "remember",
    "remove_key",
    "signer",
    "trusted_keys",
    "verify",
]

DEVICE = "device.json"
CLOCK_IS_SET = "2025-01-01"
"""No release is older; a clock that says less was never set, as after a power cut without a battery."""


def accept(folder: Path, device: Path, *, force: bool = False, today: str | None = None) -> Line:
    """Decide whether a device takes a release; nothing in it is believed before its signature is checked.

    The version alone says which of two releases of a model is newer. The day counts only for a release that states a
    last one (`not_after`): it is the later one of the device's clock and `today`, so that a clock that was never set,
    or was set back, neither stops a push nor keeps an expired release alive.

    Parameters
    ----------
    folder : Path
        The release.
    device : Path
        The device's folder.
    force : bool
        Take a version below the highest one that ran here. Nothing else can be forced.
    today : str or None
        The day at home, ``YYYY-MM-DD``, where home asks: it comes over the connection that both sides have verified.

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
    _check_expiry(incoming, today)
    release = release_id(content)
    if not force:
        check_version(incoming, release, device)
    return {
        "ok": True,
        "release": release,
        "name": incoming.name,
        "version": incoming.version,
        "signed_by": signed_by,
    }


def verify(folder: Path, device: Path, *, today: str | None = None) -> Line:
    """Check everything about the release that runs: signature, every file, last day, golden scores.

    Parameters
    ----------
    folder : Path
        The release.
    device : Path
        The device's folder.
    today : str or None
        As of `accept`.

    Returns
    -------
    dict
        As of `stages.runtime.selftest.selftest`, with the checks ``"signature"``, ``"foreign files"`` and ``"expiry"``
        before its own; ``release``, ``version``, ``model_sha256`` and ``signed_by``; ``drift``, as of
        `stages.runtime.drift.report`, from the counters that ``listen --keep`` and ``classify --keep`` leave there.

    Raises
    ------
    RuntimeInputError
        If its manifest is not valid.
    """
    from stages.runtime import drift  # LiteRT: `install` does without
    from stages.runtime.selftest import selftest

    content = _read(folder / manifest.NAME, "Push the release again.")
    release = manifest.decode(content, str(folder / manifest.NAME))
    signed_by = None
    checks: list[Check] = []
    for name in ("signature", "foreign files", "expiry"):
        try:
            if name == "signature":
                signed_by = _signer(folder, content, device)
            elif name == "foreign files":
                _check_foreign(folder, release)
            else:
                _check_expiry(release, today)
        except RuntimeInputError as error:
            checks.append({"check": name, "ok": False, "detail": str(error)})
        else:
            checks.append({"check": name, "ok": True, "detail": "nothing to object to"})
    tested = selftest(folder)
    checks += tested["checks"]
    return tested | {
        "ok": all(check["ok"] for check in checks),
        "checks": checks,
        "release": release_id(content),
        "drift": drift.report(folder, device / drift.KEPT, release_id(content)),
        "version": release.version,
        "model_sha256": release.files[manifest.MODEL],
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


def identify(device: Path, name: str, device_class: str) -> Line:
    """Set the name and class of a device; from then on it refuses releases for another class than its own or "any".

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
    write(device / DEVICE, json.dumps(known, sort_keys=True) + "\n", device)
    return {"ok": True, **known}


def _signer(folder: Path, content: bytes, device: Path) -> str | None:
    """Return the fingerprint of the trusted key that signed `content`, None if the device asks for no signature."""
    trusted = trusted_keys(device)
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
    verifier, invalid_signature = ed25519()
    for name, key in trusted.items():
        try:
            verifier.from_public_bytes(key).verify(signature, content)
        except invalid_signature:
            continue
        return name
    raise RuntimeInputError(
        f"manifest.json was altered, or signed with a key that this device does not trust; it trusts "
        f"{', '.join(trusted)}. Sign with such a key, or run `edac devices trust`."
    )


def _check_files(folder: Path, incoming: manifest.Manifest) -> None:
    damaged = manifest.damaged_files(folder, incoming)
    if damaged:
        raise RuntimeInputError(f"files are missing or altered: {', '.join(damaged)}. Push the release again.")
    _check_foreign(folder, incoming)


def _check_foreign(folder: Path, incoming: manifest.Manifest) -> None:
    _remove_caches(folder, incoming)
    known = {manifest.NAME, manifest.SIGNATURE, *incoming.files}
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    foreign = sorted(path for path, file in found.items() if path not in known or file.is_symlink())
    if foreign:
        raise RuntimeInputError(f"files are not in the manifest: {', '.join(foreign)}. Push the release again.")


def _remove_caches(folder: Path, incoming: manifest.Manifest) -> None:
    """Remove what Python compiled of a release's own files: it runs in their place, and no manifest vouches for it."""
    for cache in folder.rglob("__pycache__/*.pyc"):
        source = cache.parent.parent.relative_to(folder) / f"{cache.name.partition('.')[0]}.py"
        if source.as_posix() in incoming.files and not cache.is_symlink() and not cache.parent.is_symlink():
            with contextlib.suppress(OSError):  # of a read-only folder: it is then named as foreign
                cache.unlink()


def _check_class(incoming: manifest.Manifest, device: Path) -> None:
    mine = _device_class(device / DEVICE)
    if manifest.ANY_CLASS not in (mine, incoming.device_class) and mine != incoming.device_class:
        raise RuntimeInputError(
            f"the release is for devices of class {incoming.device_class}, and this one is of class {mine}. "
            "Set push.device_class to its class."
        )


def _device_class(path: Path) -> str:
    if not os.path.lexists(path):
        return manifest.ANY_CLASS
    try:
        values = json.loads(_read(path, "Correct its permissions."))
    except (ValueError, RecursionError):
        values = None
    found = values.get("class", manifest.ANY_CLASS) if isinstance(values, dict) else None
    if not isinstance(found, str) or not manifest.is_class(found):
        raise RuntimeInputError(f"{path} does not say the device's class. Run `edac devices setup` again.")
    return found


def _check_expiry(incoming: manifest.Manifest, today: str | None) -> None:
    if today is not None and not manifest.is_day(today):
        raise RuntimeInputError(f"the day at home must be YYYY-MM-DD; got {today!r}. Set the clock there.")
    clock = datetime.datetime.now(datetime.UTC).date().isoformat()
    day = max(clock, today or clock)
    if incoming.not_after is None or CLOCK_IS_SET <= day <= incoming.not_after:
        return
    if day < CLOCK_IS_SET:
        raise RuntimeInputError(
            f"the release is good until {incoming.not_after}, and this device's clock says {clock}, which cannot be. "
            "Set the clock."
        )
    says = f"this device's clock says {clock}" if day == clock else f"it is {day} at home"
    raise RuntimeInputError(
        f"the release was good until {incoming.not_after}, and {says}. Push a newer one, or set the clock."
    )


def _read(path: Path, advice: str) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). {advice}") from None
