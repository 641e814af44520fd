"""Pull a published data set: check its recordings and write one index."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.core.artifacts import levels, pull_report
from stages.core.artifacts.levels import Levels
from stages.core.artifacts.pull_report import Excluded, NearDuplicate, Note, PullReport
from stages.core.artifacts.recordings import SEPARATOR, Recording, labels_of, write_index
from stages.core.audio.decode import Heard
from stages.core.audio.sources import shown
from stages.core.project import files, names
from stages.core.project.errors import DataError, require
from stages.pull import guard, near_duplicates
from stages.pull.decoding import Unusable, decode_all, print_of
from stages.pull.link import linking
from stages.pull.listing import Listing
from stages.pull.params import PullParams
from stages.pull.settle import settle
from stages.pull.summary import Origin, summarise

SILENT = "silent"
CONTRADICTORY = "contradictory duplicate"
NEAR = "contradictory near-duplicate"
UNNAMEABLE = "name is not UTF-8"
_MOST = 0.5  # share of all recordings that near-duplicates may bring together in one group
_SEVERAL = 3  # groups that are joined when that is refused


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
        near = _near_duplicates(params, kept, work, prints) if prints else []
        if params.near_duplicates.action == "group":
            lost = {name for pair in near if pair.contradictory for name in (pair.first, pair.second)}
            reasons = [
                NEAR if shown(e.recording_id) in lost else why for e, why in zip(candidates, reasons, strict=True)
            ]
            kept = _kept(candidates, decoded, reasons)
        excluded = _excluded(settled.listed, candidates, decoded, reasons)
        order = _output_order(given, settled.listed, [entry for entry, _ in kept], [e.reason for e in excluded])
        one_file = ((entry.group, entry.path.as_posix()) for entry, _ in kept if entry.span)  # its parts are one group
        same = _shared(near, kept) if params.near_duplicates.action == "group" else []
        contents = [*((entry.group, found.sha256) for entry, found in kept), *one_file]
        groups = merge_groups([*contents, *same])
        _check_divisible(merge_groups(contents), groups, [entry.group for entry, _ in kept], near)
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
    edges = sorted(set(pairs))
    groups = {group: i for i, group in enumerate(dict.fromkeys(group for group, _ in edges))}  # sorted
    contents = {sha256: len(groups) + i for i, sha256 in enumerate({sha256 for _, sha256 in edges})}
    n = len(groups) + len(contents)
    ends = [groups[group] for group, _ in edges], [contents[sha256] for _, sha256 in edges]
    _, parts = connected_components(coo_array((np.ones(len(edges)), ends), shape=(n, n)), directed=False)
    smallest: dict[int, str] = {}
    return {group: smallest.setdefault(int(parts[i]), group) for group, i in groups.items()}


def _kept(
    candidates: Sequence[Listing], decoded: Sequence[Heard | Unusable], reasons: Sequence[str]
) -> list[tuple[Listing, Heard]]:
    rows = zip(candidates, decoded, reasons, strict=True)
    return [(entry, found) for entry, found, reason in rows if isinstance(found, Heard) and not reason]


def _near_duplicates(
    params: PullParams, kept: Sequence[tuple[Listing, Heard]], folder: Path, prints: Path
) -> list[NearDuplicate]:
    """Return the pairs of recordings that hold the same sound; of those with equal samples, every one is in a pair."""
    same: dict[str, list[Listing]] = {}
    for entry, found in kept:
        same.setdefault(found.sha256, []).append(entry)
    members = list(same.values())
    firsts = [print_of(prints, folder / entries[0].path, entries[0].span) for entries in members]
    return [
        NearDuplicate(
            shown(first.recording_id),
            shown(second.recording_id),
            pair.similarity,
            contradictory=set(labels_of(first.label)) != set(labels_of(second.label)),
        )
        for pair in near_duplicates.find(firsts, params.near_duplicates.threshold)
        for first in members[pair.first]
        for second in members[pair.second]
        if first.path != second.path  # parts of one file are one group anyway, and may overlap with other labels
    ]


def _shared(near: Sequence[NearDuplicate], kept: Sequence[tuple[Listing, Heard]]) -> list[tuple[str, str]]:
    """Return pairs of group and a name that near-duplicates share, for `merge_groups`."""
    group = {shown(entry.recording_id): entry.group for entry, _ in kept}
    pairs = [(pair.first, pair.second) for pair in near if pair.first in group and pair.second in group]
    return [(group[name], f"{first}|{second}") for first, second in pairs for name in (first, second)]


def _check_divisible(
    before: Mapping[str, str], groups: Mapping[str, str], of_recordings: Sequence[str], near: Sequence[NearDuplicate]
) -> None:
    """Refuse near-duplicates that would join most recordings, which were in several groups, into one group."""

    def largest(merged: Mapping[str, str]) -> tuple[str, float]:
        name, n = Counter(merged[group] for group in of_recordings).most_common(1)[0]
        return name, n / len(of_recordings)

    if not of_recordings or largest(before)[1] > _MOST:
        return
    name, share = largest(groups)
    joined = {before[group] for group, merged in groups.items() if merged == name}
    if share <= _MOST or len(joined) < _SEVERAL:
        return
    similarities = [pair.similarity for pair in near]
    weakest = min(near, key=lambda pair: pair.similarity)
    raise DataError(
        f"{len(near)} pairs of recordings hold the same sound and would join {len(joined)} of "
        f"{len(set(before.values()))} groups, with {share:.0%} of the recordings, into one, which no split can divide. "
        f"Listen to some, such as {weakest.first} and {weakest.second}. If they are copies, correct the groups. If a "
        "synthesiser or a common background made them alike, raise pull.near_duplicates.threshold (their "
        f"similarities are {min(similarities):g} to {max(similarities):g}), or set pull.near_duplicates.action: report "
        "to keep the groups."
    )


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
