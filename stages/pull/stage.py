"""Pull a published data set: check its recordings and write one index."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stages.core.artifacts import levels, pull_report
from stages.core.artifacts.levels import Levels
from stages.core.artifacts.pull_report import Excluded, Note, PullReport
from stages.core.artifacts.recordings import SEPARATOR, Recording, labels_of, write_index
from stages.core.audio.decode import Heard
from stages.core.audio.unusable import shown
from stages.core.project import files, names
from stages.core.project.errors import DataError, require
from stages.pull import guard, joining
from stages.pull.decoding import Unusable, decode_all
from stages.pull.link import linking
from stages.pull.listing import Listing
from stages.pull.params import PullParams
from stages.pull.settle import settle
from stages.pull.summary import Origin, summarise

SILENT = "silent"
CONTRADICTORY = "contradictory duplicate"
NEAR = "contradictory near-duplicate"
UNNAMEABLE = "name is not UTF-8"


def pull(
    params: PullParams, *, mirror: Path | None, recordings: Path, index: Path, labels: Path, report: Path
) -> PullReport:
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
        (JSON). Beside the report stands `stages.core.artifacts.levels`.

    Returns
    -------
    PullReport

    Raises
    ------
    ParameterError
        For an unknown source or wrong options.
    DataError
        If files cannot be had or are not as published, or if not every class has a usable recording.
    """
    source, config = params.configure()
    guard.protect(guard.named(config, mirror), [recordings, index, labels, report, *guard.outputs()])
    key = files.digest(params.source, dataclasses.asdict(config), mirror, params.link)
    audited = params.near_duplicates.action != "off"
    heard = files.digest(dataclasses.asdict(params.hearing), audited)[:8]
    with files.growing_folder(recordings, key) as work, linking(params.link):
        source.fetch(config, work, mirror)
        listed = sorted(map(_nameable, source.recordings(config, work)), key=lambda entry: entry.path.as_posix())
        _check_listed(listed, work, params.source)
        given = [names.clean(label) for label in source.LABELS or getattr(config, "labels", ())]
        repeated = [label for label, n in Counter(given).items() if n > 1]
        require(not repeated, f"pull.options.{params.source}.labels", "name every class once", given)
        settled = settle(params, listed, given)
        candidates = [entry for entry in settled.listed if not entry.excluded]
        journal = work.with_suffix(f".{heard}.decoded")  # by other rules, other samples
        prints = work.with_suffix(f".{heard}.prints") if audited else None
        parts = [(work / entry.path, entry.span) for entry in candidates]
        decoded = decode_all(parts, journal, params.hearing, prints)
        reasons = _reasons(candidates, decoded, params.silence_dbfs)
        kept = _kept(candidates, decoded, reasons)
        near = joining.near_duplicates(params.near_duplicates.threshold, kept, work, prints) if prints else []
        if params.near_duplicates.action == "group":
            lost = {name for pair in near if pair.contradictory for name in (pair.first, pair.second)}
            reasons = [
                NEAR if shown(e.recording_id) in lost else why for e, why in zip(candidates, reasons, strict=True)
            ]
            kept = _kept(candidates, decoded, reasons)
        excluded = _excluded(settled.listed, candidates, decoded, reasons)
        order = _output_order(given, settled.listed, [entry for entry, _ in kept], [e.reason for e in excluded])
        one_file = ((entry.group, entry.path.as_posix()) for entry, _ in kept if entry.span)  # its parts are one group
        same = joining.shared(near, kept) if params.near_duplicates.action == "group" else []
        contents = [*((entry.group, found.sha256) for entry, found in kept), *one_file]
        groups = joining.merge_groups([*contents, *same])
        joining.require_divisible(joining.merge_groups(contents), groups, [entry.group for entry, _ in kept], near)
    for finished in recordings.parent.glob(f".{recordings.name}.*.decoded"):
        finished.unlink()
    for finished in recordings.parent.glob(f".{recordings.name}.*.prints"):
        shutil.rmtree(finished)
    usable = [
        Recording(
            recording_id=entry.recording_id,
            path=recordings / entry.path,
            label=entry.label,
            group=groups[entry.group],
            site=entry.site,
            fold=entry.fold,
            sha256=found.sha256,
            duration_s=round(found.n_samples / found.sample_rate, 6),
            sample_rate=found.sample_rate,
            start_s=entry.start_s,
            end_s=entry.end_s,
        )
        for entry, found in kept
    ]
    write_index(index, usable)
    files.write_json(labels, order)
    origin = Origin(params.source, source.CITATION, source.LICENCE, source.HOMEPAGE)
    found = dataclasses.replace(
        summarise(origin, settled, usable, excluded),
        merged_groups=sum(name != merged for name, merged in groups.items()),
        near_duplicates_action=params.near_duplicates.action,
        near_duplicates=tuple(near),
        notes=tuple(Note(shown(e.recording_id), note) for e, heard in kept for note in (*e.notes, *heard.notes)),
    )
    pull_report.write(report, found)
    levels.write(
        report.with_name(levels.FILE),
        [Levels(e.recording_id, h.n_channels, h.peak, h.rms, h.mean, h.clipped, h.quiet) for e, h in kept],
    )
    return found


def _kept(
    candidates: Sequence[Listing], decoded: Sequence[Heard | Unusable], reasons: Sequence[str]
) -> list[tuple[Listing, Heard]]:
    rows = zip(candidates, decoded, reasons, strict=True)
    return [(entry, found) for entry, found, reason in rows if isinstance(found, Heard) and not reason]


def _check_listed(listed: Sequence[Listing], folder: Path, source: str) -> None:
    if not listed:
        raise DataError(f"the source {source!r} lists no recordings. Check pull.options.{source}.")
    for name, count in Counter(entry.recording_id for entry in listed).items():
        if count > 1:
            raise DataError(f"the source {source!r} lists {name} {count} times. List every file once.")
    for entry in listed:
        if entry.excluded:
            continue
        if not (folder / entry.path).is_file():
            raise DataError(
                f"the source {source!r} lists {entry.path}, which is not among its files. Get a complete copy."
            )
        if not names.clean(entry.group) or not names.clean(entry.label):
            raise DataError(f"the source {source!r} gives {entry.path} no label or no group. Every file needs both.")
        held = [names.clean(label) for label in labels_of(entry.label)]
        if "" in held or len(set(held)) < len(held):
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


def _reasons(listed: Sequence[Listing], decoded: Sequence[Heard | Unusable], silence_dbfs: float) -> list[str]:
    classes: dict[str, set[frozenset[str]]] = {}
    for entry, found in zip(listed, decoded, strict=True):
        if isinstance(found, Heard):
            classes.setdefault(found.sha256, set()).add(frozenset(labels_of(entry.label)))

    def reason(found: Heard | Unusable) -> str:
        if isinstance(found, Unusable):
            return found.reason
        if found.peak < 10 ** (silence_dbfs / 20):
            return SILENT
        return CONTRADICTORY if len(classes[found.sha256]) > 1 else ""

    return [reason(found) for found in decoded]


def _excluded(
    listed: Sequence[Listing],
    candidates: Sequence[Listing],
    decoded: Sequence[Heard | Unusable],
    reasons: Sequence[str],
) -> list[Excluded]:
    """Return the excluded recordings in the order of `listed`; `detail` is the decoder's own reason, if it has one."""
    unusable = {
        entry.recording_id: (reason, found.detail if isinstance(found, Unusable) else "")
        for entry, found, reason in zip(candidates, decoded, reasons, strict=True)
        if reason
    }
    reasons_of = ((e.recording_id, (e.excluded, "") if e.excluded else unusable.get(e.recording_id)) for e in listed)
    return [Excluded(shown(name), *why) for name, why in reasons_of if why]


def _output_order(
    order: Sequence[str], listed: Sequence[Listing], kept: Sequence[Listing], reasons: Sequence[str]
) -> list[str]:
    known = sorted({label for entry in listed for label in labels_of(entry.label)} - {""})
    order = list(order or known)
    usable = {label for entry in kept for label in labels_of(entry.label)}
    if not kept:
        counts = Counter(reasons).most_common()
        why = ", ".join(f"{reason} ({n})" for reason, n in counts)
        raise DataError(f"none of the {len(listed)} listed recordings is usable: {why}. Check the files.")
    for name in known:
        if name not in order:
            raise DataError(f"the label {name!r} is not among {', '.join(order)}. Correct it, or add it to labels.")
    for name in order:
        if name not in usable:
            raise DataError(f"the class {name!r} has no usable recording. Add some, or leave the class out.")
    if len(order) == 1:
        raise DataError(f"there must be at least two classes; all recordings are {order[0]!r}. Add another class.")
    return order
