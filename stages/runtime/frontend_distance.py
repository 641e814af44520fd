"""How far a sound lies from the training clips, by the front end's output alone, in numpy.

A clip is described by the mean and the standard deviation over time of every band of the front end's output; more than
`BANDS` neighbouring bands are averaged into `BANDS`. The distance is Mahalanobis' with a diagonal covariance, so that
it takes 64 numbers at most.

References
----------
Mahalanobis, "On the generalised distance in statistics", Proc. Natl. Inst. Sci. India 2 (1936). Lee et al., "A Simple
Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018: the distance as a
confidence.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BANDS = 16


@dataclass(frozen=True)
class FrontEndDistance:
    """Distance of a clip's means and deviations per band from those of the training clips.

    Attributes
    ----------
    means, scales : tuple[float, ...]
        Centre and unit of every value of `summaries`; the unit is above 0, and of a mean wider than its spread.

    Raises
    ------
    ValueError
        If the lengths do not fit each other or a number is out of range; the message completes "reject ...".
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the lengths and the numbers."""
        n = len(self.means)
        if not 0 < n <= 2 * BANDS or n % 2 or len(self.scales) != n:
            lengths = (n, len(self.scales))
            raise ValueError(f"must have frontend with equally many means and scales, two a band; got {lengths}")
        finite = all(map(math.isfinite, (*self.means, *self.scales)))
        if not finite or min(self.scales) <= 0:
            raise ValueError("must have frontend with finite numbers and scales above 0")

    def confidence(self, features: np.ndarray) -> np.ndarray:
        """Return minus the distance, 0 at the centre of the training clips and within -1 for most of them.

        Parameters
        ----------
        features : np.ndarray, shape (n, n_steps, ...), float32
            What the front end gave.

        Returns
        -------
        np.ndarray, shape (n,), float64

        Raises
        ------
        ValueError
            If the features have another number of bands.

        Examples
        --------
        >>> plain = FrontEndDistance(means=(0.0, 1.0), scales=(1.0, 1.0))
        >>> plain.confidence(np.array([[[-1.0], [1.0]], [[2.0], [4.0]]])).round(3).tolist()
        [-0.0, -2.121]
        """
        return self.of_summaries(summaries(features))

    def of_summaries(self, values: np.ndarray) -> np.ndarray:
        """Return what `confidence` does, from what `summaries` returned."""
        if values.shape[1] != len(self.means):
            raise ValueError(f"frontend describes clips by {len(self.means)} values; these have {values.shape[1]}")
        z = (values - self.means) / self.scales
        return np.asarray(-np.sqrt((z**2).mean(axis=1)))


def summaries(features: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation over time of every band: (n, 2 n_bands) float64.

    Parameters
    ----------
    features : np.ndarray, shape (n, n_steps, ...), float32
        Everything after the time steps counts as bands; more than `BANDS` are averaged into `BANDS` in their order.

    Examples
    --------
    >>> summaries(np.array([[[1.0, 4.0], [3.0, 4.0]]])).tolist()
    [[2.0, 4.0, 1.0, 0.0]]
    >>> summaries(np.zeros((3, 100, 64))).shape
    (3, 32)
    """
    x = np.asarray(features, np.float64).reshape(*features.shape[:2], -1)
    n = x.shape[2]
    if n > BANDS:
        starts = np.arange(BANDS) * n // BANDS
        x = np.add.reduceat(x, starts, axis=2) / np.diff([*starts, n])
    return np.hstack([x.mean(axis=1), x.std(axis=1)])


def parse(values: Any) -> FrontEndDistance:
    """Return the distance of plain values, as JSON gives them.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is of another type or out of range.
    """
    names = ("means", "scales")
    if not isinstance(values, Mapping) or set(values) != set(names):
        raise ValueError(f"must have frontend as an object of {' and '.join(names)}; got {values!r}")
    for name in names:
        numbers = values[name]
        known = isinstance(numbers, list | tuple) and all(
            isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e300 for v in numbers
        )
        if not known:
            raise ValueError(f"must have frontend with {name} as a list of numbers; got {numbers!r}")
    return FrontEndDistance(*(tuple(map(float, values[name])) for name in names))


def plain(distance: FrontEndDistance) -> dict[str, object]:
    """Return the distance as JSON has it."""
    return {name: list(numbers) for name, numbers in asdict(distance).items()}
