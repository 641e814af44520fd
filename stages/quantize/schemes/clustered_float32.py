"""float32 with few distinct values: the weights of each kernel share centroids, as weight clustering has it.

Raw size, kernels, latency and memory are those of float32; what shrinks is the deflated file, to about log2(clusters)
bits per weight, for downloads and archives. Zeros stay zeros and take no centroid. In `sweep.qat_schemes` the
centroids are trained while the weights keep their clusters.

Han, Mao and Dally, "Deep Compression", ICLR 2016, section 3: k-means from evenly spaced centroids, which they found to
keep large weights best; the gradient of a centroid is the sum of its weights'. The clustering of TensorFlow Model
Optimization starts likewise (`CentroidInitialization.LINEAR`) and leaves the rest to fine-tuning.
"""

from dataclasses import dataclass

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.project.errors import ModelError, require
from stages.quantize.schemes import _dtypes

BIT_WIDTH = 32
NEEDS_CALIBRATION = False
AGREEMENT = 0.6, 0.3, (0.5, 1.6)  # rank correlation, difference and scale; see stages.quantize.agreement.Limits
SIZE_DEPENDS_ON_WEIGHTS = True
LOSSY = True
_CLAIM = _dtypes.Claim("clustered_float32", "float32", "float32", allowed=frozenset({"float32", "int32"}))
_ROUNDS = 300  # of k-means; 32 clusters of a million normal weights settle within it


@dataclass(frozen=True)
class Config:
    """Parameters of the scheme.

    Attributes
    ----------
    clusters : int
        Distinct values, besides zero, that the weights of a kernel may have.
    """

    clusters: int = 32

    def __post_init__(self) -> None:
        """Check the range."""
        rule, owner = "lie between 2 and 255", "quantize.options.clustered_float32.clusters"
        require(2 <= self.clusters <= 255, owner, rule, self.clusters, "32 is a good start.")


def quantize(config: Config, float32: bytes, calibration: np.ndarray | None = None) -> bytes:  # noqa: ARG001
    """Return the model with shared weights; one whose weights are shared already is returned as it is."""
    constants = flatbuffer.float_constants(float32)
    names = {weight.name for weight in flatbuffer.read(float32).weights}
    return flatbuffer.with_float_constants(float32, {n: share(constants[n], config.clusters) for n in sorted(names)})


def verify(config: Config, model: bytes) -> None:
    """Require the dtypes of float32, and no more distinct values than `config.clusters`.

    Raises
    ------
    ModelError
    """
    contents = flatbuffer.read(model)
    _CLAIM.require(contents)
    for weight in contents.weights:
        distinct = len(np.unique(weight.values[weight.values != 0]))
        if distinct > config.clusters:
            raise ModelError(
                f"A clustered_float32 model must have at most {config.clusters} distinct weights in {weight.name}; "
                f"got {distinct}. Make it of the float32 file."
            )


def share(weights: np.ndarray, clusters: int) -> np.ndarray:
    """Replace every weight by the nearest of its kernel's centroids.

    Parameters
    ----------
    weights : np.ndarray, float32
    clusters : int
        Centroids at most; fewer if some have no weight nearest to them.

    Returns
    -------
    np.ndarray, float32
        Same shape; zeros are zeros.

    Examples
    --------
    >>> share(np.array([-2.0, -1.0, 0.0, 1.0, 3.0], np.float32), 2).tolist()
    [-1.5, -1.5, 0.0, 2.0, 2.0]
    """
    values = np.sort(weights[weights != 0].astype(np.float64))
    if len(values) < 2 or np.count_nonzero(np.diff(values)) < clusters:
        return weights
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centroids = start(values, clusters)
    for _ in range(_ROUNDS):
        bounds = _bounds(values, centroids)
        counts = np.diff(bounds)
        moved = np.diff(sums[bounds])[counts > 0] / counts[counts > 0]
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    shared = centroids.astype(np.float32)
    nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights)
    return np.where(weights == 0, np.float32(0), shared[nearest])


def start(values: np.ndarray, clusters: int) -> np.ndarray:
    """Return centroids evenly spaced over the range of the negative weights and over that of the positive ones.

    Pruned weights leave a gap around zero, and centroids in a gap would be lost.

    Parameters
    ----------
    values : np.ndarray, sorted, without zeros
    clusters : int
        2 or more.
    """
    sides = [side for side in np.split(values, [np.searchsorted(values, 0)]) if len(side)]
    if len(sides) == 1:
        return np.linspace(values[0], values[-1], clusters)
    spans = [side[-1] - side[0] for side in sides]
    n = min(max(round(clusters * spans[0] / max(sum(spans), 1e-30)), 1), clusters - 1)
    parts = zip(sides, (n, clusters - n), strict=True)
    return np.concatenate([np.linspace(side[0], side[-1], count) for side, count in parts])


def _bounds(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return where, among sorted values, the cluster of each centroid begins, and the end."""
    between = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2, side="right")
    return np.concatenate([[0], between, [len(values)]])
