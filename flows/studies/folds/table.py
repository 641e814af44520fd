"""Tables of finished cross-validation runs: a row for each variant, and the gain of one set of runs over another."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from stages.core.artifacts import dataset
from stages.core.artifacts.variant import Variant, read_latencies, read_variants
from stages.core.project import layout, tables
from stages.core.project.errors import DataError
from stages.core.scoring import metrics, stats
from stages.evaluate.params import EvaluateParams

if TYPE_CHECKING:
    from flows.studies.folds.runs import Run

REFERENCE = "baseline-float32"
COLUMNS = (
    *("name", "mean", "sd", "low", "high", "drop", "drop_low", "drop_high"),
    *("raw_bytes", "deflated_bytes", "flops", "latency_ms", "front"),
)
GAIN_COLUMNS = ("name", "site", "mean", "other", "gain", "low", "high", "clips_low", "clips_high", "n_pairs")


@dataclass(frozen=True)
class Row:
    """What the folds say of one variant.

    Attributes
    ----------
    name : str
        The variant's, without its seed.
    values : tuple[float, ...]
        Of the metric on each test fold, the mean over seeds.
    low, high : float
        Interval of their mean, by a bootstrap over groups.
    drop, drop_low, drop_high : float
        How far the mean lies below the float32 baseline's, by the same resamples.
    raw_bytes, deflated_bytes : float
        Means over the runs.
    flops : float
        Of one clip, likewise.
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
    """What one way gains on another, for one variant: the metric's difference, fold by fold and seed by seed.

    Attributes
    ----------
    name : str
    site : str
        Whose clips alone these figures are of; empty for all.
    mean, other : float
        Of the metric over all runs, this way and the other.
    gain : float
        The mean difference; positive if this way is better.
    low, high : float
        Its interval by Student's t over the pairs, NaN of one: what other seeds and folds could have given.
    clips_low, clips_high : float
        Its interval by a bootstrap over groups, the networks being as they are: what other clips could have given.
    n_pairs : int
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
    n_pairs: int


class Figures:
    """The metric of every variant that all runs have, on their test folds.

    Parameters
    ----------
    runs : Sequence of Run
        Of the same seeds on every fold.
    metric : str
        One of `stages.core.scoring.metrics.METRICS`.
    evaluate : EvaluateParams
        Its resamples, confidence and seed. Groups are drawn over all folds at once: a clip is tested by every seed's
        network of its fold, and no clip is tested twice by a seed.

    Attributes
    ----------
    names : list[str]
        Of the variants without their seeds, the float32 baseline's first.
    sites : list[str]
        Of the clips, if there are several.
    """

    def __init__(self, runs: "Sequence[Run]", *, metric: str, evaluate: EvaluateParams) -> None:
        self.runs, self.metric, self._evaluate = runs, metric, evaluate
        self._measured: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        self._truth = {run: dataset.read_labels(run.folder / layout.FEATURES, "test") for run in runs}
        self._found = {run: _variants(run) for run in runs}
        shared = [name for name in self._found[runs[0]] if all(name in found for found in self._found.values())]
        self.names = sorted(shared, key=lambda name: (name != REFERENCE, name))
        sites = sorted({site for truth in self._truth.values() for site in truth.sites.tolist()} - {""})
        self.sites = sites if len(sites) > 1 else []
        self.groups = np.concatenate([truth.groups for truth in self._truth.values()])
        rng = np.random.default_rng(evaluate.seed)
        self._draws = list(stats.group_bootstrap(self.groups, resamples=evaluate.bootstrap_resamples, rng=rng))

    @property
    def confidence(self) -> float:
        """Of the intervals."""
        return self._evaluate.confidence

    def variants(self, name: str) -> list[Variant]:
        """Return a variant of every run."""
        return [self._found[run][name] for run in self.runs]

    def interval(self, resampled: np.ndarray) -> tuple[float, float]:
        """Return the interval of a figure that was computed from every resample, (n_resamples,)."""
        return stats.percentile_interval(resampled, confidence=self.confidence)

    def measure(self, name: str, site: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Return the metric of each run, (n_runs,), and of each resample, the mean over the runs, (n_resamples,).

        With a site, of its clips alone.
        """
        if (name, site) in self._measured:
            return self._measured[name, site]
        values, resampled, start = [], [], 0
        for run, variant in zip(self.runs, self.variants(name), strict=True):
            truth = self._truth[run]
            part, start = slice(start, start + len(truth.y)), start + len(truth.y)
            counts = (truth.sites == site) if site else np.ones(len(truth.y), bool)
            measure = functools.partial(
                metrics.measure,
                self.metric,
                truth.y,
                np.load(run.folder / layout.SWEEP / "scores" / f"{variant.name}.npz")["test"],
                threshold=variant.metrics["validation"]["threshold"],
                specificity=self._evaluate.specificity,
                calibration_bins=self._evaluate.calibration_bins,
            )
            values.append(float(measure(weights=counts)))
            resampled.append(np.concatenate([measure(weights=block[:, part] * counts) for block in self._draws]))
        defined = ~np.isnan(resampled)
        means = np.nansum(resampled, axis=0) / np.maximum(defined.sum(axis=0), 1)
        self._measured[name, site] = np.array(values), np.where(defined.any(axis=0), means, np.nan)
        return self._measured[name, site]


def collect(figures: Figures) -> list[Row]:
    """Summarise finished runs, the float32 baseline first."""
    runs = figures.runs
    folds = list(dict.fromkeys(run.fold for run in runs))
    latencies = {run: read_latencies(run.folder / layout.EVALUATION / "variants.csv") for run in runs}
    rows = []
    reference: tuple[np.ndarray, np.ndarray] | None = None
    for name in figures.names:
        values, resampled = figures.measure(name)
        reference = reference or (values, resampled)
        low, high = figures.interval(resampled)
        drop = figures.interval(reference[1] - resampled)
        variants = figures.variants(name)
        times = [latencies[run][v.name] for run, v in zip(runs, variants, strict=True) if v.name in latencies[run]]
        by_fold = [float(np.mean([v for run, v in zip(runs, values, strict=True) if run.fold == f])) for f in folds]
        rows.append(
            Row(
                name,
                tuple(by_fold),
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
    front = {row.name for row in stats.front(rows, size=lambda row: row.raw_bytes, metric=lambda row: row.mean)}
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
        (mine, my_resamples), (theirs, their_resamples) = this.measure(name, site), other.measure(name, site)
        pairs, reach = mine - theirs, float("nan")
        if len(pairs) > 1:
            t = float(student.ppf((1 + this.confidence) / 2, len(pairs) - 1))
            reach = t * float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
        of_clips = this.interval(my_resamples - their_resamples)
        gain = float(pairs.mean())
        figures = (float(mine.mean()), float(theirs.mean()), gain, gain - reach, gain + reach, *of_clips)
        gains.append(Gain(name, site, *figures, len(pairs)))
    return gains


def table(rows: Sequence[Row], figures: Figures) -> str:
    """Return the rows as Markdown."""
    folds, seeds = len({run.fold for run in figures.runs}), len({run.seed for run in figures.runs})
    sure = f"{100 * figures.confidence:g} %"
    head = [
        "variant",
        f"{figures.metric} on the test folds [{sure} interval]",
        "sd over folds",
        f"below the baseline [{sure}]",
    ]
    head += ["raw bytes", "deflated bytes", "MFLOPs", "latency in ms"]
    lines = [
        [
            f"**{row.name}**" if row.front else row.name,
            f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]",
            "" if row.sd is None else f"{row.sd:.3f}",
            "" if row.name == REFERENCE else f"{row.drop:+.3f} [{row.drop_low:+.3f}, {row.drop_high:+.3f}]",
            f"{row.raw_bytes:,.0f}",
            f"{row.deflated_bytes:,.0f}",
            f"{row.flops / 1e6:.1f}",
            "" if row.latency_ms is None else f"{row.latency_ms:.3f}",
        ]
        for row in rows
    ]
    clips = len(figures.groups) // seeds
    caption = f"{clips} clips, each tested once by {seeds} seed{'s' if seeds > 1 else ''}"
    caption += f", in {folds} folds." if folds > 1 else "."
    caption += " In bold the front: no other is both as small, in raw bytes, and as good in the mean."
    return f"{tables.markdown(head, lines)}\n\n{caption}"


def gains_table(gains: Sequence[Gain], figures: Figures, against: str) -> str:
    """Return the gains as Markdown."""
    sure = f"{100 * figures.confidence:g} %"
    head = ["variant", "site", figures.metric, against, f"gain [{sure} over folds and seeds]", f"[{sure} over clips]"]
    lines = [
        [
            gain.name,
            gain.site or "all",
            f"{gain.mean:.3f}",
            f"{gain.other:.3f}",
            f"{gain.gain:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]",
            f"[{gain.clips_low:+.3f}, {gain.clips_high:+.3f}]",
        ]
        for gain in gains
    ]
    return f"{tables.markdown(head, lines)}\n\n{gains[0].n_pairs} pairs." if gains else "No variant is in both."


def records(rows: Sequence[Row | Gain], columns: Sequence[str]) -> list[dict[str, str | float | None]]:
    """Return rows for a CSV file, six decimals."""
    return [{name: _rounded(getattr(row, name)) for name in columns} for row in rows]


def _rounded(value: str | float | None) -> str | float | None:
    return round(value, 6) if isinstance(value, float) else value


def _variants(run: "Run") -> dict[str, Variant]:
    """Return a run's variants by their names without the seed."""
    variants = read_variants(run.folder / layout.SWEEP / "variants.json")
    return {variant.name.removesuffix(f"-seed{run.seed}"): variant for variant in variants}
