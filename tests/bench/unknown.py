"""What tells unknown sounds best: leave classes out of training in turn, and compare confidences; prints JSON.

    python -m tests.bench.unknown FEATURES --architecture ds_cnn [--left-out other yes] [--epochs 10]

FEATURES is the folder of the features stage of a multi-class task. For each class that is left out a network is trained
on the others and calibrated. AUROC and FPR at 95 % known kept, of the known classes' test clips against the left-out
class' test clips and against made noise and chords, by: the highest probability, the margin and the entropy, which a
deployed file has; the highest logit and the energy, which it has before its softmax; and the distance to the nearest
class mean in the last features under their pooled covariance, which it does not give out.

References
----------
Hendrycks, Gimpel, ICLR 2017 (highest probability). Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS
2020. Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018 (distance).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp
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

    def sure(split: Split) -> dict[str, np.ndarray]:
        values = deep(split)
        logits = values @ kernel + bias
        p = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        apart = values[:, None] - means
        distance = np.einsum("nki,ij,nkj->nk", apart, precision, apart).min(axis=1)
        return {name: confidence(p, name) for name in ("max_probability", "margin", "entropy")} | {
            "max_logit": logits.max(axis=1),
            "energy": logsumexp(logits, axis=1),
            "distance": -distance,
        }

    known = sure(test)
    others = {f"class {left_out}": parts["test"][1]}
    for kind, crops in probes(features, 1, sides["test"]).items():
        names = np.arange(len(crops)).astype(str)
        others[kind] = replace(test, x=crops[:, 0], y=np.zeros(len(crops), int), clip_ids=names, groups=names)
    found: dict[str, Any] = {"accuracy_known": round(float(np.mean(_predicted(model, test) == test.y)), 4)}
    for kind, split in others.items():
        theirs = sure(split)
        found[kind] = {"n": len(split)}
        for name, ours in known.items():
            truth = np.concatenate([np.ones(len(ours)), np.zeros(len(split))])
            auroc = roc_auc_score(truth, np.concatenate([ours, theirs[name]]))
            fpr = np.mean(theirs[name] >= np.quantile(ours, 0.05, method="lower"))
            found[kind][name] = {"auroc": round(float(auroc), 3), "fpr95": round(float(fpr), 3)}
    return found


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
