"""Augment the training recordings: `python -m stages.augment`."""

import os

from stages.augment.params import AugmentParams
from stages.augment.stage import augment
from stages.core.artifacts import hearing, split
from stages.core.artifacts.recordings import read_index
from stages.core.project import errors, layout, params


def main() -> None:
    """Augment and print the number of copies."""
    copies, redrawn = augment(
        params.section("augment", AugmentParams),
        read_index(layout.INDEX),
        splits=split.read(layout.SPLITS),
        hearing=hearing.read(layout.HEARING),
        target=layout.AUGMENTED,
        workers=os.cpu_count() or 1,
    )
    print(f"augmented: {len(copies)} copies of {len({copy.parent for copy in copies})} training recordings")
    if redrawn:
        print(f"came out silent and were drawn again: {', '.join(redrawn)}")


if __name__ == "__main__":
    errors.run(main)
