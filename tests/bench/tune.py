"""What `edac tune` gains over the recipe on the test side, over several seeds of the search.

    python -m tests.bench.tune RESULTS.jsonl --budget 30m --seeds 1 2 3 4 5

Run it in a project whose features are made. For each seed it runs `edac tune`, then trains the recipe and the best
candidate on the whole training side, both from that seed and for as many steps, and scores the test side, which no
search has seen. What RESULTS holds is not made again, and a killed search goes on. Prints the gain of the candidate,
and that of what `edac tune` keeps: the recipe, unless the candidate is shown to beat it. Intervals are Student's, over
the seeds, and, where there are enough, over the groups with the networks as they are.
"""

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from flows.tune.params import TuneParams, seconds
from flows.tune.run import prepared, tune
from flows.tune.space import changes
from stages.core.artifacts import dataset
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import files, layout, params, tables
from stages.core.scoring import uncertainty
from stages.core.scoring.metrics import BY_CLASS, OF_DECISIONS, measure
from stages.core.scoring.resampling import Draws
from stages.core.scoring.weights import Weights
from stages.core.training import loop
from stages.core.training.inference import predict
from stages.select.params import SelectParams
from stages.train.params import TrainParams

RECIPE, CANDIDATE, KEPT = "recipe", "candidate", "kept"


def searched(settings: TuneParams) -> tuple[TrainParams, bool, float]:
    """Run or resume a search; return its best candidate, whether it is shown to beat the recipe, and minutes.

    The candidate is the recipe if none was better on all parts.
    """
    report = tune(settings)
    search = prepared(settings)
    minutes = sum(float(files.read_json(path)["seconds"]) for path in search.trainings.glob("*/done/result.json")) / 60
    trial = search.study.best_trial
    compared = "train" in trial.user_attrs  # else it is the recipe
    best = search.candidate(trial.number) if compared else params.section("train", TrainParams)
    return best, report.endswith("It beats the recipe."), minutes


def scored(train: TrainParams) -> np.ndarray:
    """Train on the training side and return the scores of the test side."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(train.seed)
    learned, test = (dataset.read_split(layout.FEATURES, side) for side in ("train", "test"))
    model, _ = network.build(
        train.architecture, train.options, learned.input_shape, len(learned.labels), multi_label=learned.multi_label
    )
    loop.fit(model, learned, train, loop.Run(train.seed, description=train.architecture))
    return predict(model, test)


def run(seed: int, budget_s: float) -> dict[str, Any]:
    """Search with one seed, and score what it found beside the recipe."""
    recipe = params.section("train", TrainParams)
    best, beats, minutes = searched(TuneParams(budget_s=budget_s, seed=seed))
    found: dict[str, Any] = {
        "seed": seed,
        "budget_s": budget_s,
        "minutes": minutes,
        "beats": beats,
        "changes": changes(recipe, best),
    }
    for name, train in ((RECIPE, recipe), (CANDIDATE, best)):
        found[name] = scored(params.load(TrainParams, _seeded(train, seed), "train")).tolist()
    return found | {KEPT: found[CANDIDATE if beats else RECIPE]}


def _seeded(train: TrainParams, seed: int) -> dict[str, Any]:
    return asdict(train) | {"seed": seed, "patience": None}


def table(results: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Return the gains over the recipe as Markdown."""
    test = dataset.read_split(layout.FEATURES, "test")
    draws = Draws.of(test.y, test.groups, max(len(test.labels), 2), resamples=1, seed=1)

    def figures(name: str, weights: Weights) -> np.ndarray:
        scores = [np.array(result[name]) for result in results]
        shaped = [values[:, 0] if values.shape[1] == 1 else values for values in scores]
        return np.stack([measure(metric, test.y, values, weights) for values in shaped])

    def gain(name: str, weights: Weights) -> np.ndarray:
        return (figures(name, weights) - figures(RECIPE, weights)).mean(axis=0)

    rows = []
    whole = np.ones((1, len(test.y)))
    for name in (RECIPE, CANDIDATE, KEPT):
        values = figures(name, whole)[:, 0]
        gains = values - figures(RECIPE, whole)[:, 0]
        mean, spread = gains.mean(), gains.std(ddof=1) if len(gains) > 1 else np.nan
        half = stats.t.ppf(0.975, len(gains) - 1) * spread / np.sqrt(len(gains))
        refusal = draws.refusal(by_class=metric in BY_CLASS)
        of_groups = draws.measure(functools.partial(gain, name))
        ends = uncertainty.difference_interval(of_groups, draws, confidence=0.95, decisions=metric in OF_DECISIONS)
        rows.append(
            (
                name,
                f"{values.mean():.3f}",
                ", ".join(f"{value:.3f}" for value in values),
                "" if name == RECIPE or not gains.any() else f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]",
                "" if name == RECIPE or not gains.any() else refusal or f"[{ends[0]:+.3f}, {ends[1]:+.3f}]",
            )
        )
    head = ("network", f"test {metric}", "by seed", "gain [95 % over seeds]", f"over {draws.n_groups} groups")
    return f"n = {len(test.y)}\n\n" + tables.markdown(head, rows, text_columns=1)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--budget", type=seconds, default=seconds("30m"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    asked = parser.parse_args()
    lines = asked.results.read_text().splitlines() if asked.results.is_file() else []
    make_deterministic(1, 1)
    known = {line["seed"]: line for line in map(json.loads, lines)}
    for seed in asked.seeds:
        if seed not in known:
            known[seed] = run(seed, asked.budget)
            with asked.results.open("a") as stream:
                stream.write(json.dumps(known[seed]) + "\n")
        print(seed, f"{known[seed]['minutes']:.1f} minutes", known[seed]["beats"], known[seed]["changes"], flush=True)
    print(table([known[seed] for seed in asked.seeds], params.section("select", SelectParams).metric))


if __name__ == "__main__":
    main()
