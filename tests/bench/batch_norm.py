"""Batch-norm statistics: moving averages against exact ones, of one and the same training.

`python -m tests.bench.batch_norm FEATURES PARAMS [--epochs N] [--seed N]` trains the baseline of a `params.yaml` once.
After every epoch the network is judged three times: with Keras' moving averages, with exact statistics over a sample of
training clips, and with exact statistics over augmented clips. Training never sees which, so the comparison is paired.
Each kind keeps its own best epoch by validation loss. Prints JSON.
"""

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import dataset
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import params as project_params
from stages.core.scoring import metrics, summary
from stages.core.training import batches, inference, loop
from stages.core.training import losses as training_losses
from stages.core.training.batch_norm import BatchNormStatistics, normalisations
from stages.train.params import TrainParams

SAMPLE = 512
SIDES = ("validation", "test")


def statistics_of(model: Any, split: Any, params: TrainParams, seed: int) -> dict[str, BatchNormStatistics]:
    """Return what recomputes the statistics, by kind; moving averages are recomputed by nothing."""
    sampled = replace(params, batch_norm_clips=SAMPLE)
    kinds = {"exact": BatchNormStatistics(model, split, sampled, seed)}
    if not (params.mixup or params.time_shift or params.vary or params.between_class):
        return kinds
    kinds["augmented"] = BatchNormStatistics(model, split, sampled, seed)
    rng = np.random.default_rng((seed, 4))
    rows = rng.choice(len(split), min(SAMPLE, len(split)), replace=False)
    zeros = np.zeros((len(split), len(split.labels)), np.float32)
    if params.between_class is not None:
        zeros[np.arange(len(split)), split.y] = 1
    kinds["augmented"]._x = batches.batch(split, zeros, rows, params, rng)[0]
    return kinds


def cross_entropy(scores: np.ndarray, split: Any) -> float:
    """Return the mean cross-entropy of scores in nats."""
    targets = dataset.indicators(split.y, len(split.labels)).astype(np.float32)[:, -scores.shape[1] :]
    return float(np.mean(training_losses.cross_entropy(targets, scores, split.multi_label)))


def measure(features: Path, params: TrainParams, seed: int) -> dict[str, Any]:
    """Train once and judge every epoch by every kind of statistics."""
    make_deterministic(seed, params.threads)
    splits = {side: dataset.read_split(features, side) for side in ("train", *SIDES)}  # type: ignore[arg-type]
    train = splits["train"]
    keras.utils.set_random_seed(seed)
    model, _ = network.build(
        params.architecture, params.options, train.input_shape, len(train.labels), multi_label=train.multi_label
    )
    kinds = statistics_of(model, train, params, seed)
    layers = normalisations(model)
    steps = math.ceil(len(train) / params.batch_size)
    losses: dict[str, list[float]] = {kind: [] for kind in ("moving", *kinds)}
    best: dict[str, dict[str, Any]] = {}

    def judge(kind: str, epoch: int) -> None:
        validation = inference.predict(model, splits["validation"])
        losses[kind].append(cross_entropy(validation, splits["validation"]))
        if losses[kind][-1] == min(losses[kind]) or epoch == params.epochs:
            scores = {"validation": validation, "test": inference.predict(model, splits["test"])}
            if losses[kind][-1] == min(losses[kind]):
                best[kind] = {"epoch": epoch, "scores": scores}
            best[f"{kind} last"] = {"epoch": epoch, "scores": scores}

    def after_step(step: int) -> None:
        if step % steps:
            return
        kept = [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in layers]
        judge("moving", step // steps)
        for kind, statistics in kinds.items():
            statistics.recompute()
            judge(kind, step // steps)
        for layer, (mean, variance) in zip(layers, kept, strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)

    loop.fit(model, train, replace(params, batch_norm_clips=0), loop.Run(seed), hooks=loop.Hooks(after_step=after_step))
    return {
        "architecture": params.architecture,
        "seed": seed,
        "n_train": len(train),
        "steps_per_epoch": steps,
        "validation_loss": {kind: [round(loss, 4) for loss in values] for kind, values in losses.items()},
        "kept": {
            kind: {"epoch": found["epoch"]} | {side: judged(found["scores"][side], splits[side]) for side in SIDES}
            for kind, found in best.items()
        },
        "scores": {
            kind: {side: np.round(found["scores"][side].astype(float), 6).tolist() for side in SIDES}
            for kind, found in best.items()
        },
    }


def judged(scores: np.ndarray, split: Any) -> dict[str, Any]:
    """Return the figures of the pooled split and of its sites, with intervals over groups."""
    found = summary.summarise(
        split.y,
        scores,
        groups=split.groups,
        sites=split.sites,
        labels=split.labels,
        params=metrics.MetricParams(),
    )
    return {"n": len(split), "n_groups": len(np.unique(split.groups)), "summary": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("features", type=Path)
    parser.add_argument("params", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1234)
    given = parser.parse_args()
    params = project_params.section("train", TrainParams, given.params)
    if given.epochs:
        params = replace(params, epochs=given.epochs)
    print(json.dumps(measure(given.features, params, given.seed) | {"params": asdict(params)}, default=str))


if __name__ == "__main__":
    main()
