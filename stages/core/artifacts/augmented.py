"""`masks.json` of the augmented folder: the spectrogram masks that the features stage applies."""

from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.audio.spec_augment import Masks

FILE = "masks.json"


def read_masks(folder: Path) -> Masks:
    """Read the masks of an augmented folder; raises `DataError` if the file is missing or invalid."""
    return json_file.read(Masks, folder / FILE, stage="augment")


def write_masks(folder: Path, masks: Masks) -> None:
    """Write the masks into an augmented folder."""
    json_file.write(folder / FILE, masks)
