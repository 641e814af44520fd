"""Make the features of every clip, by the graph that the device runs."""

import os

from stages.core.artifacts.recordings import read_index
from stages.core.audio.spec_augment import Masks
from stages.core.project import errors, files, layout, params
from stages.features.params import FeatureParams
from stages.features.stage import make_features


def main() -> None:
    """Run the stage."""
    shape = make_features(
        params.section("features", FeatureParams),
        read_index(layout.INDEX),
        read_index(layout.AUGMENTED / "index.csv"),
        Masks(**files.read_json(layout.AUGMENTED / "masks.json")),
        splits={row["recording_id"]: row["split"] for row in files.read_csv(layout.SPLITS)},
        labels=files.read_json(layout.LABELS),
        target=layout.FEATURES,
        workers=os.cpu_count() or 1,
    )
    print(f"{shape[0]} clips, {' x '.join(map(str, shape[1:]))} each, in {layout.FEATURES}")


if __name__ == "__main__":
    errors.run(main)
