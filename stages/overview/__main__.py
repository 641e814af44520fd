"""Write the page of the recordings: `python -m stages.overview`."""

from stages.core.artifacts import hearing, label_errors, levels, pull_report, split
from stages.core.artifacts.recordings import read_index, read_labels
from stages.core.project import errors, layout
from stages.overview import stage
from stages.overview.stage import Facts


def main() -> None:
    """Write the page, and say where it is."""
    facts = Facts(
        folder=layout.RECORDINGS,
        recordings=tuple(read_index(layout.INDEX)),
        levels=tuple(levels.read(layout.LEVELS)),
        labels=read_labels(layout.LABELS),
        hearing=hearing.read(layout.HEARING),
        pull=pull_report.read(layout.PULL_REPORT),
        sides=split.read(layout.SPLITS),
        split=split.read_report(layout.SPLIT_REPORT),
        doubted=label_errors.read(layout.NAIVE),
    )
    stage.write(facts, layout.OVERVIEW)
    size = layout.OVERVIEW.stat().st_size / 1e6
    print(f"{layout.OVERVIEW}: {len(facts.recordings)} recordings, {size:.1f} MB; open it in a browser")


if __name__ == "__main__":
    errors.run(main)
