"""The report of a pull: what was found, what is usable, and everything that is not, by name."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stages.core.artifacts.pull_report import ClassCounts, Excluded, PullReport
from stages.core.artifacts.recordings import Recording, labels_of
from stages.pull.listing import Listing
from stages.pull.settle import Settled


@dataclass(frozen=True)
class Origin:
    """Name of a source, and what its publisher states."""

    source: str
    citation: str
    licence: str
    homepage: str


def summarise(
    origin: Origin, settled: Settled, usable: Sequence[Recording], excluded: Sequence[Excluded]
) -> PullReport:
    """Count the recordings that were found and that are usable, by label and site, and name the rest.

    Parameters
    ----------
    origin : Origin
    settled : Settled
    usable : sequence of Recording
    excluded : sequence of Excluded
        Files that are not used.
    """
    listed = settled.listed
    return PullReport(
        source=origin.source,
        citation=origin.citation,
        licence=origin.licence,
        homepage=origin.homepage,
        found=len(listed),
        usable=len(usable),
        groups=len({r.group for r in usable}),
        labels=_by_label(listed, usable),
        excluded=tuple(excluded),
        excluded_by_reason=dict(Counter(each.reason for each in excluded)),
        distinct_contents=len({r.sha256 for r in usable}),
        sites={
            site: _by_label([e for e in listed if e.site == site], [r for r in usable if r.site == site])
            for site in sorted({e.site for e in listed} - {""})
        },
        renamed=settled.renamed,
        similar_names={kind: tuple(alike) for kind, alike in settled.similar.items()},
    )


def _by_label(found: Iterable[Listing], usable: Iterable[Recording]) -> dict[str, ClassCounts]:
    listed = Counter(name for entry in found for name in labels_of(entry.label))
    kept = Counter(name for recording in usable for name in recording.labels)
    return {label: ClassCounts(n, kept[label]) for label, n in sorted(listed.items()) if label}
