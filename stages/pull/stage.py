"""Published data set in, checked recordings and one index out."""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stages.core.artifacts.recordings import SEPARATOR, Recording, labels_of, write_index
from stages.core.audio.apart import Apart
from stages.core.audio.decode import Heard
from stages.core.audio.sources import UnusableError, shown
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.progress import track
from stages.pull.listing import Listing
from stages.pull.params import PullParams
from stages.runtime.hearing import Hearing

SILENT = "silent"
CONTRADICTORY = "contradictory duplicate"
UNNAMEABLE = "name is not UTF-8"


@dataclass(frozen=True)
class Unusable:
    """Why a file cannot be used: `reason` in a word or two, `detail` in a sentence."""

    reason: str
    detail: str


def pull(
    params: PullParams, *, mirror: Path | None, recordings: Path, index: Path, labels: Path, report: Path
) -> dict[str, Any]:
    """Fetch a source's files, decode and check every one, and write the index of the usable ones.

    Parameters
    ----------
    params : PullParams
    mirror : Path or None
        Read instead of the network.
    recordings : Path
        Folder for the files as published. It grows aside, under a name that an interrupted run finds again.
    index, labels, report : Path
        Index (`stages.core.artifacts.recordings`), labels in output order (JSON list), and what was found and excluded
        (JSON).

    Returns
    -------
    dict
        The report.

    Raises
    ------
    ParameterError
        For an unknown source or wrong options.
    DataError
        If files cannot be had or are not as published, or if not every class has a usable recording.
    """
    source, config = params.configure()
    key = files.digest(params.source, dataclasses.asdict(config), mirror)
    heard = files.digest(dataclasses.asdict(params.hearing))[:8]
    with files.growing_folder(recordings, key) as work:
        source.fetch(config, work, mirror)
        listed = sorted(map(_nameable, source.recordings(config, work)), key=lambda entry: entry.path.as_posix())
        _check_listed(listed, work, params.source)
        candidates = [entry for entry in listed if not entry.excluded]
        journal = work.with_suffix(f".{heard}.decoded")  # by other rules, other samples
        decoded = _decode_all([work / entry.path for entry in candidates], journal, params.hearing)
        reasons = _reasons(candidates, decoded, params.silence_dbfs)
        kept = [
            (e, found)
            for e, found, reason in zip(candidates, decoded, reasons, strict=True)
            if isinstance(found, Heard) and not reason
        ]
        of_path = dict(zip((entry.path for entry in candidates), reasons, strict=True))
        excluded = [(e.path, why) for e in listed if (why := e.excluded or of_path[e.path])]
        details = {
            e.path: f.detail for e, f in zip(candidates, decoded, strict=True) if isinstance(f, Unusable) and f.detail
        }
        order = _output_order(source.LABELS or getattr(config, "labels", ()), listed, [entry for entry, _ in kept])
        groups = merge_groups((entry.group, found.sha256) for entry, found in kept)
    for finished in recordings.parent.glob(f".{recordings.name}.*.decoded"):
        finished.unlink()
    usable = [
        Recording(
            recording_id=entry.path.as_posix(),
            path=recordings / entry.path,
            label=entry.label,
            group=groups[entry.group],
            site=entry.site,
            fold=entry.fold,
            sha256=found.sha256,
            duration_s=round(found.n_samples / found.sample_rate, 6),
            sample_rate=found.sample_rate,
        )
        for entry, found in kept
    ]
    write_index(index, usable)
    files.write_json(labels, order)
    summary = {
        "source": params.source,
        "citation": source.CITATION,
        "licence": source.LICENCE,
        "homepage": source.HOMEPAGE,
        "found": len(listed),
        "usable": len(usable),
        "distinct_contents": len({r.sha256 for r in usable}),
        "groups": len({r.group for r in usable}),
        "merged_groups": sum(name != merged for name, merged in groups.items()),
        "labels": _counts((e.label for e in listed), (r.label for r in usable)),
        "sites": {
            site: _counts((e.label for e in listed if e.site == site), (r.label for r in usable if r.site == site))
            for site in sorted({e.site for e in listed} - {""})
        },
        "excluded_by_reason": dict(Counter(reason for _, reason in excluded)),
        "excluded": [_described(path, reason, details.get(path)) for path, reason in excluded],
        "notes": [{"path": shown(e.path), "note": note} for e, found in kept for note in found.notes],
    }
    files.write_json(report, summary)
    return summary


def decode(apart: Apart, path: Path) -> Heard | Unusable:
    """Hear one file to its end; return what it holds, or why it cannot be used."""
    try:
        return apart.hear(path)
    except UnusableError as error:
        return Unusable(error.kind, str(error).replace(shown(path), path.name))


def merge_groups(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Merge groups that share content, directly or through others.

    Parameters
    ----------
    pairs : iterable of (group, sha256)

    Returns
    -------
    dict
        Group to the smallest name among those it was merged with; its own if with none.
    """
    leader: dict[str, str] = {}

    def find(group: str) -> str:
        while leader.setdefault(group, group) != group:
            group = leader[group]
        return group

    owner: dict[str, str] = {}
    for group, sha256 in sorted(pairs):
        first, second = sorted((find(group), find(owner.setdefault(sha256, group))))
        leader[second] = first
    return {group: find(group) for group in leader}


def _check_listed(listed: Sequence[Listing], folder: Path, source: str) -> None:
    if not listed:
        raise DataError(f"the source {source!r} lists no recordings. Check pull.options.{source}.")
    for path, count in Counter(entry.path for entry in listed).items():
        if count > 1:
            raise DataError(f"the source {source!r} lists {path} {count} times. List every file once.")
    for entry in listed:
        if entry.excluded:
            continue
        if not (folder / entry.path).is_file():
            raise DataError(
                f"the source {source!r} lists {entry.path}, which is not among its files. Get a complete copy."
            )
        if not entry.group or not entry.label:
            raise DataError(f"the source {source!r} gives {entry.path} no label or no group. Every file needs both.")
        names = labels_of(entry.label)
        if "" in names or len(set(names)) < len(names):
            raise DataError(
                f"the source {source!r} gives {entry.path} the label {entry.label!r}, where {SEPARATOR} stands between "
                "different names. Correct it."
            )


def _nameable(entry: Listing) -> Listing:
    """Exclude a file whose name no table can hold."""
    try:
        entry.path.as_posix().encode()
    except UnicodeEncodeError:
        return dataclasses.replace(entry, excluded=UNNAMEABLE)
    return entry


def _described(path: Path, reason: str, detail: str | None) -> dict[str, str]:
    return {"path": shown(path), "reason": reason} | ({"detail": detail} if detail else {})


def _decode_all(paths: Sequence[Path], journal: Path, hearing: Hearing) -> list[Heard | Unusable]:
    """Decode files, each noted in `journal` at once, so that an interrupted run goes on where it stopped."""
    seen = [(path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    known = _read_journal(journal)
    waiting = [(key, path) for key, path in zip(seen, paths, strict=True) if key not in known]
    # Threads: NumPy and hashlib work outside the interpreter's lock, and decoders in processes of their own.
    with (
        Apart(hearing) as apart,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        journal.open("a", buffering=1) as notes,
    ):
        fresh = zip(waiting, pool.map(partial(decode, apart), [path for _, path in waiting]), strict=True)
        for (key, _), found in track(fresh, "decode", total=len(paths), initial=len(paths) - len(waiting)):
            known[key] = found
            notes.write(json.dumps([key, dataclasses.asdict(found)]) + "\n")
    return [known[key] for key in seen]


def _read_journal(journal: Path) -> dict[tuple[str, int, int], Heard | Unusable]:
    if not journal.is_file():
        return {}
    whole = journal.read_text().rpartition("\n")[0]
    files.write_text(journal, whole + "\n" * bool(whole))  # without a last line that a kill cut short
    return {tuple(key): _noted(found) for key, found in map(json.loads, whole.splitlines())}


def _noted(values: dict[str, Any]) -> Heard | Unusable:
    if "reason" in values:
        return Unusable(**values)
    return Heard(**values | {"notes": tuple(values["notes"])})


def _reasons(listed: Sequence[Listing], decoded: Sequence[Heard | Unusable], silence_dbfs: float) -> list[str]:
    classes: dict[str, set[str]] = {}
    for entry, found in zip(listed, decoded, strict=True):
        if isinstance(found, Heard):
            classes.setdefault(found.sha256, set()).add(entry.label)

    def reason(found: Heard | Unusable) -> str:
        if isinstance(found, Unusable):
            return found.reason
        if found.peak < 10 ** (silence_dbfs / 20):
            return SILENT
        return CONTRADICTORY if len(classes[found.sha256]) > 1 else ""

    return [reason(found) for found in decoded]


def _output_order(order: Sequence[str], listed: Sequence[Listing], kept: Sequence[Listing]) -> list[str]:
    names = sorted({label for entry in listed for label in labels_of(entry.label)} - {""})
    order = list(order or names)
    usable = {label for entry in kept for label in labels_of(entry.label)}
    if not kept:
        raise DataError(
            f"none of the {len(listed)} listed recordings is usable: none is there and decodes to sound. Check the "
            "files."
        )
    for name in names:
        if name not in order:
            raise DataError(f"the label {name!r} is not among {', '.join(order)}. Correct it, or add it to labels.")
    for name in order:
        if name not in usable:
            raise DataError(f"the class {name!r} has no usable recording. Add some, or leave the class out.")
    if len(order) == 1:
        raise DataError(f"there must be at least two classes; all recordings are {order[0]!r}. Add another class.")
    return order


def _counts(found: Iterable[str], usable: Iterable[str]) -> Mapping[str, Mapping[str, int]]:
    listed, kept = (Counter(name for label in labels for name in labels_of(label)) for labels in (found, usable))
    return {label: {"found": n, "usable": kept[label]} for label, n in sorted(listed.items()) if label}
