"""Lay out Arabic speech commands for a project that is to hear words in a stream, with sounds of ESC-10 as background.

    python -m tests.bench.words ARABIC ESC10 FOLDER

ARABIC and ESC10 are the folders of the two data sets as they are published. FOLDER/words takes
``<split>/<label>/<speaker>_<word>_<round>.flac`` on the publisher's split: eight words as they are and four as `other`.
Its `background` is ESC-10, of which folds 1 to 3 train, 4 validates and 5 tests, named by the recording that a clip is
of. FOLDER/rooms takes the publisher's two background noises, which are in no split. docs/decisions.md has the commands
that follow.
"""

import argparse
import shutil
from pathlib import Path

from stages.core.project import files

OTHER = ("cancel", "no", "ok", "yes")
SIDES = {"1": "train", "2": "train", "3": "train", "4": "val", "5": "test"}


def lay_out(arabic: Path, esc10: Path, folder: Path) -> dict[str, int]:
    """Copy the recordings and return how many each side has."""
    copies: list[tuple[Path, str]] = []
    for side in ("train", "val", "test"):
        for row in files.read_csv(arabic / f"{side}.csv"):
            path = arabic / row["file"]
            word, (speaker, _, number) = row["class"], path.stem.split("_")
            label = "other" if word in OTHER else word
            copies.append((path, f"words/{side}/{label}/{speaker}_{word}_{number}{path.suffix}"))
    for row in files.read_csv(esc10 / "meta/esc50.csv"):
        if row["esc10"] == "True":
            path = next((esc10 / "audio").glob(f"{Path(row['filename']).stem}.*"))
            name = f"{row['src_file']}_{row['category']}_{row['take']}{path.suffix}"
            copies.append((path, f"words/{SIDES[row['fold']]}/background/{name}"))
    copies += [(path, f"rooms/{path.name}") for path in sorted((arabic / "background_noise").iterdir())]
    found: dict[str, int] = {}
    for path, name in copies:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        side = name.split("/")[1] if name.startswith("words") else "rooms"
        found[side] = found.get(side, 0) + 1
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("arabic", "esc10", "folder"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    print(lay_out(given.arabic, given.esc10, given.folder))
