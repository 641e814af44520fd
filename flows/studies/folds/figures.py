"""The metric of every variant on the test folds of finished runs, with draws of groups for its intervals."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import layout
from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.baseline import baseline
from stages.core.scoring.resampling import Draws, Measured
from stages.evaluate.params import EvaluateParams

if TYPE_CHECKING:
    from flows.studies.folds.run_folder import Run


class Figures:
    """The metric of every variant that all runs have, on their test folds.

    Parameters
    ----------
    runs : Sequence of Run
        Finished runs, with the same seeds on every fold.
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
        Names of the variants without their seeds, the float32 baseline's first.
    sites : list[str]
        Sites of the clips, if there are several.
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
        """Confidence of the intervals."""
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
                params=self._evaluate.metrics,
            )
            weights = self._draws[site].weights
            of_rows = measure(weights=weights.restricted(part)) if rows.any() else np.full(len(weights), np.nan)
            resampled.append(of_rows)
            values.append(float(resampled[-1][0]))
        defined = ~np.isnan(resampled)
        means = np.nansum(resampled, axis=0) / np.maximum(defined.sum(axis=0), 1)
        self._measured[name, site] = (
            np.array(values),
            self._draws[site].split(np.where(defined.any(axis=0), means, np.nan)),
        )
        return self._measured[name, site]


def _of_site(truth: dataset.SplitLabels, site: str) -> np.ndarray:
    return np.asarray(truth.sites == site) if site else np.ones(len(truth.y), bool)


def _variants(run: "Run") -> dict[str, Variant]:
    """Return a run's variants by their names without the seed."""
    variants = read_variants(run.folder / layout.SWEEP / "variants.json")
    return {variant.name.removesuffix(f"-seed{run.seed}"): variant for variant in variants}
