"""Files of a source heard to their ends: what each holds, or why it cannot be used."""

import dataclasses
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.audio.apart import Apart, Span
from stages.core.audio.decode import Heard
from stages.core.audio.sources import UnusableError, shown
from stages.core.project import files
from stages.core.project.progress import track
from stages.runtime.hearing import Hearing


@dataclass(frozen=True)
class Unusable:
    """Why a file cannot be used: `reason` in a word or two, `detail` in a sentence."""

    reason: str
    detail: str


def decode(apart: Apart, path: Path, span: Span = None) -> Heard | Unusable:
    """Hear one file, or a part (seconds), to its end; return what it holds, or why it cannot be used."""
    try:
        return apart.hear(path, span)
    except UnusableError as error:
        return Unusable(error.kind, str(error).replace(shown(path), path.name))


def decode_all(parts: Sequence[tuple[Path, Span]], journal: Path, hearing: Hearing) -> list[Heard | Unusable]:
    """Decode files in parallel, each noted in `journal` at once, so that an interrupted run continues.

    Parameters
    ----------
    parts : sequence of (Path, tuple of float or None)
        Files, and the part (seconds) of each that is heard; None for all of it.
    journal : Path
        Grows by one line of JSON per file.
    hearing : Hearing

    Returns
    -------
    list of Heard or Unusable
        In the order of `parts`.
    """
    seen = [(p.as_posix(), p.stat().st_size, p.stat().st_mtime_ns, *(span or ())) for p, span in parts]
    known = _read_journal(journal)
    waiting = [(key, part) for key, part in zip(seen, parts, strict=True) if key not in known]
    # Threads: NumPy and hashlib work outside the interpreter's lock, and decoders in processes of their own.
    with (
        Apart(hearing) as apart,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        journal.open("a", buffering=1) as notes,
    ):
        fresh = zip(waiting, pool.map(lambda part: decode(apart, *part), [part for _, part in waiting]), strict=True)
        for (key, _), found in track(fresh, "decode", total=len(parts), initial=len(parts) - len(waiting)):
            known[key] = found
            notes.write(json.dumps([key, dataclasses.asdict(found)]) + "\n")
    return [known[key] for key in seen]


def _read_journal(journal: Path) -> dict[tuple[Any, ...], Heard | Unusable]:
    if not journal.is_file():
        return {}
    whole = journal.read_text().rpartition("\n")[0]
    files.write_text(journal, whole + "\n" * bool(whole))  # without a last line that a kill cut short
    return {tuple(key): _noted(found) for key, found in map(json.loads, whole.splitlines())}


def _noted(values: dict[str, Any]) -> Heard | Unusable:
    if "reason" in values:
        return Unusable(**values)
    return Heard(**values | {"notes": tuple(values["notes"])})
