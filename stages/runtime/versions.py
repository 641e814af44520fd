"""Which version of each model ran on a device, so that no older one is taken: kept outside of what a push replaces."""

import hashlib
import json
import os
from pathlib import Path

from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError
from stages.runtime.lines import Line
from stages.runtime.storage import read, write

CURRENT = "current"
ACCEPTED = "accepted.json"


def remember(folder: Path, device: Path) -> Line:
    """Note the version of a release that runs, so that the device takes none below it from now on.

    Parameters
    ----------
    folder : Path
        The release.
    device : Path
        The device's folder.

    Returns
    -------
    dict
        ``ok`` and ``accepted``, the highest version per registered model.

    Raises
    ------
    RuntimeInputError
        If the release's manifest is not valid, or it cannot be written.
    """
    release = manifest.load(folder)
    try:
        known = accepted(device)
    except RuntimeInputError:  # damaged, and the release was forced
        known = {}
    if known.get(release.registered_name, 0) < release.version:
        known[release.registered_name] = release.version
        write(device / ACCEPTED, json.dumps(known, sort_keys=True) + "\n", device)
    return {"ok": True, "accepted": known}


def check_version(incoming: manifest.Manifest, release: str, device: Path) -> None:
    """Refuse a version below the highest one of the same model that ran here, but never what runs now.

    Parameters
    ----------
    incoming : Manifest
    release : str
        Its id.
    device : Path
        The device's folder.

    Raises
    ------
    RuntimeInputError
        If it is older, or the device's memory is damaged.
    """
    running, model, version = _running(device)
    if release == running:
        return
    name = incoming.registered_name
    if version is not None and _together(model, name) and incoming.version < version:
        raise RuntimeInputError(
            f"the release has version {incoming.version}, older than version {version} that runs here. "
            "Push a newer one, or add --force."
        )
    highest = highest_version(name, device)
    if incoming.version < highest:
        raise RuntimeInputError(
            f"the release has version {incoming.version}, older than version {highest} that ran here before. "
            "Push a newer one, or add --force."
        )


def highest_version(model: str, device: Path) -> int:
    """Return the highest version of a registered model that ever ran here, 0 if none did.

    Parameters
    ----------
    model : str
        Its name; a release without one ("") is held against all models.
    device : Path
        The device's folder.

    Raises
    ------
    RuntimeInputError
        If the device's memory is damaged.
    """
    return max((version for name, version in accepted(device).items() if _together(name, model)), default=0)


def accepted(device: Path) -> dict[str, int]:
    """Return the highest version per registered model that ever ran here."""
    path = device / ACCEPTED
    if not os.path.lexists(path):
        return {}
    try:
        values = json.loads(read(path))
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(type(value) is int for value in values.values()):
        raise RuntimeInputError(f"{path} is damaged: it must hold one version per model. Add --force to begin anew.")
    return values


def _together(model: str, other: str) -> bool:
    """Return whether the versions of two registered models are counted together."""
    return model == other or "" in (model, other)


def _running(device: Path) -> tuple[str, str, int | None]:
    """Return id, registered model and version of the release that runs; no version if none can be read."""
    place = device / CURRENT
    try:
        content = read(place / manifest.NAME)
        values = json.loads(content)
    except (OSError, ValueError, RecursionError):  # damaged: whatever a trusted key signed may take its place
        content, values = b"", None
    running = place.readlink().name.rpartition("-")[2] if place.is_symlink() else release_id(content)
    if not isinstance(values, dict):
        return running, "", None
    version, model = values.get("version"), values.get("registered_name", "")
    return running, model if isinstance(model, str) else "", version if isinstance(version, int) else None


def release_id(content: bytes) -> str:
    """Return the id of a release: the first 12 hexadecimal digits of the sha256 of its manifest."""
    return hashlib.sha256(content).hexdigest()[:12]
