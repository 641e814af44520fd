"""The naive reference: the figures of a classifier of pooled spectra and of chance, beside which a network stands."""

from dataclasses import dataclass
from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.artifacts.estimates import Estimate

FILE = "naive.json"


@dataclass(frozen=True)
class Figures:
    """Metrics on one split.

    Attributes
    ----------
    n, groups : int
        Recordings, and groups that they come from.
    metrics : dict of str to Estimate
    """

    n: int
    groups: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Naive:
    """Metrics of the best of several plain classifiers, and of chance.

    Attributes
    ----------
    classifier : str
        The one with the highest `metric` on validation.
    metric : str
        Metric that chose it.
    tried : dict of str to float
        Classifier to its `metric` on validation.
    n_features : int
        Numbers that describe a recording.
    validation, test : Figures
        Its figures.
    chance : dict of str to dict of str to float
        Split to metric to what is reached without listening: always the training split's most frequent class, or
        scores in random order.
    """

    classifier: str
    metric: str
    tried: dict[str, float]
    n_features: int
    validation: Figures
    test: Figures
    chance: dict[str, dict[str, float]]


def read(folder: Path) -> Naive:
    """Read `naive.json` of the stage's folder.

    Raises
    ------
    DataError
    """
    return json_file.read(Naive, folder / FILE, stage="naive")


def write(folder: Path, naive: Naive) -> None:
    """Write `naive.json`."""
    json_file.write(folder / FILE, naive)
