"""Choose the calibration set: training clips from which full-integer schemes take their activation ranges."""

import numpy as np

from stages.core.project.errors import DataError, require


def calibration_set(x: np.ndarray, *, n: int, seed: int) -> np.ndarray:
    """Choose clips without replacement, and a crop of each: the same ones for the same seed.

    Parameters
    ----------
    x : np.ndarray, shape (n_clips, n_crops, ...), float32
        `Split.crops` of the training split.
    n : int
    seed : int

    Returns
    -------
    np.ndarray, shape (n, ...), float32
        A copy, in the order of `x`.

    Raises
    ------
    ParameterError
        If there are fewer than `n` clips.
    DataError
        If a chosen clip holds NaN or infinity.
    """
    require(
        1 <= n <= len(x),
        "quantize.calibration_clips",
        f"be between 1 and the {len(x)} clips of the training split",
        n,
        "Lower it.",
    )
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(x), n, replace=False))
    chosen = np.array(x[rows, rng.integers(x.shape[1], size=n)], dtype=np.float32)
    if not np.isfinite(chosen).all():
        raise DataError("The features of the training split hold NaN or infinity. Run `dvc repro features` again.")
    return chosen
