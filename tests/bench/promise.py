"""Is the promised share of known sounds kept by people who neither trained nor chose anything? Prints a table.

    python -m tests.bench.promise [--networks 2] [--draws 20] [--learn 10] [--choose 10] [--epochs 20] [--without LABEL]

Run it in a project whose features are made (`dvc repro features`). All groups (speakers) of all sides are pooled: each
network learns from other `--learn` of them by the recipe of `params.yaml`, in `--epochs` epochs, and is made a file in
every scheme. The draws are shared out among the networks. Each divides what its network has not heard, by groups and by
clips: `--choose` of the groups choose the limit as the product does, and the others say what share of their clips is
kept; of the clips, as large a part chooses, each as a group of its own. The interval of the share is over groups or
clips accordingly. *for a new* is what the rule promises for: with few groups it is clips like those of validation, not
those of new groups. *reached* counts the draws in which the interval ends at the promise or above it, and *held* those
in which it also begins below. Draws of one network share recordings, so that they are not independent. `--without`
leaves out a label, such as `background`, whose clips no person made.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import params, tables
from stages.core.scoring import detection, rejection, uncertainty
from stages.core.scoring.resampling import Draws
from stages.core.scoring.weights import Weights
from stages.core.training import loop
from stages.evaluate.scoring import score
from stages.quantize.calibration import calibration_set
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams, needs_clips
from stages.runtime.rejection import FRONTEND
from stages.train.params import TrainParams
from tests.bench.recipes import joined, rows_of
from tests.bench.unknown import without

SCHEMES = ("float32", "static_wi8_ai8", "dynamic_wi4_afp32")
SHARES = (0.9, 0.95)
MEASURES = ("max_probability", FRONTEND, rejection.WITH_SCORES)


@dataclass(frozen=True)
class _Judged:
    """A rule, and the share of the clips of other groups that it keeps, with its interval."""

    measure: str
    promised: float
    by: str
    share: float
    low: float
    high: float


def trained(learned: Split, train: TrainParams, seed: int) -> dict[str, bytes]:
    """Train a network and return its file in every scheme."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model, _ = network.build(train.architecture, train.options, learned.input_shape, len(learned.labels))
    loop.fit(model, learned, train, loop.Run(seed, description=f"network {seed}"))
    quantize, float32 = QuantizeParams(), to_float32(model)
    found = {}
    for scheme in SCHEMES:
        module, config = quantize.scheme(scheme)
        clips = calibration_set(learned.crops, n=256, seed=seed) if needs_clips(module, config) else None
        found[scheme] = module.quantize(config, float32, clips)
    return found


def kept(hits: np.ndarray, groups: np.ndarray, seed: int, n_chose: int) -> tuple[float, float, float]:
    """Return the share of hits and its interval over groups, as reports have it.

    Over clips it is Clopper and Pearson's of as many clips as make up for the limit's being from a sample too: the
    variance of the share is p (1 - p) (1 / n_judged + 1 / n_chose).
    """
    if len(np.unique(groups)) == len(groups):
        n = round(1 / (1 / len(hits) + 1 / n_chose))
        return float(hits.mean()), *detection.binomial_interval(round(hits.mean() * n), n, confidence=0.95)
    draws = Draws.of(np.zeros(len(hits), int), groups, 1, resamples=1000, seed=seed)

    def figure(weights: Weights) -> np.ndarray:
        return np.asarray(weights @ hits.astype(float) / weights.sum(axis=-1))

    measured = draws.measure(figure)
    return measured.value, *uncertainty.fraction_interval(measured, draws, confidence=0.95, by_class=False)


def judged(learned: Split, rest: Split, scores: np.ndarray, chooses: np.ndarray, seed: int) -> Iterator[_Judged]:
    """Choose rules on some of the clips that were not heard in training, and judge them on the others."""
    sounds = rejection.Sounds(learned.x, rest.x[chooses])
    for measure in MEASURES:
        for share in SHARES:
            found = rejection.fit(scores[chooses], rest.groups[chooses], measure=measure, share=share, sounds=sounds)
            if found.rule is not None:
                above = found.rule.excess(scores[~chooses], found.rule.sound(rest.x[~chooses]))
                yield _Judged(
                    measure, share, found.rule.by, *kept(above >= 0, rest.groups[~chooses], seed, chooses.sum())
                )


def main() -> None:
    """Train, divide and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("networks", 2), ("draws", 20), ("learn", 10), ("choose", 10), ("epochs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--without")
    given = parser.parse_args()
    make_deterministic(1, 1)
    split, recipe = joined(("train", "validation", "test")), params.read().get("train") or {}
    train = replace(params.load(TrainParams, recipe, "train"), epochs=given.epochs)
    if given.without is not None:
        split, _ = without(split, split.labels.index(given.without))
        train = replace(train, vary=train.vary and replace(train.vary, background=None))
    found: dict[tuple[str, str, str, float, str], list[_Judged]] = defaultdict(list)
    accuracy: list[float] = []
    for number in range(given.networks):
        rng = np.random.default_rng(number)
        names = rng.permutation(np.unique(split.groups))
        hears = np.isin(split.groups, names[: given.learn])
        learned, rest = rows_of(split, hears), rows_of(split, ~hears)
        scores = {scheme: score(model, rest.crops) for scheme, model in trained(learned, train, number).items()}
        accuracy.append(float((scores[SCHEMES[0]].argmax(axis=1) == rest.y).mean()))
        for draw in range(number, given.draws, given.networks):
            chooses = np.isin(rest.groups, rng.permutation(names[given.learn :])[: given.choose])
            alone = replace(rest, groups=np.arange(len(rest)).astype(str))
            some = rng.permutation(len(rest)) < chooses.sum()
            for scheme, each in scores.items():
                for divided, by, rows in (("groups", rest, chooses), ("clips", alone, some)):
                    for one in judged(learned, by, each, rows, draw):
                        new = one.by if divided == "groups" else "clip"
                        found[(scheme, divided, one.measure, one.promised, new)].append(one)
    others = len(np.unique(split.groups)) - given.learn - given.choose
    print(f"groups: {given.learn} learn, {given.choose} choose, {others} judge; {len(split)} clips; ", end="")
    print(f"{given.networks} networks, right for {min(accuracy):.3f} to {max(accuracy):.3f} of the unheard clips")
    head = ("scheme", "divided by", "rejected by", "promised", "for a new", "draws", "kept", "least", "reached", "held")
    print(tables.markdown(head, [(*key, *_row(each)) for key, each in sorted(found.items())], text_columns=5))


def _row(each: list[_Judged]) -> tuple[str, ...]:
    shares = [one.share for one in each]
    reached = [one.high >= one.promised for one in each]
    held = [one.low <= one.promised <= one.high for one in each]
    return str(len(each)), f"{np.mean(shares):.3f}", f"{min(shares):.3f}", str(sum(reached)), str(sum(held))


if __name__ == "__main__":
    main()
