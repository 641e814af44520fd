"""Measure the latency of every model for one clip on one thread; interleaved rounds average out machine noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.core.project import files
from stages.core.project.progress import track
from stages.runtime import litert

ROUNDS = 4


def measure(models: Sequence[Path], sample: np.ndarray, *, warmup: int, runs: int, folder: Path) -> np.ndarray:
    """Time every model in several rounds; one model is in memory at a time.

    A round that was finished by an earlier, interrupted call is read back and not repeated.

    Parameters
    ----------
    models : Sequence[Path]
        Files that LiteRT can run.
    sample : np.ndarray, float32
        Features of one clip, without a batch axis.
    warmup : int
        Untimed runs after each loading.
    runs : int
        Timed runs of each model, over all rounds; at least `ROUNDS`.
    folder : Path
        Takes each round's raw measurements, ``round_<i>.npy``: seconds, (n_models, runs of the round).

    Returns
    -------
    np.ndarray, shape (n_models, runs), float64
        Seconds per run.
    """
    rounds = []
    for i, part in enumerate(np.array_split(np.arange(runs), ROUNDS)):
        path = folder / f"round_{i}.npy"
        if not path.exists():
            seconds = [
                litert.latency(litert.Model(model, threads=1), sample, warmup=warmup, runs=len(part))
                for model in track(models, f"latency, round {i + 1} of {ROUNDS}")
            ]
            with files.atomic(path) as temporary:
                np.save(temporary, np.stack(seconds))
        rounds.append(np.load(path))
    return np.concatenate(rounds, axis=1)


def percentile_ms(seconds: np.ndarray, percentile: float) -> list[float]:
    """Return a percentile of each row, in milliseconds to the tenth of a microsecond."""
    return [round(1e3 * float(value), 4) for value in np.percentile(seconds, percentile, axis=1)]
