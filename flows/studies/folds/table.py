"""Tables of finished cross-validation runs: a row for each variant, and the gain of one set of runs over another."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset, evaluation
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import layout, tables
from stages.core.project.errors import DataError
from stages.core.scoring import interval, metrics, uncertainty
from stages.core.scoring.baseline import baseline
from stages.core.scoring.folds import corrected_interval
from stages.core.scoring.pareto import pareto_front
from stages.core.scoring.resampling import Draws, Measured
from stages.evaluate.params import EvaluateParams

if TYPE_CHECKING:
    from flows.studies.folds.runs import Run

COLUMNS = (
    *("name", "mean", "sd", "low", "high", "drop", "drop_low", "drop_high"),
    *("raw_bytes", "deflated_bytes", "flops", "latency_ms", "front"),
)
GAIN_COLUMNS = ("name", "site", "mean", "other", "gain", "low", "high", "clips_low", "clips_high", "n_folds", "n_seeds")


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
        Interval of their mean, over groups of clips; NaN where there are too few.
    drop, drop_low, drop_high : float
        How far the mean lies below the float32 baseline's, the clips paired, and its interval.
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
    baseline : str
        Name of the float32 baseline.
    names : list[str]
        Of the variants without their seeds, the float32 baseline's first.
    sites : list[str]
        Of the clips, if there are several.
    """

    def __init__(self, runs: "Sequence[Run]", *, metric: str, evaluate: EvaluateParams) -> None:
        self.runs, self.metric, self._evaluate = runs, metric, evaluate
        self._measured: dict[tuple[str, str], tuple[np.ndarray, Measured]] = {}
        self._truth = {run: dataset.read_labels(run.folder / layout.FEATURES, "test") for run in runs}
        self._found = {run: _variants(run) for run in runs}
        shared = [name for name in self._found[runs[0]] if all(name in found for found in self._found.values())]
        first = self._found[runs[0]]
        self.baseline = next(name for name, variant in first.items() if variant is baseline(first.values()))
        self.names = sorted(shared, key=lambda name: (name != self.baseline, name))
        sites = sorted({site for truth in self._truth.values() for site in truth.sites.tolist()} - {""})
        self.sites = sites if len(sites) > 1 else []
        self.groups = np.concatenate([truth.groups for truth in self._truth.values()])
        self._draws = {site: self._drawn(site) for site in ("", *self.sites)}
        self._blocks = {site: list(draws.blocks()) for site, draws in self._draws.items()}

    def _drawn(self, site: str) -> Draws:
        truths = self._truth.values()
        y, groups = (
            np.concatenate([getattr(truth, name)[_of_site(truth, site)] for truth in truths])
            for name in ("y", "groups")
        )
        n_classes = 0 if y.ndim == 2 else max(int(truth.y.max()) for truth in truths) + 1
        return Draws.of(y, groups, n_classes, resamples=self._evaluate.bootstrap_resamples, seed=self._evaluate.seed)

    @property
    def confidence(self) -> float:
        """Of the intervals."""
        return self._evaluate.confidence

    def variants(self, name: str) -> list[Variant]:
        """Return a variant of every run."""
        return [self._found[run][name] for run in self.runs]

    @property
    def folds(self) -> list[str]:
        """Folds in the order of the runs."""
        return list(dict.fromkeys(run.fold for run in self.runs))

    @property
    def test_to_train(self) -> float:
        """Ratio of the recordings under test to those trained on, in the first run."""
        clips = clips_file.read(self.runs[0].folder / layout.FEATURES)
        n_train = sum(clip.split == "train" and not clip.parent for clip in clips)
        return sum(clip.split == "test" for clip in clips) / n_train if n_train else 0.0

    def by_fold(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over seeds of what is known of each run, (n_runs,) to (n_folds,)."""
        return np.array(
            [np.mean([v for run, v in zip(self.runs, values, strict=True) if run.fold == f]) for f in self.folds]
        )

    def refusal(self, site: str = "") -> str:
        """Say why there is no interval over the clips, of all or of a site's; empty if there is one."""
        return self._draws[site].refusal(by_class=self.metric in metrics.BY_CLASS)

    def interval(self, measured: Measured) -> tuple[float, float]:
        """Return the interval of the metric; NaN if it is refused."""
        if self.refusal():
            return float("nan"), float("nan")
        return uncertainty.fraction_interval(
            measured, self._draws[""], confidence=self.confidence, by_class=self.metric in metrics.BY_CLASS
        )

    def difference_interval(self, measured: Measured, site: str = "") -> tuple[float, float]:
        """Return the interval of a difference of two measured figures; NaN if it is refused."""
        if self.refusal(site):
            return float("nan"), float("nan")
        return uncertainty.difference_interval(
            measured, self._draws[site], confidence=self.confidence, decisions=self.metric in metrics.OF_DECISIONS
        )

    def measure(self, name: str, site: str = "") -> tuple[np.ndarray, Measured]:
        """Return the metric of each run, (n_runs,), and their mean on all draws of groups.

        With a site, of its clips alone.
        """
        if (name, site) in self._measured:
            return self._measured[name, site]
        values, resampled, start = [], [], 0
        for run, variant in zip(self.runs, self.variants(name), strict=True):
            truth = self._truth[run]
            rows = _of_site(truth, site)
            part, start = slice(start, start + int(rows.sum())), start + int(rows.sum())
            measure = functools.partial(
                metrics.measure,
                self.metric,
                truth.y[rows],
                np.load(run.folder / layout.SWEEP / "scores" / f"{variant.name}.npz")["test"][rows],
                threshold=variant.threshold,
                specificity=self._evaluate.specificity,
                calibration_bins=self._evaluate.calibration_bins,
            )
            of_draws = [
                measure(weights=block[:, part]) if rows.any() else np.full(len(block), np.nan)
                for block in self._blocks[site]
            ]
            resampled.append(np.concatenate(of_draws))
            values.append(float(resampled[-1][0]))
        defined = ~np.isnan(resampled)
        means = np.nansum(resampled, axis=0) / np.maximum(defined.sum(axis=0), 1)
        self._measured[name, site] = (
            np.array(values),
            self._draws[site].split(np.where(defined.any(axis=0), means, np.nan)),
        )
        return self._measured[name, site]


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
            interval.text(Estimate(row.mean, row.low, row.high)),
            "" if row.sd is None else f"{row.sd:.3f}",
            ""
            if row.name == figures.baseline
            else interval.text(Estimate(row.drop, row.drop_low, row.drop_high), sign=True),
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
    if figures.refusal():
        caption += f" No intervals: {figures.refusal()}."
    caption += (
        f" In bold the front over {len(rows)} means: no other is both as small, in raw bytes, and as good in the mean. "
        "The test folds chose it, so that it is no prediction of which would lead on other clips."
    )
    return f"{tables.markdown(head, lines)}\n\n{caption}"


def gains_table(gains: Sequence[Gain], figures: Figures, against: str) -> str:
    """Return the gains as Markdown."""
    several = len(figures.folds) > 1
    over = "folds" if several else "seeds"
    sure = f"{100 * figures.confidence:g} %"
    head = ["variant", "site", figures.metric, against, f"gain [{sure} over {over}]", f"[{sure} over clips]"]
    lines = [
        [
            gain.name,
            gain.site or "all",
            f"{gain.mean:.3f}",
            f"{gain.other:.3f}",
            interval.text(Estimate(gain.gain, gain.low, gain.high), sign=True),
            interval.bracket(gain.clips_low, gain.clips_high, sign=True, undefined="too few groups"),
        ]
        for gain in gains
    ]
    if not gains:
        return "No variant is in both."
    seeds = f"{gains[0].n_seeds} seed{'s' if gains[0].n_seeds > 1 else ''}"
    caption = (
        f"{gains[0].n_folds} folds, the mean of {seeds} each; corrected for overlapping training sets (Nadeau and "
    )
    caption += "Bengio)." if several else ""
    return f"{tables.markdown(head, lines)}\n\n{caption if several else f'One split, {seeds}.'}"


def records(rows: Sequence[Row | Gain], columns: Sequence[str]) -> list[dict[str, str | float | None]]:
    """Return rows for a CSV file, six decimals."""
    return [{name: _rounded(getattr(row, name)) for name in columns} for row in rows]


def _rounded(value: str | float | None) -> str | float | None:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return value


def _of_site(truth: dataset.SplitLabels, site: str) -> np.ndarray:
    return np.asarray(truth.sites == site) if site else np.ones(len(truth.y), bool)


def _variants(run: "Run") -> dict[str, Variant]:
    """Return a run's variants by their names without the seed."""
    variants = read_variants(run.folder / layout.SWEEP / "variants.json")
    return {variant.name.removesuffix(f"-seed{run.seed}"): variant for variant in variants}
