"""What an honest and a leaky evaluation make of the SYNTHETIC demo corpus; prints JSON.

    python -m tests.bench.demo_auc [--subjects 60] [--seed 1] [--class-effect 3.0]

Every model sees the mean and standard deviation over time of 15 MFCCs (librosa) of each usable recording.
*Honest* is five-fold cross-validation with each subject on one side; *leaky* deals out recordings one by
one, so that a subject's others are in the training folds. Each is repeated five times; the score is the
mean ROC-AUC of the pooled out-of-fold scores, with a 95 % interval from 1,000 bootstrap resamples of
subjects. *Within site* compares only recordings of one site with each other. The figures of the default
corpus stand at the top of `stages/pull/sources/demo.py`.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stages.core.audio import decode
from stages.pull.sources import demo

REPEATS, FOLDS, RESAMPLES = 5, 5, 1000
MODELS: dict[str, Callable[[], Any]] = {
    "logistic_regression": lambda: LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000),
    "rbf_svm": lambda: SVC(C=10, class_weight="balanced"),
    "nearest_neighbour": lambda: KNeighborsClassifier(1),
}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The usable recordings, one row each."""

    mfcc: np.ndarray
    y: np.ndarray
    subjects: np.ndarray
    sites: np.ndarray

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.y)


def usable(config: demo.Config, folder: Path) -> Corpus:
    """Generate a corpus, leave its traps out, and describe each recording by its MFCCs."""
    demo.fetch(config, folder)
    flawed = {demo.UNDECODABLE, demo.SILENT, *demo.REPEATED, *demo.CONTRADICTORY}
    last = {f"s{n:03d}-{demo.subject(config, n).recordings + 1}" for n in flawed}
    contradicted = {f"s{n:03d}-1" for n in demo.CONTRADICTORY.values()}
    kept = [r for r in demo.recordings(config, folder) if r.path.stem not in last | contradicted]
    rows = []
    for recording in kept:
        samples, rate = decode.decode(folder / recording.path)
        mfcc = librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=15)
        rows.append(np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)]))
    return Corpus(
        mfcc=np.array(rows),
        y=np.array([demo.LABELS.index(r.label) for r in kept]),
        subjects=np.array([r.group for r in kept]),
        sites=np.array([r.site for r in kept]),
    )


def scores(corpus: Corpus, x: np.ndarray, model: Callable[[], Any], *, grouped: bool) -> np.ndarray:
    """Return out-of-fold scores, shape (REPEATS, n)."""
    result = np.zeros((REPEATS, len(corpus)))
    for repeat in range(REPEATS):
        folds = (StratifiedGroupKFold if grouped else StratifiedKFold)(FOLDS, shuffle=True, random_state=repeat)
        for train, test in folds.split(x, corpus.y, corpus.subjects if grouped else None):
            fitted = make_pipeline(StandardScaler(), model()).fit(x[train], corpus.y[train])
            decide = getattr(fitted, "decision_function", None) or fitted.predict
            result[repeat, test] = decide(x[test])
    return result


def auc(y: np.ndarray, score: np.ndarray, strata: np.ndarray) -> float:
    """Return how often a positive scores above a negative of its stratum, ties counting half."""
    wins = pairs = 0.0
    for stratum in np.unique(strata):
        here = strata == stratum
        difference = score[here & (y == 1)][:, None] - score[here & (y == 0)][None, :]
        wins += (difference > 0).sum() + 0.5 * (difference == 0).sum()
        pairs += difference.size
    return wins / pairs


def interval(corpus: Corpus, score: np.ndarray, strata: np.ndarray) -> dict[str, float]:
    """Return the mean AUC over repeats and its bootstrap interval over subjects."""

    def mean_auc(rows: np.ndarray) -> float:
        return float(np.mean([auc(corpus.y[rows], s[rows], strata[rows]) for s in score]))

    rng = np.random.default_rng(0)
    names = np.unique(corpus.subjects)
    members = {name: np.flatnonzero(corpus.subjects == name) for name in names}
    resampled = [
        mean_auc(np.concatenate([members[n] for n in rng.choice(names, len(names))])) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"auc": round(mean_auc(np.arange(len(corpus))), 3), "low": round(low, 3), "high": round(high, 3)}


def measure(config: demo.Config) -> dict[str, Any]:
    """Return every figure for one corpus."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = usable(config, Path(folder))
    pooled = np.zeros(len(corpus))
    result: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "recordings": len(corpus),
        "subjects": len(np.unique(corpus.subjects)),
        "positive_fraction": round(float(corpus.y.mean()), 3),
    }
    for name, model in MODELS.items():
        honest = scores(corpus, corpus.mfcc, model, grouped=True)
        result[name] = {
            "honest": interval(corpus, honest, pooled),
            "honest_within_site": interval(corpus, honest, corpus.sites),
            "leaky": interval(corpus, scores(corpus, corpus.mfcc, model, grouped=False), pooled),
        }
    one_hot = (corpus.sites[:, None] == np.unique(corpus.sites)).astype(float)
    site_only = scores(corpus, one_hot, MODELS["logistic_regression"], grouped=True)
    result["site_only"] = {"honest": interval(corpus, site_only, pooled)}
    wetness = np.array([[demo.subject(config, int(s[1:])).wetness for s in corpus.subjects]])
    result["wetness_itself"] = interval(corpus, wetness, pooled)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=demo.Config.subjects)
    parser.add_argument("--seed", type=int, default=demo.Config.seed)
    parser.add_argument("--class-effect", type=float, default=demo.Config.class_effect)
    print(json.dumps(measure(demo.Config(**vars(parser.parse_args()))), indent=2))
