"""Quantisation-aware fine-tuning against post-training quantisation at 8 and 4 bits; prints JSON.

    python -m tests.bench.aware [--features data/features] [--baseline models/baseline] [--schemes static_wi4_ai8]
                                [--seeds 1234] [--epochs 5] [--clips N]

It learns from the first N clips of the training split, or from all.

Both are made of one and the same baseline, by the same schemes. `difference` is that of the two files' scores on the
test split, aware minus post-training, with a bootstrap interval over groups, clips paired; `simulation` is the largest
difference on the test split between the scores of the fine-tuned file and those of the function that was fine-tuned.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import make_deterministic
from stages.core.scoring.stats import group_bootstrap, percentile_interval
from stages.core.training.loop import Run
from stages.evaluate import scoring
from stages.quantize import aware
from stages.quantize.calibration import calibration_set
from stages.quantize.convert import to_float32
from stages.quantize.params import AwareParams, QuantizeParams

SCHEMES = ("static_wi8_ai8", "static_wi4_ai8", "dynamic_wi4_afp32", "dynamic_wi2_afp32")
RESAMPLES = 1000


def first(split: Split, n: int | None) -> Split:
    """Return the first clips of a split, or all."""
    sides = {name: getattr(split, name)[:n] for name in ("x", "y", "clip_ids", "groups", "sites")}
    return Split(**sides, labels=split.labels)


def figure(scores: np.ndarray, split: Split, rows: Any = slice(None)) -> float:
    """Return the accuracy of several classes, or the ROC-AUC of two."""
    from sklearn.metrics import roc_auc_score

    if scores.ndim == 1:
        return float(roc_auc_score(split.y[rows], scores[rows]))
    return float(np.mean(scores[rows].argmax(1) == split.y[rows]))


def compared(post: np.ndarray, tuned: np.ndarray, split: Split) -> dict[str, Any]:
    """Return both figures, and the interval of each and of their difference."""
    rng = np.random.default_rng(1)
    resampled = []
    blocks = group_bootstrap(split.groups, resamples=RESAMPLES, rng=rng)
    for weights in (weights for block in blocks for weights in block):
        rows = np.repeat(np.arange(len(split)), np.asarray(weights, int))
        if len(set(split.y[rows])) > 1:
            resampled.append([figure(post, split, rows), figure(tuned, split, rows)])
    both = np.array(resampled)

    def told(value: float, values: np.ndarray) -> dict[str, float]:
        low, high = percentile_interval(values, confidence=0.95)
        return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}

    a, b = figure(post, split), figure(tuned, split)
    difference = told(b - a, both[:, 1] - both[:, 0])
    return {"post_training": told(a, both[:, 0]), "aware": told(b, both[:, 1]), "difference": difference}


def measure(
    features: Path, baseline: Path, schemes: list[str], seeds: list[int], n_clips: int | None, params: AwareParams
) -> dict[str, Any]:
    """Return the figures of every scheme and seed."""
    train, test = first(dataset.read_split(features, "train"), n_clips), dataset.read_split(features, "test")
    make_deterministic(seeds[0], 1)
    float32 = to_float32(network.load(baseline))
    quantize = QuantizeParams(calibration_clips=min(240, len(train)))
    clips = calibration_set(train.crops, n=quantize.calibration_clips, seed=quantize.seed)
    result: dict[str, Any] = {
        "n_train": len(train),
        "n_test": len(test),
        "figure": "roc_auc" if len(train.labels) == 2 else "accuracy",
        "float32": round(figure(scoring.score(float32, test.crops), test), 4),
        "schemes": {},
    }
    for name in schemes:
        scheme, config = quantize.scheme(name)
        calibration = clips if scheme.NEEDS_CALIBRATION else None
        post = scoring.score(scheme.quantize(config, float32, calibration), test.crops)
        for seed in seeds:
            start = time.perf_counter()
            quantized = scheme.quantize(config, float32, calibration)
            tuned = aware.finetune(float32, quantized, train, params, Run(seed))
            seconds = time.perf_counter() - start
            scores = scoring.score(scheme.quantize(config, tuned.float32, tuned.ranges), test.crops)
            simulated = tuned.simulation.predict(test.x, verbose=0).reshape(scores.shape)
            row = compared(post, scores, test)
            row["simulation"] = round(float(np.abs(scores - simulated).max()), 5)
            row["losses"] = [round(epoch["loss"], 4) for epoch in tuned.history]
            row["seconds"] = round(seconds, 1)
            result["schemes"][f"{name} seed {seed}"] = row
    narrow = [row for name, row in result["schemes"].items() if name.startswith("static_wi4")]
    reached = all(row["aware"]["value"] >= row["post_training"]["value"] for row in narrow)
    result["aware_4_bits_at_least_as_good"] = reached
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=Path("data/features"))
    parser.add_argument("--baseline", type=Path, default=Path("models/baseline"))
    parser.add_argument("--schemes", nargs="+", default=SCHEMES)
    parser.add_argument("--clips", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1234])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=AwareParams.learning_rate)
    args = parser.parse_args()
    params = replace(AwareParams(class_weights=False), epochs=args.epochs, learning_rate=args.learning_rate)
    print(json.dumps(measure(args.features, args.baseline, args.schemes, args.seeds, args.clips, params), indent=2))
