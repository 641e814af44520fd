"""`python -m stages.split`: divide the index as params.yaml says."""

from stages.core.artifacts.dataset import SPLITS
from stages.core.artifacts.recordings import read_index
from stages.core.project import errors, files, layout, params
from stages.split.params import SplitParams
from stages.split.stage import split, summarise


def main() -> None:
    """Split, and say what is where."""
    chosen = params.section("split", SplitParams)
    recordings = read_index(layout.INDEX)
    sides = split(chosen, recordings)
    files.write_csv(
        layout.SPLITS, ("recording_id", "split"), ({"recording_id": i, "split": side} for i, side in sides.items())
    )
    summary = summarise(recordings, sides)
    files.write_json(layout.SPLIT_REPORT, summary)
    counts = ", ".join(f"{side} {summary[side]['recordings']} in {summary[side]['groups']} groups" for side in SPLITS)
    print(f"recordings: {counts}; no group and no content on two sides")


if __name__ == "__main__":
    errors.run(main)
