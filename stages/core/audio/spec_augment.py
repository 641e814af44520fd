"""Masks on spectrograms (SpecAugment): what the augment stage asks for and the features stage paints.

References
----------
Park et al., "SpecAugment: A simple data augmentation method for automatic speech recognition", Interspeech 2019,
section 2, without time warping. EDAC: arXiv 2309.05357, appendix A.2, with TensorFlow I/O's masks.
"""

from dataclasses import dataclass, field

import numpy as np

from stages.core.project import files
from stages.core.project.errors import require


@dataclass(frozen=True)
class Masks:
    """How many masked copies of which clips of the training side, and masked how. Off by default.

    Attributes
    ----------
    copies : dict[str, int]
        Class to the number of masked copies of each of its training clips, be they recordings or augmented copies;
        ``all`` stands for every class not named.
    frequency, time : int
        F and T: a mask is 0 to F - 1 bands high, or 0 to T - 1 frames wide, each as likely.
    n_frequency, n_time : int
        Masks of each kind on one copy.
    as_published : bool
        As EDAC's released code did it: masks of 0 dB, which is the loudest level where the reference is the clip's
        peak, and each kind on the other's axis. Only to measure what that costs.
    seed : int
    """

    copies: dict[str, int] = field(default_factory=dict)
    frequency: int = 30
    time: int = 30
    n_frequency: int = 1
    n_time: int = 1
    as_published: bool = False
    seed: int = 1234

    def __post_init__(self) -> None:
        """Check the ranges."""
        for label, n in self.copies.items():
            require(0 <= n <= 100, f"augment.masks.copies.{label}", "be from 0 to 100", n)
        for name in ("frequency", "time"):
            require(getattr(self, name) >= 1, f"augment.masks.{name}", "be at least 1", getattr(self, name))
        for name in ("n_frequency", "n_time"):
            require(getattr(self, name) >= 0, f"augment.masks.{name}", "be 0 or more", getattr(self, name))
        require(self.seed >= 0, "augment.masks.seed", "be 0 or more", self.seed)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to mask."""
        return any(self.copies.values())

    def require_room(self, n_frames: int, n_bands: int) -> None:
        """Check that the masks fit spectrograms of this size.

        Raises
        ------
        ParameterError
        """
        rooms = {"bands": n_bands, "frames": n_frames}
        for name, across in zip(("frequency", "time"), reversed(rooms) if self.as_published else rooms, strict=True):
            room, largest = rooms[across], getattr(self, name)
            require(largest <= room, f"augment.masks.{name}", f"be at most the {room} {across}", largest, "Lower it.")


def mask(levels: np.ndarray, masks: Masks, clip_id: str) -> np.ndarray:
    """Paint masks over a copy of a spectrogram, drawn for this clip alone.

    Parameters
    ----------
    levels : np.ndarray, shape (n_frames, n_bands), float32
        In dB.
    masks : Masks
    clip_id : str
        Id of the masked copy.

    Returns
    -------
    np.ndarray, shape (n_frames, n_bands), float32
        Masked at the clip's lowest level, the floor of its scale wherever it has one band or moment of silence.
    """
    rng = np.random.default_rng(int(files.digest(masks.seed, clip_id), 16))
    level = levels.max() if masks.as_published else levels.min()
    axes = (0, 1) if masks.as_published else (1, 0)
    masked = levels.copy()
    for axis, largest, n in zip(axes, (masks.frequency, masks.time), (masks.n_frequency, masks.n_time), strict=True):
        for _ in range(n):
            width = rng.integers(largest)
            start = rng.integers(levels.shape[axis] - width)
            np.moveaxis(masked, axis, 0)[start : start + width] = level
    return masked
