"""Evaluate a rejection rule on test: known sounds kept, decisions among them, and sounds of no class rejected.

The sounds of no class are made: white noise, pink noise, and chords of a few harmonics. They go through front end and
model file as on a device. Silence is not among them: it has an answer of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.dataset import Split
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.variant import Variant
from stages.core.project.progress import track
from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.arrays import ratio, rounded
from stages.core.scoring.resampling import Draws
from stages.core.scoring.thresholds import predict
from stages.core.scoring.weights import Weights
from stages.evaluate.params import EvaluateParams
from stages.evaluate.scoring import score
from stages.evaluate.soundscape import pink_noise
from stages.runtime.audio import clip as fit
from stages.runtime.litert import Model
from stages.runtime.rejection import Rejection

COLUMNS = ("name", "figure", "value", "low", "high", "reason")
N_PROBES = 40
LEVELS_DBFS = (-40.0, -12.0)
KNOWN_KEPT = 0.95


def measure(
    variants: Sequence[Variant], sweep: Path, *, features: Path, params: EvaluateParams
) -> dict[str, dict[str, Estimate]]:
    """Measure the rejection rule of every variant that has one.

    Parameters
    ----------
    variants : Sequence[Variant]
    sweep : Path
        Holds ``<variant>.tflite`` and ``scores/<variant>.npz``.
    features : Path
    params : EvaluateParams

    Returns
    -------
    dict[str, dict[str, Estimate]]
        Variant to figures: ``kept``, share of the test clips that are kept; ``accuracy_decided`` among these, and of a
        binary task ``sensitivity_decided`` and ``specificity_decided``; for each kind of sound of no class
        ``rejected.<kind>``, ``auroc.<kind>`` (known against it, by how far the confidence is above its limit) and
        ``fpr95.<kind>``, the share of it that is kept where 95 % of the test clips are.
    """
    chosen = [variant for variant in variants if variant.rejection.rule is not None]
    if not chosen:
        return {}
    test = dataset.read_split(features, "test")
    made = probes(features, params.seed, test)
    found = {}
    for variant in track(chosen, "unknown sounds"):
        rule = variant.rejection.rule
        assert rule is not None  # chosen
        with np.load(sweep / "scores" / f"{variant.name}.npz") as stored:
            scores = stored["test"].astype(np.float64)
        sure = _excess(scores, test, variant, rule)
        figures = known(test, scores, sure >= 0, variant, params)
        for kind, sounds in made.items():
            theirs = score(sweep / f"{variant.name}.tflite", sounds.crops).astype(np.float64)
            figures |= against(kind, sure, _excess(theirs, sounds, variant, rule), 0.0, test, params)
        found[variant.name] = figures
    return found


def probes(features: Path, seed: int, split: Split) -> dict[str, Split]:
    """Return made sounds of no class by kind, as a split would hold them; their `y` means nothing."""
    frontend, model = frontend_file.read(features), Model(features / "frontend.tflite")
    rate, n = frontend.sample_rate, frontend.clip_samples
    kinds: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "white_noise": lambda rng: rng.standard_normal(n),
        "pink_noise": lambda rng: pink_noise(n, rng),
        "chords": lambda rng: chord(n, rate, rng),
    }
    found = {}
    for i, (kind, make) in enumerate(kinds.items()):
        x = []
        for k in range(N_PROBES):
            rng = np.random.default_rng([seed, i, k])
            sound = make(rng)
            peak = 10 ** (rng.uniform(*LEVELS_DBFS) / 20)
            samples = (sound * peak / np.abs(sound).max()).astype(np.float32)
            x.append(model.run(fit(samples, n, frontend.align, frontend.hearing)[np.newaxis])[0])
        found[kind] = Split(
            x=np.stack(x),
            y=np.zeros(N_PROBES, np.int64),
            clip_ids=np.arange(N_PROBES).astype(str),
            groups=np.arange(N_PROBES).astype(str),
            sites=np.full(N_PROBES, ""),
            labels=split.labels,
            n_crops=split.n_crops,
            crop_length=split.crop_length,
        )
    return found


def chord(n: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a chord of three decaying notes with harmonics, as of a plucked instrument: (n,) float64."""
    time = np.arange(n) / rate
    root = 110 * 2 ** rng.uniform(0, 2)
    notes = [root * 2 ** (step / 12) for step in (0, rng.choice([3, 4]), 7)]
    sound = np.zeros(n)
    for note in notes:
        for harmonic in range(1, 8):
            if note * harmonic < rate / 2:
                decay = np.exp(-time * harmonic * rng.uniform(0.5, 2))
                sound += decay * np.sin(2 * np.pi * note * harmonic * time + rng.uniform(0, 6)) / harmonic
    return sound


def known(
    test: Split, scores: np.ndarray, kept: np.ndarray, variant: Variant, params: EvaluateParams
) -> dict[str, Estimate]:
    """Return the share of the test clips that are kept, and how they are decided, with intervals over groups."""
    binary = scores.ndim == 1
    right = predict(scores, variant.threshold) == test.y
    draws = Draws.of(test.y, test.groups, len(test.labels), resamples=params.bootstrap_resamples, seed=params.seed)
    everything = np.ones(len(test), bool)
    parts = {"kept": (kept, everything), "accuracy_decided": (right, kept)}
    if binary:
        positive = test.y == 1
        parts |= {"sensitivity_decided": (right, kept & positive), "specificity_decided": (right, kept & ~positive)}
    return {name: _fraction(hit, among, draws, params.confidence) for name, (hit, among) in parts.items()}


def against(
    kind: str, sure: np.ndarray, others: np.ndarray, limit: float, test: Split, params: EvaluateParams
) -> dict[str, Estimate]:
    """Return how well confidence tells the test clips from sounds of one other kind."""
    is_known = np.concatenate([np.ones(len(sure), int), np.zeros(len(others), int)])
    names = np.concatenate([test.groups, np.array([f"{kind} {i}" for i in range(len(others))])])
    draws = Draws.of(is_known, names, 2, resamples=params.bootstrap_resamples, seed=params.seed)
    both = np.concatenate([sure, others])
    curve = draws.measure(lambda weights: metrics.measure("roc_auc", is_known, both, weights))
    refusal = draws.refusal(by_class=True)
    ends: tuple[float, float] = (np.nan, np.nan)
    if not refusal:
        ends = uncertainty.fraction_interval(curve, draws, confidence=params.confidence, by_class=True)
    floor = np.quantile(sure, 1 - KNOWN_KEPT, method="lower")
    apart = Draws.of(np.zeros(len(others), int), names[len(sure) :], 1, resamples=params.bootstrap_resamples, seed=1)
    everything = np.ones(len(others), bool)
    return {
        f"rejected.{kind}": _fraction(others < limit, everything, apart, params.confidence),
        f"auroc.{kind}": Estimate(rounded(curve.value), rounded(ends[0]), rounded(ends[1]), refusal or None),
        f"fpr95.{kind}": _fraction(others >= floor, everything, apart, params.confidence),
    }


def rows(name: str, figures: Mapping[str, Estimate]) -> Iterator[dict[str, object]]:
    """Yield a variant's figures as rows of `COLUMNS`."""
    for figure, estimate in figures.items():
        yield {"name": name, "figure": figure} | {key: getattr(estimate, key) for key in COLUMNS[2:]}


def _excess(scores: np.ndarray, split: Split, variant: Variant, rule: Rejection) -> np.ndarray:
    single = variant.threshold if isinstance(variant.threshold, float) else None
    return rule.excess(scores.reshape(len(scores), -1), rule.sound(split.x), single)


def _fraction(hit: np.ndarray, among: np.ndarray, draws: Draws, confidence: float) -> Estimate:
    """Return the fraction of `among` that are hits, with its interval over groups."""
    if not among.any():
        return Estimate(None, reason="none is decided")

    def figure(weights: Weights) -> np.ndarray:
        total = weights @ among
        return ratio(weights @ (hit & among), total, total > 0)

    refusal = draws.refusal(by_class=False)
    if refusal:
        return Estimate(rounded(float(figure(np.ones((1, len(hit))))[0])), reason=refusal)
    measured = draws.measure(figure)
    low, high = uncertainty.fraction_interval(measured, draws, confidence=confidence, by_class=False)
    return Estimate(rounded(measured.value), rounded(low), rounded(high))
