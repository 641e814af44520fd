"""Score every variant on labelled recordings from other places: what home promises, and what holds elsewhere.

Nothing is chosen or fitted here: thresholds are those of validation, and a recording of a group that trained or chose
the model is left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split, SplitLabels
from stages.core.artifacts.elsewhere import ElsewhereResult
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.params import load
from stages.core.project.progress import track
from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.arrays import rounded
from stages.core.scoring.resampling import Draws, Measured
from stages.core.scoring.summary import summarise
from stages.core.scoring.weights import Weights
from stages.evaluate import places
from stages.evaluate.params import EvaluateParams, Place
from stages.evaluate.subjects import Subjects

COLUMNS = ("place", "name", "n", "groups", "figure", "value", "low", "high", "reason")
LEFT_OUT_COLUMNS = ("place", "path", "reason")
DIFFERENCES = ("drop", "compression", "compression_at_home", "excess")


@dataclass(frozen=True)
class Scored:
    """The recordings of one place with the scores of every variant.

    Attributes
    ----------
    y, groups : np.ndarray
    scores : dict[str, np.ndarray]
        Variant to scores, (n,) or (n, n_classes) float64.
    left_out : tuple[tuple[str, str], ...]
        Path and reason.
    """

    y: np.ndarray
    groups: np.ndarray
    scores: dict[str, np.ndarray]
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Judge:
    """What the figures of every place are computed with.

    Attributes
    ----------
    reference : Variant
        The float32 baseline.
    labels : tuple[str, ...]
    metric : str
        Metric that stands for the whole.
    params : EvaluateParams
    """

    reference: Variant
    labels: tuple[str, ...]
    metric: str
    params: EvaluateParams

    def result(self, variant: Variant, there: Scored, before: Estimate) -> ElsewhereResult:
        """Return a variant's figures on the recordings of one place; `before` is `below` at home."""
        summary = summarise(
            SplitLabels(there.y, there.groups, np.full(len(there.groups), "")),
            there.scores[variant.name],
            labels=self.labels,
            params=self.params.metrics,
            threshold=variant.threshold,
        )
        figures = {name: load(Estimate, figure, name) for name, figure in summary["pooled"].items()}
        at_home = variant.metrics["test"].pooled[self.metric]
        compression = self.below(variant, there)
        return ElsewhereResult(
            n=summary["n"],
            groups=summary["groups"],
            classes=summary["classes"],
            left_out=dict(sorted(Counter(reason for _, reason in there.left_out).items())),
            metric=self.metric,
            figures=figures,
            drop=uncertainty.independent_difference(at_home, figures[self.metric]),
            compression=compression,
            compression_at_home=before,
            excess=uncertainty.independent_difference(compression, before),
        )

    def below(self, variant: Variant, scored: Scored) -> Estimate:
        """Return the baseline's metric minus a variant's on the same clips, with its paired interval."""
        if variant.name == self.reference.name:
            return Estimate(None, reason="it is the baseline")
        params, by_class = self.params, self.metric in metrics.BY_CLASS
        draws = Draws.of(
            scored.y, scored.groups, len(self.labels), resamples=params.bootstrap_resamples, seed=params.seed
        )

        def measured(which: Variant, weights: Weights) -> np.ndarray:
            values = scored.scores[which.name]
            threshold, rules = which.threshold, params.metrics
            return metrics.measure(self.metric, scored.y, values, weights, threshold=threshold, params=rules)

        def difference(weights: Weights) -> np.ndarray:
            return measured(self.reference, weights) - measured(variant, weights)

        refusal = draws.refusal(by_class=by_class)
        if refusal:
            (value,) = difference(np.ones((1, len(scored.groups))))
            return Estimate(rounded(value), reason=refusal)
        found: Measured = draws.measure(difference)
        decisions = self.metric in metrics.OF_DECISIONS
        low, high = uncertainty.difference_interval(found, draws, confidence=params.confidence, decisions=decisions)
        return Estimate(rounded(found.value), rounded(low), rounded(high))


def measure(
    subjects: Subjects, *, folder: Path, params: EvaluateParams, metric: str
) -> dict[str, dict[str, ElsewhereResult]]:
    """Score every variant on the recordings of every place of `EvaluateParams.elsewhere`.

    Parameters
    ----------
    subjects : Subjects
    folder : Path
        Takes ``<place>.npz`` with the scores, which a resumed call reads back, and ``left_out.csv``.
    params : EvaluateParams
    metric : str
        Metric that differences are of.

    Returns
    -------
    dict[str, dict[str, ElsewhereResult]]
        Variant to place to figures.

    Raises
    ------
    DataError
        If a place has no usable recording, or its labels or groups cannot be read.
    """
    if not params.elsewhere:
        return {}
    folder.mkdir(exist_ok=True)
    variants, stored = subjects.variants, subjects.sweep / "scores"
    truth = dataset.read_labels(subjects.features, "test")
    home = Scored(truth.y, truth.groups, {v.name: _stored(stored / f"{v.name}.npz") for v in variants})
    split = dataset.read_split(subjects.features, "validation")  # for its crops alone
    judging = Judge(subjects.reference, split.labels, metric, params)
    before = {variant.name: judging.below(variant, home) for variant in track(variants, "cost of compression at home")}
    found: dict[str, dict[str, ElsewhereResult]] = {variant.name: {} for variant in variants}
    excluded: list[Row] = []
    for name, place in sorted(params.elsewhere.items()):
        there = _scored(subjects, name, place, split, folder / f"{name}.npz")
        excluded += [{"place": name, "path": path, "reason": reason} for path, reason in there.left_out]
        for variant in track(variants, f"elsewhere, {name}"):
            found[variant.name][name] = judging.result(variant, there, before[variant.name])
    files.write_csv(folder / "left_out.csv", LEFT_OUT_COLUMNS, excluded)
    return found


def rows(name: str, results: Mapping[str, ElsewhereResult]) -> Iterator[Row]:
    """Yield a variant's figures as rows of `COLUMNS`."""
    for place, result in results.items():
        differences = {figure: getattr(result, figure) for figure in DIFFERENCES}
        for figure, estimate in (result.figures | differences).items():
            common = {"place": place, "name": name, "n": result.n, "groups": result.groups, "figure": figure}
            yield common | {key: getattr(estimate, key) for key in COLUMNS[5:]}


def digests(params: EvaluateParams) -> list[str]:
    """Return the sha256 of every file of every place, which an interrupted evaluation must find unchanged."""
    folders = [place.folder for place in params.elsewhere.values()]
    return [files.sha256(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def _stored(path: Path) -> np.ndarray:
    with np.load(path) as stored:
        return np.asarray(stored["test"], np.float64)


def _scored(subjects: Subjects, name: str, place: Place, split: Split, path: Path) -> Scored:
    if not path.exists():
        heard = places.hear(name, place, subjects.features)
        y = np.array([[label in clip.labels for label in split.labels] for clip in heard.clips], np.int64)
        if not split.multi_label:
            y = _single(name, y)
        whole = Split(
            x=heard.x,
            y=y,
            clip_ids=np.array([clip.clip_id for clip in heard.clips], str),
            groups=np.array([clip.group for clip in heard.clips], str),
            sites=np.full(len(y), name),
            labels=split.labels,
            n_crops=split.n_crops,
            crop_length=split.crop_length,
        )
        scores = {f"scores/{variant}": found for variant, found in subjects.score(whole.crops, name)}
        left_out = np.array(heard.left_out, str).reshape(-1, 2)
        with files.atomic(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, y=y, clip_ids=whole.clip_ids, groups=whole.groups, left_out=left_out, **scores)  # type: ignore[arg-type]
    with np.load(path) as stored:
        return Scored(
            y=stored["y"],
            groups=stored["groups"],
            scores={v.name: stored[f"scores/{v.name}"].astype(np.float64) for v in subjects.variants},
            left_out=tuple((str(each), str(reason)) for each, reason in stored["left_out"]),
        )


def _single(name: str, y: np.ndarray) -> np.ndarray:
    several = int((y.sum(axis=1) > 1).sum())
    if several:
        raise DataError(
            f"evaluate.elsewhere.{name} must give one label to a recording, as at home; {several} recordings have "
            "several. Leave them out."
        )
    return y.argmax(axis=1)
