"""What a step of pruned fine-tuning costs, that of EDAC's CNN or of its CNN-LSTM; prints JSON.

    python -m tests.bench.step [--architecture edac_cnn] [--rounds 12] [--threads 1]

*plain* is Keras' own training step of the unpruned network of Keras' own layers (but for attention, of which it has no
such kind): the same loss, penalties, optimizer and batch. *tfmot* is that of the wrapper of TensorFlow Model
Optimization, with its `UpdatePruningStep`, and *ours* a turn of the loop of `stages.core.training.loop` with the masks
of `stages.prune.masks`, both at 90 %. Steps that choose the masks anew are timed apart from those that keep them:
EDAC's constant schedule is of the former alone, and at a frequency of 100 one step in a hundred is. All take turns in
every round, so that whatever else the machine does falls on all alike; a ratio is the median over the rounds of the two
times in one round.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.nn import layers, network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.training import loop
from stages.prune.masks import Criterion, Masks, Pruner
from stages.prune.params import CRITERIA, PruneParams
from stages.prune.prunables import prunables_of

# isort: split
import tensorflow_model_optimization as tfmot

BATCH, SPARSITY, WARM_UP = 32, 0.9, 3


@dataclass(frozen=True)
class Network:
    """A network of the paper: its shape, the options that switch dropout off, and how it is trained."""

    name: str
    shape: tuple[int, ...]
    without_dropout: dict[str, Any]
    optimizer: Literal["adam", "adamax"]
    rate: float

    @property
    def params(self) -> PruneParams:
        return PruneParams(optimizer=self.optimizer, learning_rate=self.rate, batch_size=BATCH, class_weights=False)

    def built(self, *, dropout: bool = True) -> Any:
        keras.utils.set_random_seed(1)
        return network.build(self.name, {self.name: {} if dropout else self.without_dropout}, self.shape, 2)[0]

    def of_keras(self, *, dropout: bool = True) -> Any:
        """Return the same network, with the same weights, of Keras' own layers."""
        ours = self.built(dropout=dropout)
        model = keras.Sequential([keras.layers.Input(self.shape), *chain.from_iterable(map(own, ours.layers))])
        model.set_weights(ours.get_weights())
        return model

    def compile(self, model: Any) -> None:
        kinds = {"adam": keras.optimizers.Adam, "adamax": keras.optimizers.Adamax}
        model.compile(kinds[self.optimizer](self.rate), "binary_crossentropy")

    def clips(self, n: int) -> Split:
        rng = np.random.default_rng(1)
        names = np.array([str(i) for i in range(n)])
        y = np.arange(n) % 2
        x = rng.normal(size=(n, *self.shape)).astype(np.float32)
        return Split(x, y, names, names, names, ("negative", "positive"))


NETWORKS = {
    each.name: each
    for each in (
        Network("edac_cnn", (302, 15), {"dropout": (0.0, 0.0)}, "adam", 1e-4),
        Network("edac_cnn_lstm", (39, 88, 3), {"dropout": 0.0, "dense_dropout": 0.0}, "adamax", 1e-3),
    )
}
BARS = {  # the EDAC CNN's: numerator, share of renewing steps, denominator, its share, bar, whether it is a ceiling
    "ours_over_plain": ("ours", 0.01, "plain", 0.0, 0.9, True),
    "ours_over_plain_renewing_every_10": ("ours", 0.1, "plain", 0.0, 0.9, True),
    "tfmot_over_ours_constant": ("tfmot", 1.0, "ours", 1.0, 15.0, False),
    "tfmot_over_ours_frequency_100": ("tfmot", 0.01, "ours", 0.01, 1.8, False),
}


def own(layer: Any) -> list[Any]:
    """Return Keras' own layers in place of one of ours."""
    kinds, config = keras.layers, layer.get_config()
    if isinstance(layer, layers.UnrolledLSTM):
        return [kinds.LSTM(layer.cell.units, return_sequences=True)]
    if isinstance(layer, layers.PoolAndNormalise):
        return [kinds.AveragePooling2D(2, 1), kinds.BatchNormalization.from_config(config)]
    if isinstance(layer, layers.Attention):
        return [layers.Attention.from_config(config)]
    return [getattr(kinds, type(layer).__name__).from_config(config)]


def plain(of: Network, model: Any, split: Split) -> Callable[[], Any]:
    """Return Keras' own training step."""
    of.compile(model)
    x, y = split.x[:BATCH], split.y[:BATCH].astype(np.float32)
    return lambda: model.train_on_batch(x, y)


def wrapped(of: Network, split: Split, frequency: int) -> Callable[[], Any]:
    """Return a training step through tfmot's wrapper."""
    schedule = tfmot.sparsity.keras.ConstantSparsity(SPARSITY, 0, frequency=frequency)
    inner = of.of_keras()
    for layer in inner.layers:
        layer._losses.clear()  # of its construction, which the wrapper would take for the batch's

    def pruned(layer: Any) -> Any:
        kept = isinstance(layer, layers.Attention)  # as in the published network
        return layer if kept else tfmot.sparsity.keras.prune_low_magnitude(layer, schedule)

    model = keras.models.clone_model(inner, clone_function=pruned)
    train = plain(of, model, split)
    callback = tfmot.sparsity.keras.UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()

    def step() -> None:
        callback.on_train_batch_begin(0)
        train()

    return step


def measure(of: Network, rounds: int, threads: int) -> dict[str, Any]:
    """Return times, ratios and whether they reach the bars."""
    make_deterministic(1, threads)
    n_steps = 2 * (rounds + WARM_UP)
    split = of.clips(n_steps * BATCH)
    others = {
        ("plain", False): plain(of, of.of_keras(), split),
        ("tfmot", True): wrapped(of, split, 1),
        ("tfmot", False): wrapped(of, split, 10**6),
    }
    seconds: dict[tuple[str, bool], list[float]] = {}

    def timed(key: tuple[str, bool], start: float) -> None:
        seconds.setdefault(key, []).append(time.perf_counter() - start)

    model = of.built()
    magnitude = Criterion(*of.params.plug_in(CRITERIA, "magnitude"))
    pruner = Pruner(Masks(prunables_of(model, "weight")), magnitude, lambda step: (step % 2 == 0, SPARSITY), n_steps)
    pruner.start()
    start = 0.0

    def after_step(step: int) -> None:
        nonlocal start
        pruner.after_step(step)
        renewed = step % 2 == 1  # for the even step to come
        timed(("ours", renewed), start)
        if not renewed:
            for key, run in others.items():
                start = time.perf_counter()
                run()
                timed(key, start)
        start = time.perf_counter()

    start = time.perf_counter()
    loop.fit(
        model,
        split,
        PruneParams(**vars(of.params) | {"epochs": 1}),
        loop.Run(1),
        hooks=loop.Hooks(update=pruner.update, after_step=after_step, state=pruner.state),
    )

    kept = {key: np.array(times[WARM_UP:]) for key, times in seconds.items()}

    def mean_step(name: str, renewing: float) -> Any:
        return sum(
            share * kept[name, renews] for renews, share in ((True, renewing), (False, 1 - renewing)) if share > 0
        )

    result: dict[str, Any] = {
        "architecture": of.name,
        "rounds": rounds,
        "threads": threads,
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "median_ms": {
            name + ("_renewing" if renews else ""): round(1e3 * float(np.median(times)), 1)
            for (name, renews), times in sorted(kept.items())
        },
        "difference_of_weights_after_5_steps": difference(of),
    }
    for name, (above, share_above, below, share_below, bar, ceiling) in BARS.items():
        ratio = float(np.median(mean_step(above, share_above) / mean_step(below, share_below)))
        result[name] = {"ratio": round(ratio, 2), "bar": bar, "reached": ratio <= bar if ceiling else ratio >= bar}
    return result


def difference(of: Network) -> dict[str, float]:
    """Return how far our unpruned steps and Keras' own end from one another, without dropout.

    Steps of Adamax are as long for a gradient that is rounding alone, so that single weights differ by several of them.
    """
    split = of.clips(BATCH)
    ours, oracle = of.built(dropout=False), of.of_keras(dropout=False)
    loop.fit(ours, split, PruneParams(**vars(of.params) | {"epochs": 5}), loop.Run(1))
    of.compile(oracle)
    for epoch in range(5):  # in the same order, for the same rounding
        order = np.random.default_rng((1, 0, epoch)).permutation(BATCH)
        oracle.train_on_batch(split.x[order], split.y[order].astype(np.float32))
    pairs = zip(ours.trainable_weights, oracle.trainable_weights, strict=True)  # not statistics: ours are exact
    apart = np.concatenate([np.abs(mine.numpy() - theirs.numpy()).ravel() for mine, theirs in pairs])
    return {"mean": float(apart.mean()), "largest": float(apart.max())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=sorted(NETWORKS), default="edac_cnn")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measure(NETWORKS[arguments.architecture], arguments.rounds, arguments.threads), indent=2))
