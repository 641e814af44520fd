"""When each device last answered, so that one that is kept from news is noticed (a freeze attack, or a dead card)."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from stages.core.project import files
from stages.core.project.errors import warning


def note(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Write down that devices have answered now, and return when each was last heard of.

    Parameters
    ----------
    path : Path
        File that keeps the times; made if it does not exist, begun anew if it is damaged. Where it cannot be written a
        warning says so.
    names : Sequence[str]

    Returns
    -------
    dict[str, str]
        Device to a time such as ``"now"`` or ``"2026-11-28 09:30"`` (UTC).
    """
    known: dict[str, str] = {}
    if path.is_file():
        try:
            read = files.read_json(path)
            known = {str(name): str(at) for name, at in read.items()}
        except (ValueError, AttributeError):
            known = {}
    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
    known |= dict.fromkeys(names, at)
    if names:
        try:
            files.write_json(path, known)
        except OSError as error:
            reason = f"{path} cannot be written ({error.strerror})"
            warning(f"{reason}: it does not keep when devices were last heard of. Make it a writable file.")
    return known | dict.fromkeys(names, "now")
