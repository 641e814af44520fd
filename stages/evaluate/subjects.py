"""What is measured: the variants of a sweep, and where their files and the clips lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts.variant import Variant
from stages.core.project.progress import track
from stages.evaluate.scoring import score


@dataclass(frozen=True)
class Subjects:
    """Variants that are compared with one of them.

    Attributes
    ----------
    variants : tuple of Variant
    reference : Variant
        One of them, the float32 baseline.
    sweep : Path
        Holds ``<variant>.tflite`` and ``scores/<variant>.npz``.
    features : Path
        Holds ``clips.csv`` and ``frontend.tflite``.
    """

    variants: tuple[Variant, ...]
    reference: Variant
    sweep: Path
    features: Path

    def score(self, crops: np.ndarray, what: str) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every variant's name and its scores of some clips.

        Parameters
        ----------
        crops : np.ndarray
            As `stages.evaluate.scoring.score` takes them.
        what : str
            What the progress bar shows.
        """
        for variant in track(self.variants, what):
            yield variant.name, score(self.sweep / f"{variant.name}.tflite", crops)
