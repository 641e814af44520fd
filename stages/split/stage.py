"""Recordings onto training, validation and test, audited for leaks before anything is written."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stages.core.artifacts.pull_report import NearDuplicate
from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SPLITS, LeakageAudit, SplitCounts, SplitName, SplitReport, SplitSummary
from stages.core.project import names
from stages.core.project.errors import DataError
from stages.split.groups import assign, stratify
from stages.split.params import SplitParams

Names = Sequence[Sequence[str]]  # sets of similar names


@dataclass(frozen=True)
class Known:
    """Facts about recordings that their index does not hold.

    Attributes
    ----------
    apart : sequence of sequence of str
        Groups that are different although their names are similar, as the user says (`pull.similar_names: allow`).
    near_duplicates : sequence of NearDuplicate
    near_duplicates_may_part : bool
        Count near-duplicates on two sides instead of refusing them (`pull.near_duplicates.action: report`).
    """

    apart: Names = ()
    near_duplicates: Sequence[NearDuplicate] = ()
    near_duplicates_may_part: bool = False


NOTHING = Known()


def split(params: SplitParams, recordings: Sequence[Recording], known: Known = NOTHING) -> dict[str, SplitName]:
    """Divide recordings by group, or by the publisher's folds.

    Parameters
    ----------
    params : SplitParams
    recordings : sequence of Recording
        Their order does not matter.
    known : Known
        What `pull` found out about the recordings.

    Returns
    -------
    dict
        `recording_id` to its side, sorted.

    Raises
    ------
    DataError
        If there is a published split that is neither used nor ignored, a class has too few groups, a fold has no side,
        or the audit finds a leak.
    """
    recordings = sorted(recordings, key=lambda r: r.recording_id)
    unused = unused_folds(params, recordings)
    if unused and not params.ignore_published:
        raise DataError(
            f"the recordings come with a published split ({_few([*unused])}), which split.method: groups does not use. "
            "Set split.method: official to use it, or split.ignore_published: true."
        )
    sides = _official(params, recordings) if params.method == "official" else _by_group(params, recordings)
    audit(recordings, sides, known)
    return sides


def audit(recordings: Sequence[Recording], sides: Mapping[str, str], known: Known = NOTHING) -> LeakageAudit:
    """Refuse a split with a group or a content on two sides, or with a class missing from a side.

    Groups are compared by what their names mean (`stages.core.project.names.similar`), not by their bytes.

    Parameters
    ----------
    recordings : sequence of Recording
    sides : mapping
        `recording_id` to side.
    known : Known
        As of `split`.

    Returns
    -------
    LeakageAudit

    Raises
    ------
    DataError
        Names the first offenders and their number.
    """
    near = _near_duplicates_on_two_sides(recordings, sides, known)
    for kind in ("group", "sha256"):
        found: dict[str, set[str]] = defaultdict(set)
        for recording in recordings:
            found[getattr(recording, kind)].add(sides[recording.recording_id])
        leaks = sorted(value for value, at in found.items() if len(at) > 1)
        if leaks:
            raise DataError(
                f"no {kind} may be on two sides of the split; {_few(leaks)} {'is' if len(leaks) == 1 else 'are'}. "
                "Set split.method: groups, or correct the folds."
            )
    similar = _similar_on_two_sides(recordings, sides, known.apart)
    labels = _labels(recordings)
    for side in SPLITS:
        missing = sorted(set(labels) - set(_labels(r for r in recordings if sides[r.recording_id] == side)))
        if missing:
            raise DataError(
                f"every class must be on every side; {side} has no {_few(missing)}. Add groups or change folds."
            )
    return LeakageAudit(
        groups=len({r.group for r in recordings}),
        contents=len({r.sha256 for r in recordings}),
        similar_names_on_two_sides=similar,
        near_duplicates_on_two_sides=near,
    )


def _near_duplicates_on_two_sides(recordings: Sequence[Recording], sides: Mapping[str, str], known: Known) -> int:
    """Refuse near-duplicates on two sides, or return how many pairs of them there are if they may part."""
    side = {r.recording_id: sides[r.recording_id] for r in recordings}
    pairs = [p for p in known.near_duplicates if p.first in side and p.second in side]
    leaks = [f"{p.first} and {p.second}" for p in pairs if side[p.first] != side[p.second]]
    if leaks and not known.near_duplicates_may_part:
        raise DataError(
            f"no sound may be on two sides of the split; these hold the same: {_few(leaks)}. Set split.method: groups, "
            "or correct the folds, or set pull.near_duplicates.action: report to keep published folds as they are."
        )
    return len(leaks)


def _similar_on_two_sides(recordings: Sequence[Recording], sides: Mapping[str, str], apart: Names) -> int:
    """Refuse similar names of groups on two sides, and return how many sets of them the user says are different."""
    at: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        at[recording.group].add(sides[recording.recording_id])
    found = [alike for alike in names.similar(at) if len(set().union(*(at[name] for name in alike))) > 1]
    leaks = [alike for alike in found if not any(set(alike) <= set(known) for known in apart)]
    if leaks:
        shown = "; ".join(" / ".join(map(repr, alike)) for alike in leaks[:3])
        raise DataError(
            f"no group may be on two sides of the split; these are, in different spellings: {shown}"
            f"{f' and {len(leaks) - 3} more' if len(leaks) > 3 else ''}. Set pull.similar_names: merge if they mean "
            "the same, or allow if they do not, and run `dvc repro` again."
        )
    return len(found)


def unused_folds(params: SplitParams, recordings: Iterable[Recording]) -> dict[str, int]:
    """Return the recordings in each published fold if `params.method` does not use the published split; else nothing.

    Returns
    -------
    dict
        Fold to its number of recordings, sorted; empty if no split is published or if it is used.
    """
    folds = Counter(r.fold for r in recordings if r.fold)
    return dict(sorted(folds.items())) if params.method == "groups" else {}


def summarise(
    params: SplitParams, recordings: Sequence[Recording], sides: Mapping[str, str], known: Known = NOTHING
) -> SplitReport:
    """Count the recordings, groups and class prevalence of every split and site, and audit the split once more."""
    labels = _labels(recordings)

    def summary(name: SplitName) -> SplitSummary:
        members = [r for r in recordings if sides[r.recording_id] == name]
        sites = sorted({r.site for r in members} - {""})
        counts = _count(members, labels)
        return SplitSummary(
            recordings=counts.recordings,
            groups=counts.groups,
            prevalence=counts.prevalence,
            site={site: _count([r for r in members if r.site == site], labels) for site in sites},
        )

    return SplitReport(
        train=summary("train"),
        validation=summary("validation"),
        test=summary("test"),
        audit=audit(recordings, sides, known),
        published_split_not_used=unused_folds(params, recordings),
    )


def _by_group(params: SplitParams, recordings: Sequence[Recording]) -> dict[str, SplitName]:
    if params.test_sites:
        return _validated(_of_sites(params.test_sites, recordings), params, recordings)
    groups: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        for label in recording.labels:
            groups[label].add(recording.group)
    for label, held in sorted(groups.items()):
        if len(held) < len(SPLITS):
            raise DataError(
                f"every class needs a group for each of {', '.join(SPLITS)}; {label!r} has {len(held)} "
                f"({_few(sorted(held))}). Add recordings of other groups, or leave the class out."
            )
    if params.parts is not None:
        return _validated(_tested_part(params.parts, params, recordings), params, recordings)
    fractions: dict[SplitName, float] = {side: params.fractions[side] for side in SPLITS}
    return _assigned(recordings, fractions, params)


def _of_sites(sites: Sequence[str], recordings: Sequence[Recording]) -> dict[str, SplitName]:
    """Put all recordings of some sites on the test side."""
    known = {r.site for r in recordings} - {""}
    absent = sorted(set(sites) - known)
    if absent:
        raise DataError(f"split.test_sites must name recorded sites; got {_few(absent)}. Known: {_all(known)}.")
    if all(r.site in sites for r in recordings):
        raise DataError(f"split.test_sites must leave recordings to train on; it names all of {_all(known)}.")
    return {r.recording_id: "test" for r in recordings if r.site in sites}


def _tested_part(parts: int, params: SplitParams, recordings: Sequence[Recording]) -> dict[str, SplitName]:
    """Return the recordings of the groups in the part that is tested; the parts do not depend on which one that is."""
    groups = sorted({recording.group for recording in recordings})
    if parts > len(groups):
        raise DataError(f"split.parts must be at most the {len(groups)} groups; got {parts}. Lower it.")
    if parts == len(groups):
        of = {group: str(i) for i, group in enumerate(groups)}
    else:
        fractions = dict.fromkeys(map(str, range(parts)), 1 / parts)
        several = any(len(recording.labels) > 1 for recording in recordings)
        of = (stratify if several else assign)(recordings, fractions, by_site=params.by_site, seed=params.seed)
    return {r.recording_id: "test" for r in recordings if of[r.group] == str(params.part)}


def _official(params: SplitParams, recordings: Sequence[Recording]) -> dict[str, SplitName]:
    side_of = {str(fold): side for side in SPLITS for fold in params.folds.get(side, () if params.folds else (side,))}
    published = {r.fold for r in recordings}
    lost = sorted(published - set(side_of))
    if published == {""}:
        raise DataError("split.method: official needs published folds; this source has none. Set split.method: groups.")
    absent = sorted(set(side_of) - published) if set(params.folds) == {"test"} else []
    if absent:
        raise DataError(f"split.folds.test must name published folds; got {_few(absent)}. Known: {_all(published)}.")
    if lost and set(params.folds) == {"test"}:
        return _validated({r.recording_id: "test" for r in recordings if r.fold in side_of}, params, recordings)
    if lost == [""]:
        without = sorted(r.recording_id for r in recordings if not r.fold)
        raise DataError(
            f"split.method: official needs a published fold of every recording; {_few(without)} "
            f"{'has' if len(without) == 1 else 'have'} none. Fill in their split (data/pull_report.json names the "
            "lines), or name the test folds alone in split.folds: {test: [...]}."
        )
    if lost:
        raise DataError(
            f"split.folds must put every published fold on a side; {_few(lost)} {'has' if len(lost) == 1 else 'have'} "
            "none. Write for instance {train: [1, 2, 3], validation: [4], test: [5]}, or {test: [5]}."
        )
    return {r.recording_id: side_of[r.fold] for r in recordings}


def _validated(
    tested: dict[str, SplitName], params: SplitParams, recordings: Sequence[Recording]
) -> dict[str, SplitName]:
    """Put what is not tested on the other sides, by group."""
    others = [r for r in recordings if r.recording_id not in tested]
    both: tuple[SplitName, SplitName] = ("train", "validation")
    whole = sum(params.fractions[side] for side in both)
    fractions = {side: params.fractions[side] / whole for side in both}
    return tested | _assigned(others, fractions, params)


def _assigned(
    recordings: Sequence[Recording], fractions: Mapping[SplitName, float], params: SplitParams
) -> dict[str, SplitName]:
    several = any(len(r.labels) > 1 for r in recordings)
    sides = (stratify if several else assign)(recordings, fractions, by_site=params.by_site, seed=params.seed)
    return {r.recording_id: sides[r.group] for r in recordings}


def _count(recordings: Sequence[Recording], labels: Sequence[str]) -> SplitCounts:
    found = Counter(label for r in recordings for label in r.labels)
    return SplitCounts(
        recordings=len(recordings),
        groups=len({r.group for r in recordings}),
        prevalence={label: round(found[label] / len(recordings), 4) for label in labels},
    )


def _labels(recordings: Iterable[Recording]) -> list[str]:
    return sorted({label for r in recordings for label in r.labels})


def _few(items: Sequence[str]) -> str:
    shown = ", ".join(map(repr, items[:3]))
    return f"{shown} and {len(items) - 3} more" if len(items) > 3 else shown


def _all(items: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(items)))
