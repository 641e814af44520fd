"""Quantisation-aware fine-tuning against post-training quantisation at 8 and 4 bits; prints JSON.

    python -m tests.bench.aware [--features data/features] [--baseline models/baseline] [--schemes static_wi4_ai8]
                                [--seeds 1234] [--epochs 5] [--clips N]

It learns from the first N clips of the training split, or from all.

Both are made of one and the same baseline, by the same schemes. `difference` is that of the two files' scores on the
test split, aware minus post-training, with an interval over groups, clips paired; `simulation` is the largest
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
from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.arrays import rounded
from stages.core.scoring.resampling import Draws, Measured
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


def metric_of(split: Split) -> str:
    """Return the metric that both are judged by."""
    return "roc_auc" if len(split.labels) == 2 else "accuracy"


def compared(post: np.ndarray, tuned: np.ndarray, split: Split) -> dict[str, Any]:
    """Return both figures, and the interval of each and of their difference."""
    metric, classes = metric_of(split), len(split.labels)
    draws = Draws.of(split.y, split.groups, classes, resamples=RESAMPLES, seed=1)
    a, b = (draws.measure(lambda w, s=scores: metrics.measure(metric, split.y, s, w)) for scores in (post, tuned))  # type: ignore[misc]
    by_class, decisions = metric in metrics.BY_CLASS, metric in metrics.OF_DECISIONS

    def shown(figure: Measured, ends: tuple[float, float]) -> dict[str, float | None]:
        return {
            name: rounded(value) for name, value in zip(("value", "low", "high"), (figure.value, *ends), strict=True)
        }

    alone = (
        shown(figure, uncertainty.fraction_interval(figure, draws, confidence=0.95, by_class=by_class))
        for figure in (a, b)
    )
    gained = b - a
    ends = uncertainty.difference_interval(gained, draws, confidence=0.95, decisions=decisions)
    return dict(zip(("post_training", "aware"), alone, strict=True)) | {"difference": shown(gained, ends)}


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
        "figure": metric_of(train),
        "float32": round(float(metrics.measure(metric_of(test), test.y, scoring.score(float32, test.crops))), 4),
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
