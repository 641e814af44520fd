"""What tells unknown sounds best: leave classes out of training in turn, and compare confidences; prints JSON.

    python -m tests.bench.unknown FEATURES --architecture ds_cnn [--left-out other yes] [--epochs 10]

FEATURES is the folder of the features stage of a multi-class task. For each class that is left out a network is trained
on the others and calibrated. AUROC and FPR at 95 % known kept, of the known classes' test clips against the left-out
class' test clips and against made noise and chords, by: the highest probability, the margin and the entropy, which a
deployed file has; the highest logit and the energy, which it has before its softmax; the distance to the nearest
class mean in the last features under their pooled covariance, which it does not give out; and three that need the
front end's output alone, so that numpy on a device computes them beside any file: the distance of its means and
deviations over time from those of training (`frontend_distance`), the same to the nearest class
(`frontend_class_distance`), and the part of its frames that the main directions of training frames leave unexplained
(`frontend_reconstruction`). `validation` ranks the measures by the mean AUROC of validation clips against sounds that
are made with another seed, which is what may choose; test and the left-out class report.

References
----------
Hendrycks, Gimpel, ICLR 2017 (highest probability). Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS
2020. Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018 (distance).
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.training import loop
from stages.core.training.calibration import calibrate, over_crops
from stages.evaluate.unknown import probes
from stages.runtime.rejection import confidence
from stages.train.params import TrainParams


def without(split: Split, left_out: int) -> tuple[Split, Split]:
    """Return the clips of the other classes, numbered anew, and those of the class."""
    is_known = split.y != left_out
    labels = tuple(label for i, label in enumerate(split.labels) if i != left_out)

    def part(rows: np.ndarray) -> Split:
        y = split.y[rows] - (split.y[rows] > left_out)
        names = {key: getattr(split, key)[rows] for key in ("clip_ids", "groups", "sites", "recordings")}
        return replace(split, x=split.x[rows], y=y, labels=labels, **names)

    return part(np.flatnonzero(is_known)), part(np.flatnonzero(~is_known))


def compare(features: Path, left_out: str, architecture: str, epochs: int) -> dict[str, Any]:
    """Train without one class and return AUROC and FPR95 by unknown kind and confidence."""
    sides = {name: dataset.read_split(features, name) for name in ("train", "validation", "test")}  # type: ignore[arg-type]
    which = sides["train"].labels.index(left_out)
    parts = {name: without(split, which) for name, split in sides.items()}
    train, validation, test = (parts[name][0] for name in ("train", "validation", "test"))
    keras.utils.set_random_seed(1)
    model, _ = network.build(architecture, {}, train.input_shape, len(train.labels))
    params = TrainParams(optimizer="adam", learning_rate=1e-3, decay="cosine", batch_size=100, epochs=epochs)
    loop.fit(model, train, params, loop.Run(1, description=f"without {left_out}"))
    calibrate(model, validation, "temperature")
    last = model.layers[-1]
    inner = keras.Model(model.input, last.input)
    kernel, bias = last.get_weights()

    def deep(split: Split) -> np.ndarray:
        return over_crops(lambda x: inner(x, training=False), split).mean(axis=1).astype(np.float64)

    seen = deep(train)
    means = np.stack([seen[train.y == k].mean(axis=0) for k in range(len(train.labels))])
    precision = np.linalg.pinv(np.cov((seen - means[train.y]).T) + 1e-6 * np.eye(seen.shape[1]))

    outside = _FrontEnd.of(train)

    def sure(split: Split) -> dict[str, np.ndarray]:
        values = deep(split)
        logits = values @ kernel + bias
        p = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        apart = values[:, None] - means
        distance = np.einsum("nki,ij,nkj->nk", apart, precision, apart).min(axis=1)
        return (
            {name: confidence(p, name) for name in ("max_probability", "margin", "entropy")}
            | {
                "max_logit": logits.max(axis=1),
                "energy": logsumexp(logits, axis=1),
                "distance": -distance,
            }
            | outside.sure(split)
        )

    chosen_on = sure(validation)
    made = {kind: sure(sounds) for kind, sounds in probes(features, 2, validation).items()}
    ranks = {
        name: float(np.mean([_auroc(ours, theirs[name]) for theirs in made.values()]))
        for name, ours in chosen_on.items()
    }
    known = sure(test)
    others = {f"class {left_out}": parts["test"][1]}
    others |= probes(features, 1, sides["test"])
    found: dict[str, Any] = {"accuracy_known": round(float(np.mean(_predicted(model, test) == test.y)), 4)}
    found["validation"] = {name: round(value, 3) for name, value in sorted(ranks.items(), key=lambda each: -each[1])}
    for kind, split in others.items():
        theirs = sure(split)
        found[kind] = {"n": len(split)}
        for name, ours in known.items():
            auroc = _auroc(ours, theirs[name])
            fpr = np.mean(theirs[name] >= np.quantile(ours, 0.05, method="lower"))
            found[kind][name] = {"auroc": round(float(auroc), 3), "fpr95": round(float(fpr), 3)}
    return found


@dataclass(frozen=True)
class _FrontEnd:
    """Measures of the front end's output alone, fitted on the training clips."""

    centres: np.ndarray
    spread: np.ndarray
    mean: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(cls, train: Split) -> "_FrontEnd":
        pooled = _pooled(train)
        centres = np.stack([pooled.mean(axis=0), *(pooled[train.y == k].mean(axis=0) for k in np.unique(train.y))])
        frames = train.x.reshape(-1, int(np.prod(train.x.shape[2:]))).astype(np.float64)[::7]
        _, values, directions = np.linalg.svd(frames - frames.mean(axis=0), full_matrices=False)
        share = np.cumsum(values**2) / np.sum(values**2)
        kept = directions[: int(np.searchsorted(share, 0.9)) + 1]
        return cls(centres, LedoitWolf().fit(pooled).precision_, frames.mean(axis=0), kept)

    def sure(self, split: Split) -> dict[str, np.ndarray]:
        apart = _pooled(split)[:, None] - self.centres
        distances = np.einsum("nki,ij,nkj->nk", apart, self.spread, apart)
        frames = split.x.reshape(len(split), split.x.shape[1], -1).astype(np.float64) - self.mean
        left = frames - frames @ self.kept.T @ self.kept
        unexplained = (left**2).sum(axis=(1, 2)) / np.maximum((frames**2).sum(axis=(1, 2)), 1e-12)
        return {
            "frontend_distance": -distances[:, 0],
            "frontend_class_distance": -distances[:, 1:].min(axis=1),
            "frontend_reconstruction": -unexplained,
        }


def _pooled(split: Split) -> np.ndarray:
    """Return mean and standard deviation of every feature over time: (n, 2 n_features)."""
    x = split.x.reshape(len(split), split.x.shape[1], -1).astype(np.float64)
    return np.hstack([x.mean(axis=1), x.std(axis=1)])


def _auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    truth = np.concatenate([np.ones(len(known)), np.zeros(len(unknown))])
    return float(roc_auc_score(truth, np.concatenate([known, unknown])))


def _predicted(model: "keras.Model", split: Split) -> np.ndarray:
    return over_crops(lambda x: model(x, training=False), split).mean(axis=1).argmax(axis=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--architecture", default="ds_cnn")
    parser.add_argument("--left-out", nargs="+", default=None)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    make_deterministic(1, 1)
    classes = given.left_out or dataset.read_split(given.features, "train").labels
    results = {name: compare(given.features, name, given.architecture, given.epochs) for name in classes}
    print(json.dumps(results, indent=1))
