"""The report of a pull: what was found, what is usable, and everything that is not, by name."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.core.artifacts.recordings import Recording, labels_of
from stages.pull.listing import Listing
from stages.pull.settle import Settled


def counts(settled: Settled, usable: Sequence[Recording], excluded: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Count what was found and what is usable, by label and site, and name the rest.

    Parameters
    ----------
    settled : Settled
    usable : sequence of Recording
    excluded : sequence of mapping
        `path`, `reason` and perhaps `detail` of each file that is not used.

    Returns
    -------
    dict
        Ready for JSON.
    """
    listed = settled.listed
    return {
        "found": len(listed),
        "usable": len(usable),
        "distinct_contents": len({r.sha256 for r in usable}),
        "groups": len({r.group for r in usable}),
        "labels": _by_label(listed, usable),
        "sites": {
            site: _by_label([e for e in listed if e.site == site], [r for r in usable if r.site == site])
            for site in sorted({e.site for e in listed} - {""})
        },
        "renamed": settled.renamed,
        "similar_names": settled.similar,
        "excluded_by_reason": dict(Counter(entry["reason"] for entry in excluded)),
        "excluded": list(excluded),
    }


def _by_label(found: Iterable[Listing], usable: Iterable[Recording]) -> Mapping[str, Mapping[str, int]]:
    listed = Counter(name for entry in found for name in labels_of(entry.label))
    kept = Counter(name for recording in usable for name in recording.labels)
    return {label: {"found": n, "usable": kept[label]} for label, n in sorted(listed.items()) if label}
