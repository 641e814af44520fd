"""Batch-norm statistics: moving averages against exact ones, of one and the same training.

    python -m tests.bench.batch_norm FEATURES PARAMS [--epochs N] [--seed N] > TASK.RUN.json
    python -m tests.bench.batch_norm --summary *.json

The first trains the baseline of a `params.yaml` once. After every epoch the network is judged with each kind of
statistics, so that the comparison is paired: training never reads any of them.

- moving: Keras' moving averages, which start at 0 and 1 and follow the batches by 1 or 10 % a step.
- counted: moving averages that start with the first batch; the momentum grows with the steps, to that of an epoch.
- exact: moments over a sample of training clips, without augmentation.
- augmented: moments over a sample of training clips, augmented as in training.

Each kind keeps its own best epoch by validation loss. Prints JSON; `--summary` prints a table for each task.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import dataset
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import params as project_params
from stages.core.project import tables
from stages.core.scoring import metrics, summary
from stages.core.training import inference, loop
from stages.core.training import losses as training_losses
from stages.core.training.batch_norm import BatchNormStatistics, normalisations
from stages.train.params import TrainParams

SAMPLE = 512
SIDES = ("validation", "test")


def statistics_of(model: Any, split: Any, params: TrainParams, seed: int) -> dict[str, BatchNormStatistics]:
    """Return what recomputes the statistics, by kind; moving averages are recomputed by nothing."""
    sampled = replace(params, batch_norm_clips=SAMPLE)
    plain = replace(sampled, mixup=0.0, time_shift=0.0, vary=None, between_class=None)
    kinds = {"exact": plain, "augmented": sampled} if plain != sampled else {"exact": plain}
    return {kind: BatchNormStatistics(model, split, given, seed) for kind, given in kinds.items()}


class CountedAverages:
    """Moving averages whose momentum is 1 - 1/n after n steps, up to `most` steps; the start values count for nothing.

    The moments of each batch are recovered from Keras' moving averages before and after the step.
    """

    def __init__(self, layers: list[Any], most: int) -> None:
        self._layers, self._most, self._steps = layers, most, 0
        self._before, self._averages = self._read(), self._read()

    def step(self) -> None:
        """Take in the batch of the last step."""
        self._steps += 1
        new, share = self._read(), 1 / min(self._steps, self._most)
        momenta = [layer.momentum for layer in self._layers for _ in range(2)]
        for average, before, after, kept in zip(self._averages, self._before, new, momenta, strict=True):
            average += share * ((after - kept * before) / (1 - kept) - average)
        self._before = new

    def recompute(self) -> None:
        """Set the layers' statistics to the averages."""
        for layer, mean, variance in zip(self._layers, self._averages[::2], self._averages[1::2], strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(np.maximum(variance, 0))

    def _read(self) -> list[np.ndarray]:
        pairs = [(layer.moving_mean, layer.moving_variance) for layer in self._layers]
        return [each.numpy().astype(np.float64) for pair in pairs for each in pair]


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
    layers = normalisations(model)
    steps = math.ceil(len(train) / params.batch_size)
    counted = CountedAverages(layers, most=max(steps, 10))
    kinds: dict[str, CountedAverages | BatchNormStatistics] = {
        "counted": counted,
        **statistics_of(model, train, params, seed),
    }
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
        counted.step()
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
    found = summary.summarise(split, scores, labels=split.labels, params=metrics.MetricParams())
    return {"n": len(split), "n_groups": len(np.unique(split.groups)), "summary": found}


def summarise(files: Sequence[Path]) -> None:
    """Print the validation loss and the headline metric of each kind: means over the runs of a task."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(files):
        tasks.setdefault(path.name.split(".")[0], []).append(json.loads(path.read_text()))
    for task, runs in tasks.items():
        kinds = list(runs[0]["validation_loss"])
        metric = headline(runs[0])
        shortest = min(len(run["validation_loss"][kinds[0]]) for run in runs)
        epochs = sorted({1, 2, 4, 8, shortest} & set(range(1, shortest + 1)))
        kept_loss = {kind: np.array([min(run["validation_loss"][kind]) for run in runs]) for kind in kinds}
        rows = []
        for kind in kinds:
            losses = np.array([run["validation_loss"][kind][:shortest] for run in runs]).mean(axis=0)
            pooled = [[run["kept"][kind][side]["summary"]["pooled"][metric]["value"] for run in runs] for side in SIDES]
            rows.append(
                (
                    kind,
                    *(f"{losses[epoch - 1]:.3f}" for epoch in epochs),
                    f"{kept_loss[kind].mean():.3f}",
                    f"{(kept_loss[kind] < kept_loss['moving']).sum()} of {len(runs)}",
                    *(f"{np.mean(values):.3f}" for values in pooled),
                )
            )
        steps, first = runs[0]["steps_per_epoch"], [run["kept"][kinds[0]] for run in runs]
        n_validation, n_test = (sum(each[side]["n"] for each in first) for side in SIDES)
        print(
            f"\n{task}: {runs[0]['architecture']}, {len(runs)} runs, {runs[0]['n_train']} clips, {steps} steps an epoch"
        )
        print(f"validation n {n_validation}, test n {n_test}, over all runs\n")
        heads = [f"loss after {epoch * steps} steps" for epoch in epochs]
        heads = ["statistics", *heads, "kept epoch", "below moving", f"validation {metric}", f"test {metric}"]
        print(tables.markdown(heads, rows))


def headline(run: dict[str, Any]) -> str:
    """Return the metric that stands for a run: the AUC of a binary task, else the accuracy."""
    classes = next(iter(run["kept"].values()))["validation"]["summary"]["classes"]
    return "roc_auc" if len(classes) == 2 else "accuracy"


def main() -> None:
    """Measure and print, or print the summary of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, nargs="?")
    parser.add_argument("params", type=Path, nargs="?")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--summary", type=Path, nargs="+")
    given = parser.parse_args()
    if given.summary:
        summarise(given.summary)
        return
    if not (given.features and given.params):
        parser.error("FEATURES and PARAMS, or --summary and files, are needed")
    params = project_params.section("train", TrainParams, given.params)
    if given.epochs:
        params = replace(params, epochs=given.epochs)
    print(json.dumps(measure(given.features, params, given.seed) | {"params": asdict(params)}, default=str))


if __name__ == "__main__":
    main()
