"""Recipes compared: train on a few groups, score all other groups of the training and validation sides, in pairs.

    python -m tests.bench.recipes RESULTS.jsonl --groups 4 train.mixup=0 "train.epochs=400 train.vary.warp=0.3"

Run it in a project whose features are made. Each draw takes `--groups` groups at random; the recipe of `params.yaml`
and every way that an argument describes are trained on the same ones, with the same seed. The test side is never read.
What RESULTS holds is not trained again, so that a killed run goes on. Prints the share of right decisions, mean over
the groups, and its gain over the recipe with Student's interval over the groups, each the mean of its draws.
"""

import argparse
import json
import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from ruamel.yaml import YAML

from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split
from stages.core.artifacts.split import SplitName
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import files, layout, params, tables
from stages.core.training import loop
from stages.core.training.inference import predict
from stages.train.params import TrainParams

RECIPE = "recipe"
OF_CLIPS = ("x", "y", "clip_ids", "groups", "sites", "recordings")


@dataclass(frozen=True)
class Training:
    """A way of training, the draw of groups, and how many there are."""

    way: str
    draw: int
    groups: int
    seed: int

    @property
    def key(self) -> str:
        """Digest of all of this."""
        return files.digest(asdict(self))


def changed(values: Mapping[str, Any], way: str) -> dict[str, Any]:
    """Return the section `train` with the changes of a way: ``train.KEY=VALUE``, separated by spaces.

    >>> changed({"mixup": 0.3, "vary": {"p": 0.7}}, "train.mixup=0 train.vary.p=0.5")
    {'mixup': 0, 'vary': {'p': 0.5}}
    """
    found = json.loads(json.dumps(values))
    for change in way.split() if way != RECIPE else ():
        name, _, value = change.partition("=")
        section, *path, last = name.split(".")
        if section != "train":
            raise ValueError(f"a change begins with train.; got {change}")
        place = found
        for step in path:
            place = place.setdefault(step, {})
        place[last] = YAML(typ="safe").load(value)
    return dict(found)


def joined(sides: Sequence[SplitName]) -> Split:
    """Return the clips of several sides as one."""
    parts = [dataset.read_split(layout.FEATURES, side) for side in sides]
    values: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in OF_CLIPS}
    return replace(parts[0], **values)


def rows_of(split: Split, rows: np.ndarray) -> Split:
    """Return some of the clips."""
    chosen: dict[str, Any] = {name: getattr(split, name)[rows] for name in OF_CLIPS}
    return replace(split, **chosen)


def trained(training: Training, split: Split, values: Mapping[str, Any]) -> dict[str, Any]:
    """Train and return the share of right decisions for each group that was not learned from."""
    train = params.load(TrainParams, changed(values, training.way), "train")
    known = np.unique(split.groups)
    chosen = np.random.default_rng((training.seed, training.draw)).choice(known, training.groups, replace=False)
    inside = np.isin(split.groups, chosen)
    learned, scored = rows_of(split, inside), rows_of(split, ~inside)
    keras.backend.clear_session()
    keras.utils.set_random_seed(train.seed)
    model, description = network.build(train.architecture, train.options, split.input_shape, len(split.labels))
    begun = _processor_s()
    loop.fit(model, learned, train, loop.Run(train.seed, description=f"{training.way}, draw {training.draw}"))
    spent = _processor_s() - begun
    scores = predict(model, scored)
    decided = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] >= 0.5).astype(int)
    right = decided == scored.y
    return {
        "right": {str(group): float(right[scored.groups == group].mean()) for group in np.unique(scored.groups)},
        "n": len(scored),
        "n_train": len(learned),
        "parameters": description.n_parameters,
        "processor_s": round(spent),
    }


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rows(found: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """Return a row per way: its figure, and its gain over the recipe on the groups that both were scored on."""
    for way, results in found.items():
        theirs = found[RECIPE][: len(results)]
        differences: dict[str, list[float]] = {}
        for ours, recipe in zip(results, theirs, strict=True):
            for group, value in ours["right"].items():
                differences.setdefault(group, []).append(value - recipe["right"][group])
        means = np.array([np.mean(values) for values in differences.values()])
        half = float(scipy.stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
        figure = np.mean([np.mean(list(result["right"].values())) for result in results])
        worst = min(min(result["right"].values()) for result in results)
        gain = "" if way == RECIPE else f"{means.mean():+.3f} [{means.mean() - half:+.3f}, {means.mean() + half:+.3f}]"
        seconds = f"{np.mean([result['processor_s'] for result in results]):.0f}"
        yield way, str(len(results)), str(len(means)), f"{figure:.3f}", gain, f"{worst:.3f}", seconds


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("ways", nargs="*", help="train.KEY=VALUE, several of a way in one argument")
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_intermixed_args()
    lines = asked.results.read_text().splitlines() if asked.results.is_file() else []
    known = {line["key"]: line for line in map(json.loads, lines)}
    values: Mapping[str, Any] = params.read().get("train") or {}
    split: Split | None = None
    found: dict[str, list[Mapping[str, Any]]] = {}
    ways: Sequence[str] = (RECIPE, *asked.ways)
    for draw in range(asked.draws):
        for way in ways:
            training = Training(way, draw, asked.groups, asked.seed)
            if training.key not in known:
                if split is None:
                    make_deterministic(asked.seed, asked.threads)
                    split = joined(("train", "validation"))
                known[training.key] = {"key": training.key, **asdict(training), **trained(training, split, values)}
                with asked.results.open("a") as stream:
                    stream.write(json.dumps(known[training.key]) + "\n")
            found.setdefault(way, []).append(known[training.key])
    head = ("way", "draws", "groups", "right", "gain over the recipe", "worst group", "processor s")
    print(tables.markdown(head, rows(found), text_columns=1))


if __name__ == "__main__":
    main()
