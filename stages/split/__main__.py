"""`python -m stages.split`: divide the index as params.yaml says."""

from stages.core.artifacts import pull_report
from stages.core.artifacts import split as split_file
from stages.core.artifacts.recordings import read_index
from stages.core.artifacts.split import SPLITS
from stages.core.project import errors, layout, params
from stages.split.params import SplitParams
from stages.split.stage import Known, split, summarise


def main() -> None:
    """Split, and say what is where."""
    chosen = params.section("split", SplitParams)
    recordings = read_index(layout.INDEX)
    found = pull_report.read(layout.PULL_REPORT)
    known = Known(
        apart=found.similar_names.get("groups", ()),
        near_duplicates=found.near_duplicates,
        near_duplicates_may_part=found.near_duplicates_action == "report",
    )
    sides = split(chosen, recordings, known)
    split_file.write(layout.SPLITS, sides)
    summary = summarise(chosen, recordings, sides, known)
    split_file.write_report(layout.SPLIT_REPORT, summary)
    counts = ", ".join(f"{side} {summary.of(side).recordings} in {summary.of(side).groups} groups" for side in SPLITS)
    print(f"recordings: {counts}; no group and no content on two sides")
    if similar := summary.audit.similar_names_on_two_sides:
        print(f"{similar} sets of groups with similar names are on two sides, as pull.similar_names: allow says")
    if near := summary.audit.near_duplicates_on_two_sides:
        print(f"{near} pairs of near-duplicates are on two sides, as pull.near_duplicates.action: report says")
    if unused := summary.published_split_not_used:
        published = ", ".join(f"{fold} {n}" for fold, n in unused.items())
        print(f"the published split ({published}) is not used, as split.ignore_published says")


if __name__ == "__main__":
    errors.run(main)
