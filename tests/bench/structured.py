"""Networks with fewer units against the whole one: operations, bytes, latency; prints JSON.

    python -m tests.bench.structured [--architecture ds_cnn edac_cnn] [--removed 0.3 0.5 0.7] [--rounds 60]
        [--layers 'block3*=0.5' ...] [--multiple 8]

Of every layer that can lose units the given fraction goes, or the part of it that `--layers` gives, and `--multiple`
rounds what stays (`prune.layers`, `prune.unit_multiple`). The network is one of fewer weights in the same operators;
weights are random, as speed does not depend on them. The whole network and the smaller one take turns in
every round, on one thread; a ratio is the median over the rounds of whole over smaller: above 1, smaller is better.
"""

import argparse
import json
import os
import time
from typing import Any

import numpy as np

from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.nn import units as structure
from stages.core.nn.keras import keras
from stages.prune.importance import most_important
from stages.prune.prunables import prunables_of
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.runtime.litert import Model

CASES = {
    "ds_cnn": ((431, 64), 10),
    "edac_cnn": ((302, 15), 2),
    "edac_cnn_lstm": ((39, 88, 3), 2),
    "strided_cnn": ((216, 64, 1), 10),
}
OPTIONS = {"strided_cnn": {"widths": (16, 24, 32, 44, 52), "head": 72}}  # the preset esc10's
SCHEMES = ("float32", "static_wi8_ai8")


def files_of(model: Any, clips: np.ndarray) -> dict[str, bytes]:
    """Return the network's file by scheme."""
    float32 = to_float32(model)
    made = {}
    for name in SCHEMES:
        scheme, config = QuantizeParams().scheme(name)
        made[name] = bytes(scheme.quantize(config, float32, clips))
    return made


def without(model: Any, removed: float, layers: dict[str, float], multiple: int) -> Any:
    """Return the network without the last units of every layer that can lose some."""
    units = prunables_of(model, "unit", layers)
    scales = [u.sparsity_scale for u in units]
    masks = most_important([np.ones(u.size) for u in units], removed, round_up_to=multiple, scales=scales)
    return structure.keep(model, {u.name: np.flatnonzero(m).tolist() for u, m in zip(units, masks, strict=True)})


def speed_ratio(whole: bytes, smaller: bytes, clip: np.ndarray, rounds: int) -> tuple[float, float, float]:
    """Return the median ratio of the two latencies, and their medians in ms."""
    models = Model(whole), Model(smaller)
    seconds: list[list[float]] = [[], []]
    for i in range(-5, rounds):  # the first five rounds warm up
        for taken, model in zip(seconds, models, strict=True):
            start = time.perf_counter()
            model.run(clip)
            if i >= 0:
                taken.append(time.perf_counter() - start)
    ratio = np.median(np.divide(seconds[0], seconds[1]))
    return round(float(ratio), 2), *(round(1e3 * float(np.median(taken)), 3) for taken in seconds)  # type: ignore[return-value]


def measure(
    architecture: str, fractions: list[float], rounds: int, layers: dict[str, float], multiple: int
) -> dict[str, Any]:
    """Return figures and ratios by fraction of units removed."""
    shape, n_classes = CASES[architecture]
    keras.utils.set_random_seed(1)
    model, _ = network.build(architecture, {architecture: OPTIONS.get(architecture, {})}, shape, n_classes)
    clips = np.random.default_rng(1).normal(size=(8, *shape)).astype(np.float32)
    whole = files_of(model, clips)
    found: dict[str, Any] = {"parameters": model.count_params(), "flops": flops(whole["float32"])}
    for removed in fractions:
        smaller = without(model, removed, layers, multiple)
        contents = files_of(smaller, clips)
        row: dict[str, Any] = {
            "parameters_ratio": round(model.count_params() / smaller.count_params(), 2),
            "flops_ratio": round(found["flops"] / flops(contents["float32"]), 2),
        }
        for name in SCHEMES:
            ratio, slow, fast = speed_ratio(whole[name], contents[name], clips[:1], rounds)
            row[name] = {
                "bytes": [len(whole[name]), len(contents[name])],
                "bytes_ratio": round(len(whole[name]) / len(contents[name]), 2),
                "median_ms": [slow, fast],
                "speed_ratio": ratio,
            }
        found[f"{removed:g} of the units removed"] = row
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", choices=sorted(CASES), default=["ds_cnn", "edac_cnn"])
    parser.add_argument("--removed", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATTERN=PART")
    parser.add_argument("--multiple", type=int, default=1)
    given = parser.parse_args()
    parts = {pattern: float(part) for pattern, part in (text.split("=") for text in given.layers)}
    result = {name: measure(name, given.removed, given.rounds, parts, given.multiple) for name in given.architecture}
    print(json.dumps({"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)} | result, indent=2))
