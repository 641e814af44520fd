"""`python -m stages.split`: divide the index as params.yaml says."""

from stages.core.artifacts import split as split_file
from stages.core.artifacts.recordings import read_index
from stages.core.artifacts.split import SPLITS
from stages.core.project import errors, layout, params
from stages.split.params import SplitParams
from stages.split.stage import split, summarise


def main() -> None:
    """Split, and say what is where."""
    chosen = params.section("split", SplitParams)
    recordings = read_index(layout.INDEX)
    sides = split(chosen, recordings)
    split_file.write(layout.SPLITS, sides)
    summary = summarise(recordings, sides)
    split_file.write_report(layout.SPLIT_REPORT, summary)
    counts = ", ".join(f"{side} {summary.of(side).recordings} in {summary.of(side).groups} groups" for side in SPLITS)
    print(f"recordings: {counts}; no group and no content on two sides")


if __name__ == "__main__":
    errors.run(main)
