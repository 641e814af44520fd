"""Files of a source heard to their ends: what each holds, or why it cannot be used."""

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts.json_file import Json
from stages.core.audio.apart import Apart, Span
from stages.core.audio.decode import Heard, hear
from stages.core.audio.unusable import UnusableError, shown
from stages.core.project import files
from stages.core.project.progress import track
from stages.pull import fingerprint
from stages.runtime.audio import resample
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


def hear_and_print(path: Path, hearing: Hearing, span: Span, *, prints: Path) -> Heard:
    """Hear a file as `stages.core.audio.decode.hear` does, and write its fingerprint into the folder `prints`."""
    pieces: list[np.ndarray] = []

    def take(samples: np.ndarray, sample_rate: int) -> None:
        left = round(fingerprint.LONGEST_S * sample_rate) - sum(map(len, pieces))
        if left > 0:
            pieces.append(samples[:left].copy())

    heard = hear(path, hearing, span, take)
    samples = resample(np.concatenate(pieces), heard.sample_rate, fingerprint.SAMPLE_RATE)
    fingerprint.write(print_of(prints, path, span), fingerprint.fingerprint(samples))
    return heard


def print_of(prints: Path, path: Path, span: Span) -> Path:
    """Return where the fingerprint of a recording lies in the folder `prints`."""
    return prints / files.digest(path, span)[:32]


def decode_all(
    parts: Sequence[tuple[Path, Span]], journal: Path, hearing: Hearing, prints: Path | None = None
) -> list[Heard | Unusable]:
    """Decode files in parallel, each noted in `journal` at once, so that an interrupted run continues.

    Parameters
    ----------
    parts : sequence of (Path, tuple of float or None)
        Files, and the part (seconds) of each that is heard; None for all of it.
    journal : Path
        Grows by one line of JSON per file.
    hearing : Hearing
    prints : Path or None
        Folder for the fingerprint of every recording (`print_of`); None for none.

    Returns
    -------
    list of Heard or Unusable
        In the order of `parts`.
    """
    seen = [(p.as_posix(), p.stat().st_size, p.stat().st_mtime_ns, *(span or ())) for p, span in parts]
    known = _read_journal(journal)
    waiting = [(key, part) for key, part in zip(seen, parts, strict=True) if key not in known]
    if prints is not None:
        prints.mkdir(exist_ok=True)
    heard = functools.partial(hear_and_print, prints=prints) if prints is not None else hear
    # Threads: NumPy and hashlib work outside the interpreter's lock, and decoders in processes of their own.
    with (
        Apart(hearing, hear=heard) as apart,
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


def _noted(values: Json) -> Heard | Unusable:
    if "reason" in values:
        return Unusable(**values)
    return Heard(**values | {"notes": tuple(values["notes"])})
