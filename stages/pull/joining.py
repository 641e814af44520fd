"""Groups of recordings that share a sound: equal samples and near-duplicates bring their groups together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.core.artifacts.pull_report import NearDuplicate
from stages.core.artifacts.recordings import labels_of
from stages.core.audio.decode import Heard
from stages.core.audio.unusable import shown
from stages.core.project.errors import DataError
from stages.pull.decoding import print_of
from stages.pull.listing import Listing
from stages.pull.near_duplicates import find

_MOST = 0.5  # share of all recordings that near-duplicates may bring together in one group
_SEVERAL = 3  # groups that are joined when that is refused


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


def near_duplicates(
    threshold: float, kept: Sequence[tuple[Listing, Heard]], folder: Path, prints: Path
) -> list[NearDuplicate]:
    """Return the pairs of recordings that hold the same sound; of those with equal samples, every one is in a pair.

    Parameters
    ----------
    threshold : float
        As of `stages.pull.near_duplicates.find`.
    kept : sequence of (Listing, Heard)
    folder, prints : Path
        Folders of the recordings, and of their fingerprints.
    """
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
        for pair in find(firsts, threshold)
        for first in members[pair.first]
        for second in members[pair.second]
        if first.path != second.path  # parts of one file are one group anyway, and may overlap with other labels
    ]


def shared(near: Sequence[NearDuplicate], kept: Sequence[tuple[Listing, Heard]]) -> list[tuple[str, str]]:
    """Return pairs of group and a name that near-duplicates share, for `merge_groups`."""
    group = {shown(entry.recording_id): entry.group for entry, _ in kept}
    pairs = [(pair.first, pair.second) for pair in near if pair.first in group and pair.second in group]
    return [(group[name], f"{first}|{second}") for first, second in pairs for name in (first, second)]


def require_divisible(
    before: Mapping[str, str], groups: Mapping[str, str], of_recordings: Sequence[str], near: Sequence[NearDuplicate]
) -> None:
    """Refuse near-duplicates that would join most recordings, which were in several groups, into one group.

    Parameters
    ----------
    before, groups : mapping of str to str
        Group to the group that it was merged into, without and with near-duplicates.
    of_recordings : sequence of str
        Group of each recording.
    near : sequence of NearDuplicate

    Raises
    ------
    DataError
        With two recordings to listen to, and what to do.
    """

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
