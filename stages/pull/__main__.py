"""`python -m stages.pull`: bring the recordings of params.yaml."""

import os
from pathlib import Path

from stages.core.artifacts import hearing
from stages.core.project import errors, layout, params
from stages.pull.params import PullParams
from stages.pull.stage import pull


def main() -> None:
    """Pull, and say what was found."""
    chosen = params.section("pull", PullParams)
    mirror = chosen.mirror or os.environ.get("EDAC_MIRROR")
    found = pull(
        chosen,
        mirror=Path(mirror).expanduser() if mirror else None,
        recordings=layout.RECORDINGS,
        index=layout.INDEX,
        labels=layout.LABELS,
        report=layout.PULL_REPORT,
    )
    hearing.write(layout.HEARING, chosen.hearing)
    for kind, changed in found.renamed.items():
        print(f"{kind}: {len(changed)} names cleaned, renamed or merged (listed in {layout.PULL_REPORT})")
    for kind, alike in found.similar_names.items():
        print(f"{kind}: {len(alike)} sets of similar names kept apart, as pull.similar_names: allow says")
    if near := found.near_duplicates:
        print(f"{len(near)} pairs of recordings hold the same sound (listed in {layout.PULL_REPORT})")
    if notes := found.notes:
        more = f", and {len(notes) - 1} more notes in {layout.PULL_REPORT}" if len(notes) > 1 else ""
        print(f"note: {notes[0].path}: {notes[0].note}{more}")
    excluded = ", ".join(f"{n} {reason}" for reason, n in found.excluded_by_reason.items()) or "none"
    print(
        f"{found.source}: {found.usable} of {found.found} recordings usable, in {found.groups} groups; "
        f"excluded: {excluded} (named in {layout.PULL_REPORT})"
    )


if __name__ == "__main__":
    errors.run(main)
