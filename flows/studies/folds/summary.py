"""Summaries of finished cross-validation runs: one row per variant, and the gain of one set of runs over another."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from flows.studies.folds.figures import Figures
from stages.core.artifacts import evaluation
from stages.core.project import layout
from stages.core.project.errors import DataError
from stages.core.scoring.folds import corrected_interval
from stages.core.scoring.pareto import pareto_front
from stages.core.scoring.resampling import Measured


@dataclass(frozen=True)
class Row:
    """Metrics of one variant over the folds.

    Attributes
    ----------
    name : str
        The variant's, without its seed.
    values : tuple[float, ...]
        Metric on each test fold, the mean over seeds.
    low, high : float
        Interval of their mean, over groups of clips; NaN where there are too few.
    drop, drop_low, drop_high : float
        How far the mean lies below the float32 baseline's, the clips paired, and its interval.
    raw_bytes, deflated_bytes : float
        Means over the runs.
    flops : float
        Floating-point operations of one clip, mean over the runs.
    latency_ms : float or None
        Median of one clip on one thread, likewise; None if it was not measured.
    front : bool
        Whether no other variant is both as small, in raw bytes, and as good in the mean.
    """

    name: str
    values: tuple[float, ...]
    low: float
    high: float
    drop: float
    drop_low: float
    drop_high: float
    raw_bytes: float
    deflated_bytes: float
    flops: float
    latency_ms: float | None
    front: bool = False

    @property
    def mean(self) -> float:
        """Over folds and seeds."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Over folds: the sample standard deviation; None if there are no two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Gain:
    """Gain of one set of runs over another for one variant: the metric's difference, paired by fold and seed.

    Attributes
    ----------
    name : str
    site : str
        Whose clips alone these figures are of; empty for all.
    mean, other : float
        Means of the metric over all runs, this set and the other.
    gain : float
        The mean difference; positive if this way is better.
    low, high : float
        Its interval over the folds' means, corrected for their overlapping training sets
        (`stages.core.scoring.folds.corrected_interval`): what other folds could have given. Of a single split it is
        Student's over the seeds, which is what other seeds could have given. NaN for a single pair.
    clips_low, clips_high : float
        Its interval over groups, the networks being as they are: what other clips could have given. NaN where there are
        too few groups.
    n_folds, n_seeds : int
    """

    name: str
    site: str
    mean: float
    other: float
    gain: float
    low: float
    high: float
    clips_low: float
    clips_high: float
    n_folds: int
    n_seeds: int


def collect(figures: Figures) -> list[Row]:
    """Summarise finished runs, the float32 baseline first."""
    runs = figures.runs
    latencies = {run: evaluation.latencies(run.folder / layout.EVALUATION) for run in runs}
    rows = []
    reference: tuple[np.ndarray, Measured] | None = None
    for name in figures.names:
        values, measured = figures.measure(name)
        reference = reference or (values, measured)
        low, high = figures.interval(measured)
        drop = (0.0, 0.0) if name == figures.baseline else figures.difference_interval(reference[1] - measured)
        variants = figures.variants(name)
        times = [latencies[run][v.name] for run, v in zip(runs, variants, strict=True) if v.name in latencies[run]]
        rows.append(
            Row(
                name,
                tuple(figures.by_fold(values).tolist()),
                low,
                high,
                float(reference[0].mean() - values.mean()),
                *drop,
                float(np.mean([v.raw_bytes for v in variants])),
                float(np.mean([v.deflated_bytes for v in variants])),
                float(np.mean([v.flops for v in variants])),
                float(np.mean(times)) if len(times) == len(runs) else None,
            )
        )
    front = {row.name for row in pareto_front(rows, lambda row: (row.raw_bytes, -row.mean))}
    return [replace(row, front=row.name in front) for row in rows]


def compare(this: Figures, other: Figures) -> list[Gain]:
    """Compare two sets of runs of the same folds and seeds, in the same order.

    Parameters
    ----------
    this, other : Figures

    Raises
    ------
    DataError
        If they were not tested on the same clips.
    """
    if not np.array_equal(this.groups, other.groups):
        raise DataError("Both ways must be tested on the same clips; leave pull and split as they are in --against.")
    gains = []
    shared = [name for name in this.names if name in other.names]
    for site, name in product(("", *this.sites), shared):
        (mine, my_draws), (theirs, their_draws) = this.measure(name, site), other.measure(name, site)
        n_folds, gain = len(this.folds), float((mine - theirs).mean())
        apart = this.by_fold(mine - theirs) if n_folds > 1 else mine - theirs
        over_folds = corrected_interval(
            apart, test_to_train=this.test_to_train if n_folds > 1 else 0.0, confidence=this.confidence
        )
        of_clips = this.difference_interval(my_draws - their_draws, site)
        figures = (float(mine.mean()), float(theirs.mean()), gain, *over_folds, *of_clips)
        gains.append(Gain(name, site, *figures, n_folds, len(mine) // n_folds))
    return gains
