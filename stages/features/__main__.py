"""Make the features of every clip, by the graph that the device runs."""

import os

from stages.core.artifacts import augmented, hearing, split
from stages.core.artifacts.recordings import read_index, read_labels
from stages.core.project import errors, files, layout, params
from stages.features.params import FeatureParams
from stages.features.stage import EXCLUDED, Inputs, make_features


def main() -> None:
    """Run the stage."""
    section = params.section("features", FeatureParams)
    inputs = Inputs(
        read_index(layout.INDEX),
        read_index(layout.AUGMENTED / "index.csv"),
        split.read(layout.SPLITS),
        read_labels(layout.LABELS),
        augmented.read_masks(layout.AUGMENTED),
        hearing.read(layout.HEARING),
    )
    shape = make_features(section, inputs, target=layout.FEATURES, workers=os.cpu_count() or 1)
    if (excluded := layout.FEATURES / EXCLUDED).is_file():
        n_silent = len(files.read_csv(excluded))
        print(f"excluded: {n_silent} clips in which nothing is to be heard (named in {excluded})")
    print(f"{shape[0]} clips, {' x '.join(map(str, shape[1:]))} each, in {layout.FEATURES}")


if __name__ == "__main__":
    errors.run(main)
